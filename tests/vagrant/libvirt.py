"""A libvirt of one's own, where no service manager runs one: in containers, in CI.

It and its machines live in network, mount and process namespaces of their own, without any
network but the one that libvirt makes there, and end with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.lab.wait import until

_URI = "qemu:///system"
_START_TIMEOUT_S = 60
_INSIDE = "ENFORCER_OWN_LIBVIRT"
# No user, security driver, cgroups or namespaces for what runs in namespaces already.
_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
_POOL = """\
<pool type='dir'><name>default</name><target><path>/var/lib/libvirt/images</path></target></pool>
"""


def is_served() -> bool:
    """Tell whether a libvirt runs already."""
    asked = ("virsh", "--connect", _URI, "version")
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


def enter(folder: Path) -> None:
    """Become, in new namespaces, the same command again; return at once inside of them.

    Args:
        folder: for libvirt's files and Vagrant's, in place of the machine's own.
    """
    if os.environ.get(_INSIDE):
        _leave_init_behind()
        _serve(folder)
        return
    os.environ[_INSIDE] = "1"
    unshare = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    again = (sys.executable, "-m", "tests.vagrant", *sys.argv[1:])
    os.execvp("unshare", (*unshare, *again))  # noqa: S606 - no shell is the point


def _leave_init_behind() -> None:
    """Return in a child; this process stays the namespace's init and ends as the child does.

    libvirtd waits for machines that it has ended to be gone, and those that put themselves into
    the background are init's to bury.
    """
    child = os.fork()
    if child == 0:
        return
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _serve(folder: Path) -> None:
    for name in ("lib", "etc", "log", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "lib/images").mkdir(exist_ok=True)
    (folder / "etc/qemu.conf").write_text(_QEMU_CONF, encoding="utf-8")
    (folder / "pool.xml").write_text(_POOL, encoding="utf-8")
    binds = {
        "lib": "/var/lib/libvirt",
        "etc": "/etc/libvirt",
        "log": "/var/log/libvirt",
        "cache": "/var/cache/libvirt",
    }
    for name, place in binds.items():
        _run("mount", "--bind", folder / name, place)
    Path("/run/libvirt").mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "tmpfs", "/run/libvirt")
    _run("ip", "link", "set", "lo", "up")
    _run("virtlogd", "--daemon", "--pid-file", "/run/libvirt/virtlogd.pid")
    _run("libvirtd", "--daemon", "--pid-file", "/run/libvirt/libvirtd.pid")
    until(is_served, _START_TIMEOUT_S, "libvirtd to answer")
    virsh = ("virsh", "--quiet", "--connect", _URI)
    # Of a run before it is defined, and runs, as libvirt takes a pool whose folder is there to do.
    if "default" not in _listed(*virsh, "pool-list", "--all", "--name"):
        _run(*virsh, "pool-define", folder / "pool.xml")
    if "default" not in _listed(*virsh, "pool-list", "--name"):
        _run(*virsh, "pool-start", "default")
    os.environ["VAGRANT_HOME"] = str(folder / "vagrant")


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _listed(*command: str) -> list[str]:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.split()
