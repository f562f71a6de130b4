"""Why something is allowed or denied, for every preset and for addresses."""

from __future__ import annotations

import ipaddress

import pytest
import yaml

from enforcer.core.explain import Entry, Explanation, explain
from enforcer.core.holders import Binding
from enforcer.core.policy import Policy, parse_policy
from enforcer.core.presets import Preset, Purpose, presets
from enforcer.core.target import parse_target

IMAGES = {
    "docker-hub": "nginx",
    "ecr": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/x",
    "ecr-public": "public.ecr.aws/x/y",
    "ghcr": "ghcr.io/a/b",
    "gcr": "eu.gcr.io/project/x",
    "artifact-registry": "europe-west1-docker.pkg.dev/project/repository/x",
    "acr": "contoso.azurecr.io/x",
    "mcr": "mcr.microsoft.com/dotnet/sdk",
    "quay": "quay.io/a/b",
    "redhat": "registry.redhat.io/ubi9",
    "k8s": "registry.k8s.io/pause",
    "gitlab": "registry.gitlab.com/group/x",
    "ngc": "nvcr.io/nvidia/cuda",
}
ADDRESS = ipaddress.ip_address("192.0.2.1")


def policy(rest: str = "") -> Policy:
    """Return a policy with *rest* in its file."""
    return parse_policy(f"version: 1\norganization: acme\n{rest}", "policy.yaml")


def explained(target: str, rest: str = "", bindings: tuple[Binding, ...] = ()) -> Explanation:
    """Explain *target* under the policy with *rest*."""
    return explain(parse_target(target), policy(rest), bindings, (ipaddress.ip_address("::53"),))


def denied(found: Explanation) -> list[str]:
    """Return the hosts that are needed and denied."""
    return [str(need.pattern) for need in found.needs if need.entry is None]


@pytest.mark.parametrize("preset", presets().values(), ids=lambda preset: preset.name)
def test_an_image_of_each_preset_is_denied_without_it_and_allowed_by_what_is_advised(
    preset: Preset,
) -> None:
    """The lines that a denial says to add, added, are enough: nothing that is needed lacks."""
    before = explained(IMAGES[preset.name])
    assert (before.allowed, before.registry) == (False, preset.name)
    assert before.add[0] == "registries:"
    after = explained(IMAGES[preset.name], "\n".join(before.add) + "\n")
    assert (after.allowed, after.add, denied(after)) == (True, (), [])
    assert {need.entry.origin for need in after.needs if need.entry} == {preset.name}


@pytest.mark.parametrize("preset", presets().values(), ids=lambda preset: preset.name)
def test_a_registry_whose_layers_are_elsewhere_is_not_allowed_by_its_name_alone(
    preset: Preset,
) -> None:
    """The pull would stop at the first layer: the hosts that lack are named, and are enough."""
    api = str(explained(IMAGES[preset.name]).needs[0].pattern)
    alone = explained(IMAGES[preset.name], f"hosts: [{api}]\n")
    others = [need for need in alone.needs if need.purpose is not Purpose.API]
    assert denied(alone) == [str(need.pattern) for need in others]
    assert alone.allowed == (not others)
    if others:
        lines = "\n".join(line for line in alone.add if "*" not in line)
        assert len(yaml.safe_load(lines) or ()) == sum(not n.pattern.wildcard for n in others)
        wild = [f'  - "{need.pattern}"' for need in others if need.pattern.wildcard]
        listed = "\n".join(["hosts:", f"  - {api}", *alone.add])
        assert wild == [line for line in alone.add if "*" in line]
        assert explained(IMAGES[preset.name], f"{listed}\n").allowed


@pytest.mark.parametrize("target", ["ghcr.io", "https://ghcr.io/v2/"])
def test_the_host_of_a_known_registry_is_advised_with_all_that_a_pull_needs(target: str) -> None:
    """The host alone is what lint warns of."""
    assert explained(target).add == ("registries:", "  - ghcr")
    layers = "hosts: [pkg-containers.githubusercontent.com]\n"
    assert explained(target, layers).add == ("  - ghcr.io",)
    assert explained(target, "hosts: [ghcr.io]\n").add == ()
    assert explained("ghcr.io:5000").add == ("  - ghcr.io:5000",)


def test_fips_endpoints_are_of_the_preset_with_the_switch() -> None:
    """The name of the image says that the switch is needed."""
    found = explained("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/x")
    assert "fips: true" in found.add[1]


def test_a_registry_of_ones_own_needs_its_name() -> None:
    """No preset has it, and where its layers come from is not known."""
    found = explained("registry.example:5000/x")
    assert (found.allowed, found.registry, found.add) == (
        False,
        None,
        ("  - registry.example:5000",),
    )
    assert "no preset" in found.note
    allowed = explained("registry.example:5000/x", "hosts: [registry.example:5000]\n")
    assert (allowed.allowed, allowed.add) == (True, ())
    assert "no preset" in allowed.note


def test_a_known_registry_on_another_port_is_ones_own() -> None:
    """A mirror that listens elsewhere has nothing of the preset's other hosts."""
    assert explained("quay.io:8443/x").registry is None


def test_the_most_specific_entry_is_the_one_that_permits() -> None:
    """A name's own entry before the wildcard above it."""
    rest = 'hosts: ["*.pkg.dev", eu.pkg.dev]\n'
    entries = [explained(t, rest).needs[0].entry for t in ("eu.pkg.dev", "us.pkg.dev")]
    assert entries == [Entry("eu.pkg.dev", "hosts"), Entry("*.pkg.dev", "hosts")]


def test_another_port_is_told() -> None:
    """The name is there, the port is not."""
    found = explained("https://ghcr.io:8443/", "hosts: [ghcr.io]\n")
    assert (found.allowed, found.note) == (False, "it is permitted on port 443 only")


@pytest.mark.parametrize(
    ("target", "entry"),
    [
        ("10.1.2.3:22", Entry("10.0.0.0/8", "networks")),
        ("[::53]:53", Entry("::53", "resolvers")),
        ("[::53]:443", None),
        ("11.1.2.3", None),
        ("127.0.0.1:80", Entry("this machine", "every policy")),
    ],
)
def test_an_address_is_permitted_by_a_network_or_as_a_resolver(
    target: str, entry: Entry | None
) -> None:
    """Or by nothing."""
    found = explained(target, "networks: [10.0.0.0/8]\n")
    assert (found.entry, found.allowed) == (entry, entry is not None)


@pytest.mark.parametrize("address", ["11.1.2.3", "[2001:db8::7]"])
def test_an_image_of_an_address_is_permitted_by_its_network(address: str) -> None:
    """It was taken for no image at all; and no name could be listed for it."""
    before = explained(f"{address}:5000/x")
    assert (before.what, before.allowed) == (f"{address}:5000/x:latest", False)
    after = explained(f"{address}:5000/x", "\n".join(before.add) + "\n")
    assert (after.allowed, after.add) == (True, ())


def test_an_address_is_open_for_names_on_their_ports() -> None:
    """What answers opened, with the names, and what else it is open for."""
    bindings = tuple(Binding(host, ADDRESS, (443,), 60.0, ()) for host in ("b.test", "a.test"))
    found = explained(str(ADDRESS), bindings=bindings)
    assert (found.allowed, found.names) == (True, ("a.test", "b.test"))
    other = explained(f"{ADDRESS}:22", bindings=bindings)
    assert (other.allowed, other.note) == (False, "it is open for a.test:443, b.test:443 only")


def test_this_machine_is_not_for_a_policy() -> None:
    """Nothing has to leave it."""
    assert explained("localhost:5000/x").allowed
