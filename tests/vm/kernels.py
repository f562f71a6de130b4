"""Kernels to boot: an image, a disk of modules, an initramfs that reads disks with them."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm import disk
from tests.vm.archive import Archive

# What a guest's disks need; all or some of it is built into kernels that are not Debian's.
_BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4")
_BUSYBOX = "/bin/busybox"
_APPLETS = ("sh", "mount", "umount", "insmod", "mkdir", "uname", "switch_root")
_BOOT = Path(__file__).parent / "inside" / "boot.sh"


class BadKernel(Exception):
    """It can't be booted as it is."""


@dataclass(frozen=True)
class Kernel:
    """One to boot.

    Attributes:
        name: what was asked for: a series, ``newest`` or a file.
        version: of the package; of a file, what its image says.
        image: the bzImage.
        initramfs: for it alone.
        modules: disk to be mounted at /lib/modules/RELEASE; None: all is built in.
    """

    name: str
    version: str
    image: Path
    initramfs: Path
    modules: Path | None


def of_debian(name: str, archive: Archive, cache: Path) -> Kernel:
    """Return Debian's newest kernel of a series; fetched if the cache has not that version."""
    version = archive.newest(name)
    folder = cache / "kernels" / version
    if not folder.exists():
        cache.joinpath("kernels").mkdir(parents=True, exist_ok=True)
        with disk.half_made(folder) as made, tempfile.TemporaryDirectory(dir=cache) as temporary:
            unpacked = Path(temporary, "unpacked")
            for package in archive.fetch(version, Path(temporary)):
                subprocess.run(("dpkg-deb", "--extract", package, unpacked), check=True)
            [tree] = [*unpacked.glob("lib/modules/*"), *unpacked.glob("usr/lib/modules/*")]
            # In newer packages the image is among the modules.
            [image] = [*unpacked.glob("boot/vmlinuz-*"), *tree.glob("vmlinuz")]
            shutil.copy(image, made / "image")
            _add_modules(tree, made)
    return _in_folder(name, version, folder)


def of_file(image: Path, modules: Path | None, cache: Path) -> Kernel:
    """Return a kernel of one's own.

    Args:
        image: a bzImage.
        modules: its /lib/modules/RELEASE; None: what disks need is built in.
        cache: where its initramfs is made.

    Raises:
        BadKernel: the files are not what they should be.
    """
    try:
        version = release_of(image)
    except OSError as exc:
        raise BadKernel(f"kernel {image}: {exc.strerror}") from exc
    folder = cache / "own" / version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(image, folder / "image")
    if modules is None:
        _make_initramfs((), folder)
    elif modules.name != version:
        hint = f"name the folder .../lib/modules/{version}"
        raise BadKernel(f"modules {modules} are not those of {image}, {version} (hint: {hint})")
    else:
        _add_modules(modules, folder)
    return _in_folder(image.name, version, folder)


def _in_folder(name: str, version: str, folder: Path) -> Kernel:
    modules = folder / "modules.ext4"
    return Kernel(
        name=name,
        version=version,
        image=folder / "image",
        initramfs=folder / "initramfs",
        modules=modules if modules.exists() else None,
    )


def release_of(image: Path) -> str:
    """Return what ``uname -r`` says under *image*.

    Its place is named at octet 0x20E (Documentation/arch/x86/boot.rst, kernel_version).
    """
    with image.open("rb") as file:
        header = file.read(0x210)
        file.seek(int.from_bytes(header[0x20E:], "little") + 0x200)
        version = re.match(rb"[^ \0]+", file.read(128))
    if header[0x202:0x206] != b"HdrS" or version is None:
        raise BadKernel(f"kernel {image} is no bzImage")
    return version[0].decode("ascii", "replace")


def _add_modules(tree: Path, folder: Path) -> None:
    """Add a disk of the modules in *tree*, and an initramfs with some of them, to *folder*."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        base = Path(temporary)
        into = base / "lib/modules" / tree.name
        shutil.copytree(tree, into, symlinks=True, ignore=shutil.ignore_patterns("build", "source"))
        # Debian's packages leave the index to the machine that installs them.
        subprocess.run(("depmod", "--basedir", base, tree.name), check=True)
        disk.from_folder(into, folder / "modules.ext4", spare_mib=0)
        _make_initramfs(_chain(base, tree.name), folder)


def _chain(base: Path, release: str) -> tuple[Path, ...]:
    """Return the files of the modules to boot with, in the order they are to be loaded."""
    modprobe = ("modprobe", "--dirname", base, "--set-version", release)
    shown = subprocess.run(
        (*modprobe, "--show-depends", "--all", *_BOOT_MODULES),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    words = [line.split() for line in shown.splitlines()]
    return tuple(dict.fromkeys(Path(each[1]) for each in words if each[0] == "insmod"))


def _make_initramfs(modules: Sequence[Path], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        root = Path(temporary)
        for name in ("bin", "dev", "proc", "sys", "new", "modules"):
            (root / name).mkdir()
        shutil.copy(_BUSYBOX, root / "bin/busybox")
        for applet in _APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        shutil.copy(_BOOT, root / "init")
        (root / "init").chmod(0o755)
        order = [_plain(module, root / "modules") for module in modules]
        (root / "modules/order").write_text("".join(f"{name}\n" for name in order))
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        with (folder / "initramfs").open("wb") as file:
            subprocess.run(
                ("cpio", "--create", "--format=newc", "--quiet"),
                check=True,
                input=names.encode(),
                stdout=file,
                cwd=root,
            )


def _plain(module: Path, folder: Path) -> str:
    """Copy *module* uncompressed, as busybox wants it, into *folder*; return its name."""
    name, _, compressed = module.name.partition(".ko")
    target = folder / f"{name}.ko"
    if compressed == ".xz":
        target.write_bytes(lzma.decompress(module.read_bytes()))
    elif compressed == ".zst":
        subprocess.run(("zstd", "-q", "-d", module, "-o", target), check=True)
    else:
        shutil.copy(module, target)
    return target.name
