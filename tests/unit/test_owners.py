"""From the path of a cgroup to the container or unit."""

from __future__ import annotations

import pytest

from enforcer.core.owners import UNIT, Owner, parse_owner

ID = "8c2f3a6f7f1b4c0e9d5a2b7c6d8e9f00112233445566778899aabbccddeeff01"
POD = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
POD_SLICE = POD.replace("-", "_")
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_SLICE}.slice"
KIND_NODE = f"/docker/{ID[::-1]}/kubelet.slice/kubelet-kubepods.slice"
KIND_POD = f"{KIND_NODE}/kubelet-kubepods-pod{POD_SLICE}.slice"
USER = "/user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        # docker, systemd's driver and cgroupfs; a process of the container in a cgroup below
        (f"/system.slice/docker-{ID}.scope", Owner("docker", ID)),
        (f"/docker/{ID}", Owner("docker", ID)),
        (f"/docker/{ID}/init.scope", Owner("docker", ID)),
        (f"/system.slice/docker-{ID}.scope/system.slice/cron.service", Owner("docker", ID)),
        # podman of root, and rootless
        (f"/machine.slice/libpod-{ID}.scope/container", Owner("podman", ID)),
        (f"{USER}/user.slice/libpod-{ID}.scope", Owner("podman", ID)),
        (f"/libpod_parent/libpod-{ID}", Owner("podman", ID)),
        # kubelet with containerd, CRI-O and cgroupfs
        (f"{BURSTABLE}/cri-containerd-{ID}.scope", Owner("kubernetes", ID, POD)),
        (f"{BURSTABLE}/crio-{ID}.scope", Owner("kubernetes", ID, POD)),
        (f"/kubepods/besteffort/pod{POD}/{ID}", Owner("kubernetes", ID, POD)),
        (f"/kubepods/pod{POD}/{ID}", Owner("kubernetes", ID, POD)),
        # kind: a node in docker, its pods below
        (f"{KIND_POD}/cri-containerd-{ID}.scope", Owner("kubernetes", ID, POD)),
        # containerd without Kubernetes: nerdctl, ctr
        (f"/system.slice/nerdctl-{ID}.scope", Owner("containerd", ID)),
        (f"/default/{ID}", Owner("containerd", ID)),
        ("/lxc.payload.web/init.scope", Owner("lxc", "web")),
        ("/machine.slice/systemd-nspawn@web.service/payload", Owner("systemd-nspawn", "web")),
        (f"/somebody/{ID}", Owner("container", ID)),
        # units
        ("/system.slice/docker.service", Owner(UNIT, "docker.service")),
        ("/system.slice/ssh.service", Owner(UNIT, "ssh.service")),
        ("/user.slice/user-1000.slice/session-3.scope", Owner(UNIT, "session-3.scope")),
        (f"{USER}/app.slice/snap.code.service", Owner(UNIT, "snap.code.service")),
        (r"/system.slice/a\x2db.service", Owner(UNIT, "a-b.service")),
        ("/system.slice/system-getty.slice/getty@tty1.service", Owner(UNIT, "getty@tty1.service")),
        # neither
        ("/", None),
        ("/user.slice", None),
        (f"/docker/{ID[:-1]}", None),
        (f"/docker/{ID.upper()}", None),
    ],
)
def test_a_path_names_its_owner(path: str, owner: Owner | None) -> None:
    """As the runtimes and systemd lay their cgroups out."""
    assert parse_owner(f"0::{path}\n") == owner


def test_a_container_of_version_1_is_found_beside_the_unit_of_version_2() -> None:
    """With both versions mounted, a container's path is in those of version 1 alone."""
    text = f"12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/docker.service\n"
    assert parse_owner(text) == Owner("docker", ID)


def test_what_is_no_listing_names_nobody() -> None:
    """Such as nothing at all, of a process that has just ended."""
    assert parse_owner("") is None
    assert parse_owner("nonsense") is None
