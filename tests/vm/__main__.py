"""`./dev vm`: the checks and a core of the suite on other kernels, the package as a service."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.vm import guest, job, kernels, root, service
from tests.vm.archive import Archive, NoArchive
from tests.vm.kernels import BadKernel, Kernel
from tests.vm.report import Report, render
from tests.vm.suite import GROUPS

CACHE = job.CHECKOUT / ".vm"
RELEASES = ("5.10", "6.1", "6.12", "newest")
SERVICE = "service"
# More than two at a time are no faster on two processors.
AT_ONCE = 2
TIMEOUT_S = 2 * 60 * 60


def main() -> int:
    """Run what the arguments name; return 0 if all of it passed, 1 if not, 2 if it can't be run."""
    parser = argparse.ArgumentParser(prog="./dev vm", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        help=f"series of Debian's kernels ({', '.join(RELEASES)}), or {SERVICE}; all of it",
    )
    parser.add_argument("--only", action="append", choices=GROUPS, help="a group of tests, not all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result there, too")
    parser.epilog = (
        "KERNEL=/path/bzImage adds a kernel of your own, with MODULES=/path/lib/modules/RELEASE "
        "unless disks, ext4 and all else it needs are built in; alone, it is the only one."
    )
    options = parser.parse_args()
    CACHE.mkdir(exist_ok=True)
    try:
        wanted, installed = _kernels(options.what, everything=not options.only)
    except (NoArchive, BadKernel) as exc:
        parser.error(str(exc))
    runs = CACHE / "runs" / time.strftime("%Y-%m-%dT%H%M%S")
    runs.mkdir(parents=True)
    command = (str(job.CHECKOUT / ".venv/bin/python"), "-m", "tests.vm.inside")
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary, ThreadPoolExecutor(AT_ONCE) as pool:
        # The longest first, as nothing else would be left beside it.
        services = []
        if installed is not None:
            machine = service.prepare(CACHE, Path(temporary))
            services.append(pool.submit(_run_service, installed, machine, runs))
        tested = []
        if wanted:
            disks = guest.Disks(
                root.make(CACHE), job.make(Path(temporary), command + tuple(options.only or ()))
            )
            tested = [pool.submit(_run, kernel, disks, runs) for kernel in wanted]
        reports = [each.result() for each in tested]
        found = [each.result() for each in services]
    told = [render(reports)] if reports else []
    print("\n" + "\n\n".join(told + list(map(service.in_words, found))))
    print(f"\n{runs} has the consoles and every result")
    documents = [*(report.document for report in reports), *found]
    for file in (runs / "report.json", options.json):
        if file is not None:
            file.write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")
    return int(not all(document["status"] == 0 for document in documents))


def _kernels(what: list[str], *, everything: bool) -> tuple[list[Kernel], Kernel | None]:
    """Return the kernels to run tests on, and the one to run the service on."""
    own, modules = os.environ.get("KERNEL"), os.environ.get("MODULES")
    if not what and not own:
        what = [*RELEASES, *([SERVICE] if everything else [])]
    found, installed = [], None
    if what:
        archive = Archive(CACHE / "apt")
        complaints = archive.refresh()
        if complaints:
            print(complaints, file=sys.stderr)
        found = [kernels.of_debian(name, archive, CACHE) for name in what if name != SERVICE]
        if SERVICE in what:
            installed = kernels.of_debian(service.SERIES, archive, CACHE)
    if own:
        found.append(kernels.of_file(Path(own), Path(modules) if modules else None, CACHE))
    return found, installed


def _run(kernel: Kernel, disks: guest.Disks, runs: Path) -> Report:
    folder = runs / kernel.name
    folder.mkdir()
    ran = guest.run(kernel, disks, folder, TIMEOUT_S, _watch(kernel.name))
    return Report.of(kernel, ran, folder / "results" / "report.json")


def _run_service(kernel: Kernel, disks: guest.Disks, runs: Path) -> dict[str, Any]:
    folder = runs / SERVICE
    folder.mkdir()
    return service.run(kernel, disks, folder, _watch(SERVICE))


def _watch(name: str) -> Callable[[str], None]:
    """Return what prints the lines of a console that tell how far it is."""

    def watch(line: str) -> None:
        if line.startswith(("vm: ", "begin: ", "scenario: ")):
            print(f"{time.strftime('%H:%M:%S')} {name:>7}  {line}", flush=True)

    return watch


if __name__ == "__main__":
    sys.exit(main())
