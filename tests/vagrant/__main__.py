"""`./dev vagrant`: make the machines named and run the suite of tests/vagrant on each."""

from __future__ import annotations

import argparse
import json
import os
import sys

import pytest

from tests.vagrant import libvirt
from tests.vagrant.box import BOX, CACHE
from tests.vagrant.machine import KEEP, MACHINES


def main() -> int:
    """Run the suite; return pytest's exit status."""
    parser = argparse.ArgumentParser(prog="./dev vagrant", description=__doc__)
    parser.add_argument("machine", nargs="*", help="of vagrant/Vagrantfile; all that have a box")
    parser.add_argument("--provider", default="libvirt", choices=("libvirt", "virtualbox"))
    parser.add_argument("--keep", action="store_true", help="leave machines, and take those left")
    options, more = parser.parse_known_args()
    if options.provider == "libvirt" and not libvirt.is_served():
        libvirt.enter(CACHE / "libvirt")
    kernels = BOX / "kernels.json"
    made = list(json.loads(kernels.read_text("utf-8"))) if kernels.exists() else []
    os.environ[MACHINES] = " ".join(options.machine or made)
    os.environ[KEEP] = "1" if options.keep else ""
    os.environ["VAGRANT_DEFAULT_PROVIDER"] = options.provider
    return int(pytest.main(["tests/vagrant", "-v", "--timeout=7200", *more]))


if __name__ == "__main__":
    sys.exit(main())
