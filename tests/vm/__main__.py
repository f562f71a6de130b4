"""`./dev vm`: run the checks and a core of the suite on other kernels, print the table."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.vm import guest, job, kernels, root
from tests.vm.archive import Archive, NoArchive
from tests.vm.kernels import BadKernel, Kernel
from tests.vm.report import Report, render
from tests.vm.suite import GROUPS

CACHE = job.CHECKOUT / ".vm"
RELEASES = ("5.10", "6.1", "6.12", "newest")
# More than two at a time are no faster on two processors.
AT_ONCE = 2
TIMEOUT_S = 2 * 60 * 60


def main() -> int:
    """Run what the arguments name; return 0 if all of it passed, 1 if not, 2 if it can't be run."""
    parser = argparse.ArgumentParser(prog="./dev vm", description=__doc__)
    parser.add_argument("release", nargs="*", help=f"series of Debian's: {', '.join(RELEASES)}")
    parser.add_argument("--only", action="append", choices=GROUPS, help="a group, not all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result there, too")
    parser.epilog = (
        "KERNEL=/path/bzImage adds a kernel of your own, with MODULES=/path/lib/modules/RELEASE "
        "unless disks, ext4 and all else it needs are built in; alone, it is the only one."
    )
    options = parser.parse_args()
    CACHE.mkdir(exist_ok=True)
    try:
        wanted = _kernels(options.release)
    except (NoArchive, BadKernel) as exc:
        parser.error(str(exc))
    runs = CACHE / "runs" / time.strftime("%Y-%m-%dT%H%M%S")
    runs.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        command = (str(job.CHECKOUT / ".venv/bin/python"), "-m", "tests.vm.inside")
        disks = guest.Disks(
            root.make(CACHE), job.make(Path(temporary), command + tuple(options.only or ()))
        )
        with ThreadPoolExecutor(AT_ONCE) as pool:
            reports = list(pool.map(lambda kernel: _run(kernel, disks, runs), wanted))
    print(f"\n{render(reports)}\n{runs} has the consoles and every result")
    document = json.dumps([report.document for report in reports], indent=1) + "\n"
    for file in (runs / "report.json", options.json):
        if file is not None:
            file.write_text(document, encoding="utf-8")
    return int(not all(report.passed for report in reports))


def _kernels(releases: list[str]) -> list[Kernel]:
    own, modules = os.environ.get("KERNEL"), os.environ.get("MODULES")
    wanted = releases or ([] if own else list(RELEASES))
    found = []
    if wanted:
        archive = Archive(CACHE / "apt")
        complaints = archive.refresh()
        if complaints:
            print(complaints, file=sys.stderr)
        found = [kernels.of_debian(name, archive, CACHE) for name in wanted]
    if own:
        found.append(kernels.of_file(Path(own), Path(modules) if modules else None, CACHE))
    return found


def _run(kernel: Kernel, disks: guest.Disks, runs: Path) -> Report:
    folder = runs / kernel.name
    folder.mkdir()

    def watch(line: str) -> None:
        if line.startswith(("vm: ", "begin: ")):
            print(f"{time.strftime('%H:%M:%S')} {kernel.name:>6}  {line}", flush=True)

    ran = guest.run(kernel, disks, folder, TIMEOUT_S, watch)
    return Report.of(kernel, ran, folder / "results" / "report.json")


if __name__ == "__main__":
    sys.exit(main())
