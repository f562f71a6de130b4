"""Remove from the kernel what an instance put there, with or without its process."""

from __future__ import annotations

from pathlib import Path

from enforcer.edge.cgroup import CgroupHook
from enforcer.edge.firewall import Firewall
from enforcer.edge.links import Links
from enforcer.edge.runtime import Attachments, RuntimeDir


def remove_leftovers(runtime: RuntimeDir) -> bool:
    """Remove the table, the filters and the cgroup program of a dead instance.

    Returns: whether there was anything.

    Raises:
        RuntimeDirError: a live instance holds the directory.
        DatapathError: the kernel refuses.
    """
    firewall, links = Firewall(), Links()
    try:
        if not (firewall.inspect().present or links.attached() or runtime.recorded()):
            return False
        runtime.hold()
        remove(firewall, links, runtime)
    finally:
        links.close()
        firewall.close()
        runtime.release()
    return True


def remove(firewall: Firewall, links: Links, runtime: RuntimeDir) -> None:
    """Remove all that is ours, the table last: until then nothing more is permitted."""
    links.detach()
    attachments = runtime.recorded()
    if attachments is not None:
        detach(attachments)
    firewall.remove()
    runtime.forget()


def detach(attachments: Attachments) -> None:
    """Detach what an earlier instance recorded, as far as it is still there."""
    hook = CgroupHook(Path(attachments.cgroup))
    if hook.path.exists():
        hook.detach(attachments.program_id)
