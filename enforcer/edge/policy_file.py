"""The policy file on disk: the only reader and writer of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from enforcer.core.grants import Grants
from enforcer.core.places import DEFAULT_POLICY, MAX_LINKS
from enforcer.core.policy import Policy, parse_policy
from enforcer.edge.memory import give_back  # noqa: TID251 - 20 MB of 100,000 hosts
from enforcer.errors import PolicyError, PolicyProblem

# Half a million hosts. More is not a policy but a wrong path.
MAX_BYTES = 32 * 1024 * 1024

# Device, inode, size, and the times of the last change of the content and of anything.
Signature: TypeAlias = tuple[int, int, int, int, int]

HINTS = {
    errno.EACCES: "run as root",
    errno.EPERM: "run as root",
    errno.ELOOP: "it is a symbolic link to itself",
    errno.ENAMETOOLONG: "check the path",
    errno.ENOSPC: "make room on the disk",
    errno.ENOTDIR: "check the path: a file is where it names a directory",
    errno.EROFS: "its file system is mounted read-only",
}


def read_policy(
    path: str | Path, before: Grants | None = None, *, enforced: bool = False
) -> Policy:
    """Read the policy file at *path*.

    Args:
        path: of the file.
        before: of a policy whose hosts are used again where they are the same.
        enforced: it decides what this machine may reach: only root may have written it.

    Raises:
        PolicyError: if there is none, if it can't be read or if it isn't valid.
    """
    text = read_text(path, enforced=enforced)
    with _without_collector():
        policy = parse_policy(text, str(path), before)
    give_back()
    return policy


def read_text(path: str | Path, *, enforced: bool = False) -> str:
    """Return what the file at *path* holds, which may be a policy.

    Raises:
        PolicyError: as `read_policy`, but for what it says.
    """
    data = _read(path, enforced=enforced)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        reason = f"octet 0x{data[exc.start]:02x} is not UTF-8"
        raise _error(path, reason, "save the file as UTF-8", line=line) from exc


def signature(path: str | Path) -> Signature | None:
    """Return what changes whenever the file at *path* does; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_being_written(path: str | Path) -> bool:
    """Tell whether somebody has the file at *path* open to write it, as far as that is known."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Whoever opens it while we have the lease has this sent to us, and not SIGIO, which
        # would end the process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as exc:
        return exc.errno == errno.EAGAIN  # other errors: its file system has no leases
    finally:
        os.close(descriptor)
    return False


def write_policy(path: str | Path, text: str, *, replace: bool) -> None:
    """Write *text* as the policy file at *path*, for all to read and root to change.

    Whoever reads meanwhile finds the old file or the new one, never a part. The
    directory is made if only that is missing.

    Args:
        path: of the file.
        text: a policy.
        replace: replace a file that is there.

    Raises:
        PolicyError: if it is there and not to be replaced, is no file, or can't be written.
    """
    path = Path(path)
    with _translated(path, "written"):
        path.parent.mkdir(exist_ok=True)
        if path.exists() and not (path.is_file() or path.is_dir()):
            # A rename would put a file in the place of a device that others use.
            raise _error(path, "is no regular file", "name the policy file itself")
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            if replace:
                Path(name).replace(path)
            else:
                # Unlike a rename, a link fails if somebody else was first.
                path.hardlink_to(name)
        finally:
            Path(name).unlink(missing_ok=True)


def _read(path: str | Path, *, enforced: bool) -> bytes:
    with _translated(path, "read"):
        # Not blocking: opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise _error(path, "is not a file", "name the policy file itself")
            if enforced:
                _require_roots(path, about, descriptor)
            data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        reason = f"is larger than {MAX_BYTES // 1024 // 1024} MiB"
        raise _error(path, reason, "check the path: no policy is that long")
    return data


def _require_roots(path: str | Path, about: os.stat_result, descriptor: int) -> None:
    """Refuse what somebody else than root may write, or put another file in the place of."""
    if _anybodys(about, descriptor):
        hint = f"chown root:root {path}; chmod go-w {path}"
        raise _error(path, "can be changed by others than root", hint)
    for entry in _steps(Path(path).absolute()):
        directory = entry.parent
        found = directory.stat()
        # Where none but owners rename, nobody replaces what is root's.
        kept = found.st_uid == 0 and found.st_mode & stat.S_ISVTX and entry.lstat().st_uid == 0
        if not kept and _anybodys(found, directory):
            hint = f"put it where root alone may write, as in {Path(DEFAULT_POLICY).parent}"
            raise _error(path, f"can be replaced by others than root, in {directory}", hint)


def _steps(path: Path) -> Iterator[Path]:
    """Yield each directory, link and file that leads to what is at *path*, by no link itself."""
    done, ahead, links = Path("/"), [*reversed(path.parts)], 0
    while ahead:
        name = ahead.pop()
        step = done.parent if name == ".." else done / name
        if name not in {"/", ".."}:
            yield step
        if not step.is_symlink():
            done = step
        elif (links := links + 1) <= MAX_LINKS:
            ahead += reversed(step.readlink().parts)
        else:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _anybodys(about: os.stat_result, what: int | Path) -> bool:
    """Tell whether somebody else than root may write *what*, which this is *about*."""
    # With a list of their own the bits of the group are what users and groups may have at most.
    group = about.st_mode & stat.S_IWGRP and (about.st_gid != 0 or _has_list(what))
    return bool(about.st_uid != 0 or group or about.st_mode & stat.S_IWOTH)


def _has_list(what: int | Path) -> bool:
    try:
        os.getxattr(what, "system.posix_acl_access")
    except OSError:  # none, or the file system has no such lists
        return False
    return True


@contextlib.contextmanager
def _translated(path: str | Path, done: str) -> Iterator[None]:
    """Raise PolicyError for OSError."""
    try:
        yield
    except FileNotFoundError as exc:
        if done == "written":
            raise _error(path, "its directory's parent doesn't exist", "check the path") from exc
        init = "enforcer policy init"
        init += "" if str(path) == DEFAULT_POLICY else f" --output {path}"
        raise _error(path, "doesn't exist", f"{init} writes one to start from") from exc
    except FileExistsError as exc:
        raise _error(path, "exists already", "to replace it, add --force") from exc
    except IsADirectoryError as exc:
        raise _error(path, "is a directory", "name the policy file itself") from exc
    except OSError as exc:
        why = (exc.strerror or str(exc)).lower()
        hint = HINTS.get(exc.errno or 0, "check the path and the disk")
        raise _error(path, f"can't be {done}: {why}", hint) from exc


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the garbage collector, and keep from it what is there afterwards.

    A long policy makes it walk all that has been parsed again and again: a tenth of a
    second each time for 100,000 hosts, and half of the time that parsing takes. Nothing
    in a policy is cyclic, and what is dropped goes without the collector. What else was
    there, of which some is cyclic, it may have when the next policy is read.
    """
    was_enabled = gc.isenabled()
    gc.unfreeze()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _error(path: str | Path, reason: str, hint: str, line: int = 0) -> PolicyError:
    return PolicyError(str(path), (PolicyProblem(line, "", reason, hint),))
