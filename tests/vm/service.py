"""`python -m tests.vm.service`: the package and its units on a machine with systemd, boot by boot.

What happens there is in inside/service/scenario.py. The machine is emulated, has no network but
what it makes itself, and keeps its disk from boot to boot, but not beyond the last.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from deb.build import build
from tests.vm import disk, guest, kernels, root
from tests.vm.archive import Archive
from tests.vm.job import CHECKOUT
from tests.vm.kernels import Kernel

CACHE = CHECKOUT / ".vm"
INSIDE = Path(__file__).parent / "inside" / "service"
# What the package depends on, and systemd.
PACKAGES = (
    *("systemd-sysv", "dbus", "python3", "python3-bpfcc", "python3-yaml", "nftables"),
    *("netbase", "kmod", "iproute2", "procps", "man-db"),
)
TIMEOUT_S = 45 * 60
_MEMORY_MIB = 2048
_SPARE_MIB = 1024
# Without the last word, a guest that gets no processor for a moment takes its timer for broken.
_COMMAND_LINE = "console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off no_timer_check"
_LINE = re.compile(r"scenario: (ok|NOT) (.*)")


def main() -> int:
    """Run it; return 0 if all that should hold held."""
    series = sys.argv[1] if len(sys.argv) > 1 else "6.1"
    CACHE.mkdir(exist_ok=True)
    archive = Archive(CACHE / "apt")
    archive.refresh()
    kernel = kernels.of_debian(series, archive, CACHE)
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        folder = Path(temporary)
        machine = prepare(folder, base(CACHE))
        said = boot(kernel, machine, begin(folder), lambda line: print(line, flush=True))
    found = [match.groups() for match in map(_LINE.search, said) if match]
    failed = [what for verdict, what in found if verdict != "ok"]
    ended = any("scenario: done" in line for line in said)
    print(f"{len(found) - len(failed)} hold, {len(failed)} do not: {', '.join(failed) or 'none'}")
    return int(bool(failed) or not ended)


def base(cache: Path) -> Path:
    """Return a folder with the system, without the package; made if the cache has none."""
    key = hashlib.sha256("\n".join(PACKAGES).encode()).hexdigest()[:16]
    folder = cache / "roots" / f"service-{key}"
    if not folder.exists():
        with disk.half_made(folder) as made:
            root.bootstrap(made, PACKAGES)
            # The manual page is one of the things to be seen.
            (made / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").unlink()
    return folder


def prepare(folder: Path, system: Path) -> Path:
    """Return a disk, in *folder*, of the system with the package and the scenario beside it."""
    tree = folder / "tree"
    subprocess.run(("cp", "--archive", "--reflink=auto", system, tree), check=True)
    scenario = tree / "scenario"
    package = scenario / INSIDE.relative_to(CHECKOUT)
    package.mkdir(parents=True)
    for name in ("__init__.py", "world.py", "scenario.py"):
        shutil.copy(INSIDE / name, package)
    shutil.copy(build(CHECKOUT, folder, "none"), scenario / "enforcer.deb")
    (tree / "var/lib/scenario").mkdir()
    for unit, target in (("world", "sysinit"), ("scenario", "multi-user")):
        shutil.copy(INSIDE / f"{unit}.service", tree / "etc/systemd/system")
        wants = tree / f"etc/systemd/system/{target}.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / f"{unit}.service").symlink_to(f"../{unit}.service")
    made = folder / "machine.ext4"
    disk.from_folder(tree, made, spare_mib=_SPARE_MIB)
    shutil.rmtree(tree)
    return made


def begin(folder: Path) -> Path:
    """Return a disk, in *folder*, that has the initramfs go on with systemd."""
    job = folder / "job"
    job.mkdir()
    (job / "begin").write_text("exec /sbin/init\n", encoding="ascii")
    made = folder / "job.ext4"
    disk.from_folder(job, made, spare_mib=0)
    return made


def boot(kernel: Kernel, machine: Path, job: Path, watch: Callable[[str], None]) -> list[str]:
    """Boot, as often as the machine wants, until it is switched off; return what it said."""
    spare = machine.with_name("spare.disk")
    disk.empty(spare, 1)
    drives = [machine, job, spare, *([kernel.modules] if kernel.modules else [])]
    command = (
        *("unshare", "--net", "qemu-system-x86_64", *guest.accelerator()),
        *("-m", str(_MEMORY_MIB), "-nodefaults", "-no-user-config", "-display", "none"),
        *("-nic", "none", "-serial", "stdio"),
        *("-kernel", str(kernel.image), "-initrd", str(kernel.initramfs)),
        *("-append", _COMMAND_LINE),
        *(
            word
            for path in drives
            for word in ("-drive", f"file={path},format=raw,if=virtio,cache=unsafe")
        ),
    )
    said = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as emulator:
        assert emulator.stdout is not None
        timer = threading.Timer(TIMEOUT_S, emulator.kill)
        timer.start()
        try:
            for line in emulator.stdout:
                said.append(line.rstrip())
                watch(said[-1])
        finally:
            timer.cancel()
            emulator.kill()
    return said


if __name__ == "__main__":
    sys.exit(main())
