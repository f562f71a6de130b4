"""`./dev box`: make a Vagrant box here, for libvirt, where public ones can't be fetched.

It has this machine's distribution, systemd, ssh, Vagrant's user, what the README has installed,
the wheels for it, and the modules of each kernel named. It has no boot loader: the Vagrantfile
names kernel and initramfs, so one box boots any of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.vm import disk, root
from tests.vm.archive import Archive, NoArchive
from tests.vm.job import CHECKOUT
from tests.vm.kernels import Kernel, of_debian, release_of

CACHE = CHECKOUT / ".vm"
BOX = CACHE / "box"
# The machines of the Vagrantfile whose kernels Debian has.
KERNELS = {"debian11": "5.10", "debian12": "6.1", "debian13": "6.12"}
_PACKAGES = (
    *root.PACKAGES,
    *("systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "sudo", "rsync"),
    # Without it sessions of ssh outlast the network at a restart, and Vagrant waits for one.
    "libpam-systemd",
    *("ca-certificates", "iptables", "docker.io", "docker-cli", "python3-venv", "netbase"),
)
_SIZE_MIB = 4096
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_FILES = {
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/hostname": "box\n",
    "etc/hosts": "127.0.0.1 localhost box\n::1 localhost\n",
    "etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n",
    "etc/systemd/network/10-vagrant.network": "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n",
    # No DNS there: looking up who connects would cost each login a timeout.
    "etc/ssh/sshd_config.d/vagrant.conf": "UseDNS no\n",
    # What the README has pip install comes from the wheels that are here.
    "etc/pip.conf": "[global]\nno-index = true\nfind-links = /opt/wheels\n",
}


def main() -> None:
    """Make the box and say where it is."""
    parser = argparse.ArgumentParser(prog="./dev box", description=__doc__)
    parser.add_argument("machine", nargs="*", help=f"of the Vagrantfile: {', '.join(KERNELS)}")
    options = parser.parse_args()
    for machine in options.machine:
        if machine not in KERNELS:
            parser.error(f'no kernel for "{machine}" (hint: Debian has {", ".join(KERNELS)})')
    CACHE.mkdir(exist_ok=True)
    archive = Archive(CACHE / "apt")
    try:
        archive.refresh()
        kernels = {
            machine: of_debian(KERNELS[machine], archive, CACHE)
            for machine in options.machine or KERNELS
        }
    except NoArchive as exc:
        parser.error(str(exc))
    shutil.rmtree(BOX, ignore_errors=True)
    with disk.half_made(BOX) as folder:
        _make(kernels, folder)
    print(
        f"{BOX}: {', '.join(f'{machine} {kernel.version}' for machine, kernel in kernels.items())}"
    )


def _make(kernels: dict[str, Kernel], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        system = Path(temporary, "root")
        root.bootstrap(system, root.known(_PACKAGES))
        for kernel in kernels.values():
            _add_modules(kernel, system)
        for name, text in _FILES.items():
            file = system / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        _add_wheels(system)
        _add_user(system, folder)
        _in(system, "systemctl", "enable", "systemd-networkd", "ssh")
        _in(system, "systemctl", "set-default", "multi-user.target")
        raw = Path(temporary, "box.raw")
        disk.from_folder(system, raw, spare_mib=_SIZE_MIB)
        size = raw.stat().st_size
        image = Path(temporary, "box.img")
        subprocess.run(("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image), check=True)
        metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": -(-size // 2**30)}
        Path(temporary, "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
        Path(temporary, "Vagrantfile").write_text("", encoding="utf-8")
        members = ("metadata.json", "Vagrantfile", "box.img")
        subprocess.run(
            ("tar", "--sparse", "-C", temporary, "-cf", folder / "enforcer.box", *members),
            check=True,
        )
    # Under a name of its own: Vagrant goes on taking a box that it has, and its key is gone.
    name = f"enforcer-{time.strftime('%Y-%m-%dT%H%M%S')}"
    named = {
        machine: {
            "box": name,
            "version": kernel.version,
            "kernel": str(kernel.image),
            "initramfs": str(kernel.initramfs),
        }
        for machine, kernel in kernels.items()
    }
    (folder / "kernels.json").write_text(json.dumps(named, indent=1), encoding="utf-8")


def _add_modules(kernel: Kernel, system: Path) -> None:
    assert kernel.modules is not None, "Debian's kernels have modules"
    into = system / "lib/modules" / release_of(kernel.image)
    into.mkdir(parents=True)
    subprocess.run(
        ("debugfs", "-R", f"rdump / {into}", kernel.modules), check=True, stderr=subprocess.DEVNULL
    )


def _add_wheels(system: Path) -> None:
    """Add what `pip install .` of the README takes, and what the world in the guest needs."""
    wheels = system / "opt/wheels"
    wheels.mkdir(parents=True)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--quiet")
    lock = CHECKOUT / "requirements.lock"
    subprocess.run((*pip, "download", "--require-hashes", "-r", lock, "-d", wheels), check=True)
    _in(system, "python3", "-m", "venv", "/opt/lab")
    _in(system, "/opt/lab/bin/pip", "install", "--quiet", "dnspython", "trustme")


def _add_user(system: Path, folder: Path) -> None:
    """Add the user that Vagrant logs in as, with a key of this box's own."""
    key = folder / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key), check=True)
    _in(system, "useradd", "--create-home", "--shell", "/bin/bash", "vagrant")
    ssh = system / "home/vagrant/.ssh"
    ssh.mkdir(mode=0o700)
    shutil.copy(key.with_suffix(".pub"), ssh / "authorized_keys")
    _in(system, "chown", "-R", "vagrant:vagrant", "/home/vagrant/.ssh")
    (system / "etc/sudoers.d/vagrant").chmod(0o440)


def _in(system: Path, *command: str) -> None:
    """Run *command* in the box's system."""
    subprocess.run(("chroot", system, *command), check=True, env={"PATH": _PATH})


if __name__ == "__main__":
    main()
