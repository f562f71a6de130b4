"""The bridge: connect_mark on a cgroup, so that first SYNs pass before the sets know why.

Blocking, as the rest of the data path.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from enforcer.edge.bpf import program_id
from enforcer.edge.cgroup import CgroupHook, mount_cgroup2
from enforcer.errors import DatapathError
from enforcer.kernel_checks.cgroup2 import mounts

MOUNTINFO = Path("/proc/self/mountinfo")


class Bridge:
    """connect_mark where it belongs.

    Args:
        cgroup: the directory it is attached to.
        connect_mark: descriptor of the program; stays the caller's to close.

    Attributes:
        put_back: what the last look found taken off, in words.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(self, cgroup: Path, connect_mark: int) -> None:
        self._hook = CgroupHook(cgroup)
        self._connect_mark = connect_mark
        self.cgroup = str(cgroup)
        self.program_id = program_id(connect_mark)
        self.put_back: tuple[str, ...] = ()

    def attach(self, stale: Iterable[int]) -> None:
        """Attach it in the place of the programs with the ids *stale*."""
        self._hook.attach(self._connect_mark)
        for old in stale:
            self._hook.detach(old)

    def restore(self) -> None:
        """Attach it again if somebody took it away; another beside it is an error."""
        marking = self._hook.attached()
        self.put_back = ()
        if self.program_id not in marking:
            self._hook.attach(self._connect_mark)
            self.put_back = (f"connect_mark was taken off cgroup {self.cgroup}",)
        if set(marking) - {self.program_id}:
            # A sock_ops program can't tell network namespaces apart before Linux kernel
            # commit 6cf1770d63dd ("bpf: Allow bpf_get_netns_cookie in
            # BPF_PROG_TYPE_SOCK_OPS") (in v5.15): the first to mark a socket wins.
            raise DatapathError(
                f'another enforcer marks connections of cgroup "{self.cgroup}" too: '
                "first connections to what both permit may be refused",
                hint="give each a cgroup of its own with --cgroup",
            )


def cgroup_root(private: Path) -> Path:
    """Return the root of cgroup v2, mounted at *private* if it is mounted nowhere.

    Raises:
        DatapathError: it can't be mounted.
    """
    mounted = mounts(MOUNTINFO.read_text("utf-8", errors="surrogateescape"))
    return Path(mounted[0]) if mounted else mount_cgroup2(private)
