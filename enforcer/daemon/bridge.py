"""The programs on a cgroup: connect_mark, and those that note which process connects.

With the first of them first SYNs pass before the sets know why. Blocking, as the rest of the
data path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from enforcer.edge.bpf import program_id, program_name
from enforcer.edge.cgroup import CONNECT_MARK, HOOKS, CgroupHook, mount_cgroup2
from enforcer.errors import DatapathError
from enforcer.kernel_checks.cgroup2 import mounts, usable

MOUNTINFO = Path("/proc/self/mountinfo")


class Bridge:
    """The programs where they belong.

    Args:
        cgroup: the directory they are attached to.
        programs: their descriptors by name, connect_mark among them; they stay the caller's
            to close.
        refused: why some of them are missing.

    Attributes:
        put_back: what the last look found taken off, in words.
        blind: why processes are not noted, as far as the last look told; empty if they are.

    Raises:
        DatapathError: the kernel refuses connect_mark; every method may.
    """

    def __init__(self, cgroup: Path, programs: Mapping[str, int], refused: str = "") -> None:
        self._marking = CgroupHook(cgroup)
        self._connect_mark = programs[CONNECT_MARK]
        self._noting = {
            CgroupHook(cgroup, name): fd for name, fd in programs.items() if name != CONNECT_MARK
        }
        self.cgroup = str(cgroup)
        self.program_ids = tuple(map(program_id, programs.values()))
        self.put_back: tuple[str, ...] = ()
        self._attached = False
        # Of other programs there, by id: whether they are of the same name, so mark as ours does.
        self._strangers: dict[int, bool] = {}
        self._refused = refused
        self.blind = refused

    def marked_by(self, stale: Iterable[int]) -> bool:
        """Tell whether one of the programs with the ids *stale* marks here."""
        return not set(self._marking.attached()).isdisjoint(stale)

    def attach(self) -> None:
        """Attach them, after those that are there."""
        self._marking.attach(self._connect_mark)
        self._attached = True
        self._note_processes()

    def detach(self, stale: Iterable[int]) -> None:
        """Detach the programs with the ids *stale*."""
        for old in stale:
            for name in HOOKS:
                CgroupHook(self._marking.path, name).detach(old)

    def remove(self) -> None:
        """Detach ours, and take that for nobody's doing."""
        self._attached = False
        self._marking.detach_own(self._connect_mark, program_id(self._connect_mark))
        for hook, fd in self._noting.items():
            hook.detach_own(fd, program_id(fd))

    def _marks(self, stranger: int) -> bool:
        """Tell whether another program marks as ours does; of later ones nobody may ask."""
        if stranger not in self._strangers:
            try:
                self._strangers[stranger] = program_name(stranger) == CONNECT_MARK
            except PermissionError:
                self._strangers[stranger] = True
        return self._strangers[stranger]

    def restore(self) -> None:
        """Attach again what somebody took away; another connect_mark beside ours is an error."""
        marking = self._marking.ids()
        self.put_back = ()
        ours = program_id(self._connect_mark)
        attached = []
        if ours not in marking:
            self._marking.attach(self._connect_mark)
            attached.append(CONNECT_MARK)
        attached += self._note_processes()
        if self._attached:
            self.put_back = tuple(f"{name} was taken off cgroup {self.cgroup}" for name in attached)
        self._attached = True
        if any(self._marks(each) for each in marking if each != ours):
            # A sock_ops program can't tell network namespaces apart before Linux kernel
            # commit 6cf1770d63dd ("bpf: Allow bpf_get_netns_cookie in
            # BPF_PROG_TYPE_SOCK_OPS") (in v5.15): the first to mark a socket wins.
            raise DatapathError(
                f'another enforcer marks connections of cgroup "{self.cgroup}" too: '
                "first connections to what both permit may be refused",
                hint="give each a cgroup of its own with --cgroup",
            )

    def _note_processes(self) -> list[str]:
        """Attach what notes processes, as far as it is not: nothing is permitted by it.

        Returns: the names of what was attached.
        """
        self.blind = self._refused
        attached = []
        try:
            for hook, fd in self._noting.items():
                if program_id(fd) not in hook.ids():
                    hook.attach(fd)
                    attached.append(hook.program)
        except DatapathError as exc:
            self.blind = exc.message
        return attached


def cgroup_root(private: Path) -> Path:
    """Return the root of cgroup v2, mounted at *private* if it is mounted nowhere.

    Raises:
        DatapathError: it can't be mounted.
    """
    mounted = mounted_root()
    return mount_cgroup2(private) if mounted is None else mounted


def mounted_root() -> Path | None:
    """Return the root of cgroup v2, if it is mounted."""
    mounted = usable(mounts(MOUNTINFO.read_text("utf-8", errors="surrogateescape")))
    return None if mounted is None else Path(mounted)
