"""Remove from the kernel what an instance put there, with or without its process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from enforcer.daemon.bridge import mounted_root
from enforcer.edge.cgroup import HOOKS, CgroupHook, unmount_cgroup2
from enforcer.edge.earlier import related
from enforcer.edge.filters import Filters
from enforcer.edge.firewall import Firewall
from enforcer.edge.runtime import Attachments, RuntimeDir


def remove_leftovers(runtime: RuntimeDir) -> bool:
    """Remove the table, the filters and the cgroup program of a dead instance.

    Returns: whether there was anything.

    Raises:
        RuntimeDirError: a live instance holds the directory.
        DatapathError: the kernel refuses.
    """
    firewall, filters = Firewall(), Filters()
    try:
        recorded = runtime.recorded()
        if not (firewall.present() or filters.attached() or recorded):
            return False
        runtime.hold()
        if recorded is None and (root := mounted_root()) is not None:
            # Somebody took the record away; while they are there, the filters tell.
            _detach(root, related(root, filters.program_ids()))
        remove(firewall, filters, runtime)
    finally:
        filters.close()
        firewall.close()
        runtime.release()
    return True


def remove(firewall: Firewall, filters: Filters, runtime: RuntimeDir) -> None:
    """Remove all that is ours, the table late: until then nothing more is permitted.

    Raises:
        EnforcerError: something stayed; everything else was removed all the same.
    """
    with contextlib.ExitStack() as stack:  # the last one first, whatever fails
        stack.callback(unmount_cgroup2, runtime.cgroup)
        stack.callback(firewall.remove)
        stack.callback(_detach_recorded, runtime)
        stack.callback(filters.detach)
    runtime.forget()


def _detach_recorded(runtime: RuntimeDir) -> None:
    attachments = runtime.recorded()
    if attachments is not None:
        detach(attachments)


def detach(attachments: Attachments) -> None:
    """Detach what an earlier instance recorded, as far as it is still there."""
    _detach(Path(attachments.cgroup), attachments.program_ids)


def _detach(cgroup: Path, program_ids: Iterable[int]) -> None:
    hooks = [CgroupHook(cgroup, program) for program in HOOKS]
    if hooks[0].exists:
        for hook in hooks:
            for program_id in program_ids:
                hook.detach(program_id)
