"""Whether users other than root may load BPF programs of their own.

kernel.unprivileged_bpf_disabled came with Linux kernel commit 1be7f75d1668 ("bpf: enable
non-root eBPF programs") (in v4.4). enforcer loads as root and depends on none of it; what users
may load (socket filters) judges their own sockets only.
"""

from __future__ import annotations

from pathlib import Path

from .result import Outcome, Result

ID = "bpf-users"
_MEANING = {
    "0": "may load socket filters of their own: no way round, but more of the kernel to attack",
    "1": "may load none, until the next boot",
    "2": "may load none",
}


def check(proc: Path = Path("/proc")) -> Result:
    """Say what the setting is; it stands in nobody's way."""
    setting = proc / "sys/kernel/unprivileged_bpf_disabled"
    if not setting.is_file():
        return Result(ID, Outcome.SUPPORTED, "users have no bpf(2)")
    value = setting.read_text().strip()
    meaning = _MEANING.get(value, "have an unknown setting")
    remedy = "sysctl kernel.unprivileged_bpf_disabled=2" if value == "0" else None
    return Result(ID, Outcome.SUPPORTED, f"users {meaning} (setting {value})", remedy)
