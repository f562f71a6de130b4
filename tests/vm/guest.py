"""A virtual machine that boots a kernel, does its job, hands over the results and is gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vm import disk
from tests.vm.kernels import Kernel

_RESULTS_MIB = 64
_MEMORY_MIB = 2048
_BOOT_TIMEOUT_S = 600
# The clock that Linux tests the timer's interrupts by goes on while an emulator waits for its turn.
_COMMAND_LINE = "console=ttyS0 quiet panic=-1 no_timer_check random.trust_cpu=on mitigations=off"
_BEGUN = re.compile(r"^begin: Linux (\S+) at ([0-9.]+) s", re.MULTILINE)
_ENDED = re.compile(r"^begin: exit status ([0-9]+)", re.MULTILINE)


@dataclass(frozen=True)
class Disks:
    """What every guest has, whatever its kernel.

    Attributes:
        root: the root file system.
        job: what to do, see `job`.
    """

    root: Path
    job: Path


@dataclass(frozen=True)
class Ran:
    """What became of a guest.

    Attributes:
        release: as ``uname -r`` says inside; None: it did not get that far.
        boot_s: seconds of the guest's own clock until the job began.
        status: the job's exit status; None: it did not end.
        took_s: from the start to the end of the virtual machine.
        cpu_s: seconds of a processor that it used: what it would take on a machine of its own.
    """

    release: str | None
    boot_s: float | None
    status: int | None
    took_s: float
    cpu_s: float


def has_kvm() -> bool:
    """Tell whether the processor can help.

    A /dev/kvm alone means nothing: without vmx or svm, guests start on it and hang.
    """
    flags = set(re.findall(r"\b(?:vmx|svm)\b", Path("/proc/cpuinfo").read_text("utf-8")))
    return bool(flags) and os.access("/dev/kvm", os.W_OK)


def accelerator() -> tuple[str, ...]:
    """Return the options of qemu by which a guest is fast, as far as it can be here."""
    if has_kvm():
        return ("-accel", "kvm", "-cpu", "host")
    # Without the extensions of newer processors: what is emulated is slower than plain code.
    return ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "qemu64,+rdrand")


def run(
    kernel: Kernel,
    disks: Disks,
    folder: Path,
    timeout_s: float,
    watch: Callable[[str], None],
    *,
    restarts: bool = False,
) -> Ran:
    """Boot *kernel* and let it do the job.

    Args:
        kernel: what to boot.
        disks: with the system and the job. What is written to them is gone afterwards.
        folder: gets ``console``, all that the guest said, and the folder ``results``.
        timeout_s: seconds that the job may take, from each boot on; then it is switched off.
        watch: is told each line of the console.
        restarts: the job may restart the guest, which finds its disks as it left them.
    """
    results = folder / "results.disk"
    disk.empty(results, _RESULTS_MIB)
    start = time.monotonic()
    with subprocess.Popen(
        # In a network namespace that leads nowhere, as the guest has no network card; it ends
        # with this process, however that ends.
        (
            *("unshare", "--net", "setpriv", "--pdeathsig=KILL"),
            *_qemu(kernel, disks, results),
            *(() if restarts else ("-no-reboot",)),
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as machine:
        assert machine.stdout is not None

        def end() -> None:
            # Not Popen's own: that asks whether it has ended first, and then nobody else can.
            os.kill(machine.pid, signal.SIGKILL)

        timer = threading.Timer(_BOOT_TIMEOUT_S, end)
        timer.start()
        try:
            with (folder / "console").open("w", encoding="utf-8") as console:
                for line in machine.stdout:
                    console.write(line)
                    console.flush()
                    if _BEGUN.match(line):
                        timer.cancel()
                        timer = threading.Timer(timeout_s, end)
                        timer.start()
                    watch(line.rstrip())
        except BaseException:
            end()
            raise
        finally:
            timer.cancel()
            _, status, used = os.wait4(machine.pid, 0)
            machine.returncode = os.waitstatus_to_exitcode(status)
    took_s = time.monotonic() - start
    said = (folder / "console").read_text(encoding="utf-8")
    begun, ended = _BEGUN.search(said), _ENDED.search(said)
    if ended is not None:
        (folder / "results").mkdir()
        subprocess.run(("tar", "-C", folder / "results", "-xf", results), check=True)
    results.unlink()
    return Ran(
        release=begun[1] if begun else None,
        boot_s=float(begun[2]) if begun else None,
        status=int(ended[1]) if ended else None,
        took_s=took_s,
        cpu_s=used.ru_utime + used.ru_stime,
    )


def _qemu(kernel: Kernel, disks: Disks, results: Path) -> tuple[str, ...]:
    # /dev/vda and so on, in this order.
    drives = [(disks.root, "on"), (disks.job, "on"), (results, "off")]
    if kernel.modules is not None:
        drives.append((kernel.modules, "on"))
    return (
        "qemu-system-x86_64",
        *accelerator(),
        *("-m", str(_MEMORY_MIB)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"),
        *("-serial", "stdio"),
        *("-kernel", str(kernel.image), "-initrd", str(kernel.initramfs)),
        *("-append", _COMMAND_LINE),
        *(
            word
            for path, snapshot in drives
            for word in ("-drive", f"file={path},format=raw,if=virtio,snapshot={snapshot}")
        ),
    )
