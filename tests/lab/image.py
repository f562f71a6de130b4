"""A small image in the OCI layout, built by hand: two layers that no base image is needed for."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_OCI = "application/vnd.oci.image"
_LAYERS = (("hello.txt", b"pulled through the firewall\n"), ("large.bin", bytes(range(256)) * 4096))


def write_layout(directory: Path) -> None:
    """Write the image as an OCI image layout into *directory*, which must not exist.

    Source: https://github.com/opencontainers/image-spec, image-layout.md and manifest.md.
    """
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    tars = [_tar(name, content) for name, content in _LAYERS]
    layers = [blob(gzip.compress(tar, mtime=0), "layer.v1.tar+gzip") for tar in tars]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars],
        },
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": blob(_json(config), "config.v1+json"),
        "layers": layers,
    }
    index = {"schemaVersion": 2, "manifests": [blob(_json(manifest), "manifest.v1+json")]}
    (directory / "index.json").write_bytes(_json(index))
    (directory / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def _tar(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
