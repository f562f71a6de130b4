"""Presets: data that is complete, hosts as documented, and clear words for wrong entries."""

from __future__ import annotations

import datetime
import urllib.parse

import pytest

from enforcer.core.choices import choose
from enforcer.core.faults import Faulty
from enforcer.core.hostname import InvalidHostname, parse_pattern
from enforcer.core.presets import Preset, presets

QUAY = [
    "quay.io",
    "cdn.quay.io",
    *(f"cdn0{i}.quay.io" for i in range(1, 7)),
    "quayio-production-s3.s3.amazonaws.com",
]
ECR = {"account": "123456789012", "region": "eu-west-1"}
ECR_HOSTS = [
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    "123456789012.dkr-ecr.eu-west-1.on.aws",
    "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com",
    "prod-eu-west-1-starport-layer-bucket.s3.amazonaws.com",
    "api.ecr.eu-west-1.amazonaws.com",
    "ecr.eu-west-1.api.aws",
]
ECR_FIPS_HOSTS = [
    "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com",
    "123456789012.dkr-ecr-fips.eu-west-1.on.aws",
    "ecr-fips.eu-west-1.amazonaws.com",
    "ecr-fips.eu-west-1.api.aws",
]


def hosts(entry: object) -> list[str]:
    """Return the hosts that *entry* under `registries` stands for."""
    return [str(pattern) for pattern in choose(entry).patterns]


def all_presets() -> list[Preset]:
    """Return every preset."""
    return list(presets().values())


def test_the_presets_are_those_documented() -> None:
    """A preset doesn't come or go by accident: policies name them."""
    names = (
        "docker-hub ecr ecr-public ghcr gcr artifact-registry acr mcr quay redhat k8s gitlab ngc"
    )
    assert sorted(presets()) == sorted(names.split())


@pytest.mark.parametrize("preset", all_presets(), ids=lambda preset: preset.name)
def test_a_preset_says_where_it_is_from(preset: Preset) -> None:
    """Each has a description, sources that are https URLs, and the day they were read."""
    assert preset.description
    assert preset.sources
    for source in preset.sources:
        url = urllib.parse.urlsplit(source)
        assert (url.scheme, bool(url.hostname), bool(url.path)) == ("https", True, True)
    assert preset.checked >= datetime.date(2026, 11, 23)


@pytest.mark.parametrize("preset", all_presets(), ids=lambda preset: preset.name)
def test_the_examples_of_a_preset_make_hosts(preset: Preset) -> None:
    """With every example given, each host is a valid pattern, and none is there twice."""
    examples = {parameter.name: parameter.example for parameter in preset.parameters}
    made = hosts({preset.name: examples})
    assert made
    assert len(made) == len(set(made))


@pytest.mark.parametrize("preset", all_presets(), ids=lambda preset: preset.name)
def test_a_preset_opens_no_public_suffix_unless_asked(preset: Preset) -> None:
    """With the required parameters alone, an operator could write each host by hand."""
    required = {parameter.name: parameter.example for parameter in preset.required()}
    for host in hosts({preset.name: required}):
        assert str(parse_pattern(host)) == host


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("ghcr", ["ghcr.io", "pkg-containers.githubusercontent.com"]),
        ({"ghcr": None}, ["ghcr.io", "pkg-containers.githubusercontent.com"]),
        ({"ghcr": {}}, ["ghcr.io", "pkg-containers.githubusercontent.com"]),
        (
            "docker-hub",
            [
                "registry-1.docker.io",
                "docker.io",
                "index.docker.io",
                "auth.docker.io",
                "login.docker.com",
                "auth.docker.com",
                "hub.docker.com",
                "cdn.auth0.com",
                "production.cloudflare.docker.com",
                "production.cloudfront.docker.com",
                "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
            ],
        ),
        ({"ecr": ECR}, ECR_HOSTS),
        ({"ecr": {**ECR, "fips": False}}, ECR_HOSTS),
        ({"ecr": {**ECR, "fips": True}}, [*ECR_HOSTS, *ECR_FIPS_HOSTS]),
        ({"artifact-registry": {"location": "europe"}}, ["europe-docker.pkg.dev"]),
        ({"acr": {"name": "Contoso"}}, ["contoso.azurecr.io"]),
        (
            {"acr": {"name": "contoso", "region": "eastus2"}},
            ["contoso.azurecr.io", "contoso.eastus2.data.azurecr.io"],
        ),
        (
            {"acr": {"name": "contoso", "shared_storage": True}},
            ["contoso.azurecr.io", "*.blob.core.windows.net"],
        ),
        ("mcr", ["mcr.microsoft.com", "*.data.mcr.microsoft.com"]),
        ("quay", QUAY),
        (
            "redhat",
            [
                "registry.redhat.io",
                "registry.access.redhat.com",
                "registry.connect.redhat.com",
                "sso.redhat.com",
                "access.redhat.com",
                *QUAY,
            ],
        ),
        ("ngc", ["nvcr.io", "*.nvcr.io", "authn.nvidia.com"]),
    ],
)
def test_an_entry_stands_for_the_documented_hosts(entry: object, expected: list[str]) -> None:
    """Neither more nor fewer, with and without parameters."""
    assert sorted(hosts(entry)) == sorted(expected)


def test_kubernetes_names_its_regions_and_one_bucket() -> None:
    """Concrete names, since *-docker.pkg.dev is no wildcard; a bucket only where one is used."""
    plain = hosts("k8s")
    assert {"registry.k8s.io", "cdn.registry.k8s.io", "europe-west1-docker.pkg.dev"} <= set(plain)
    assert not [host for host in plain if "*" in host or "amazonaws" in host]
    ohio = set(hosts({"k8s": {"aws_region": "us-east-2"}})) - set(plain)
    assert ohio == {"prod-registry-k8s-io-us-east-2.s3.dualstack.us-east-2.amazonaws.com"}
    taipei = hosts({"k8s": {"aws_region": "ap-east-2"}})
    assert "prod-registry-k8s-io-ap-east-1.s3.dualstack.ap-east-1.amazonaws.com" in taipei


@pytest.mark.parametrize(
    ("entry", "at", "reason", "hint"),
    [
        ("ghrc", (), '"ghrc" is no preset', "did you mean ghcr?"),
        ({"ghrc": {}}, ("ghrc",), '"ghrc" is no preset', "did you mean ghcr?"),
        ("something", (), "is no preset", "known here: docker-hub, ecr"),
        ("registry.example.com", (), "is no preset", "goes under hosts:"),
        ("docker.io", (), "is no preset", "write docker-hub"),
        ("MCR.microsoft.com", (), "is no preset", "write mcr"),
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            (),
            "is no preset",
            'write ecr: {account: "123456789012", region: "eu-west-1"}',
        ),
        ("", (), "is no preset", "known here:"),
        ("ecr", (), "ecr needs account and region", 'ecr: {account: "123456789012", region: '),
        ({"ecr": None}, ("ecr",), "ecr needs account and region", "account:"),
        ({"ecr": {"account": "123456789012"}}, ("ecr",), "ecr needs region", "region:"),
        ({"ecr": {**ECR, "account": 123456789012}}, ("ecr", "account"), "in quotes", '"123456'),
        ({"ecr": {**ECR, "account": "12345"}}, ("ecr", "account"), "12 digits", '"123456789012"'),
        ({"ecr": {**ECR, "account": "1" * 13}}, ("ecr", "account"), "12 digits", "account:"),
        ({"ecr": {**ECR, "account": "１" * 12}}, ("ecr", "account"), "12 digits", "account:"),
        ({"ecr": {**ECR, "region": "Ireland"}}, ("ecr", "region"), "the AWS region", "eu-west-1"),
        ({"ecr": {**ECR, "region": "eu-west-1\n"}}, ("ecr", "region"), "the AWS region", "eu-"),
        ({"ecr": {**ECR, "region": "cn-north-1"}}, ("ecr", "region"), "outside China", "eu-west-1"),
        ({"ecr": {**ECR, "fips": "yes"}}, ("ecr", "fips"), 'not "yes"', "fips: true"),
        ({"ecr": {**ECR, "regio": "x"}}, ("ecr", "regio"), "no parameter", "did you mean region"),
        ({"ghcr": {"name": "x"}}, ("ghcr", "name"), "ghcr has no parameter", "known here: none"),
        ({"acr": {"name": "x.evil.example#"}}, ("acr", "name"), "registry's name", "contoso"),
        ({"ecr": "x"}, ("ecr",), 'must be a mapping, not "x"', "write ecr: {account:"),
        ({"ecr": None, **ECR}, (), "not a mapping of 3 keys", "indent the parameters"),
        ({}, (), "must be a preset, not a mapping", "write ghcr"),
        (5, (), "must be a preset, not 5", "write ghcr"),
        (None, (), "must be a preset, not nothing", "write ghcr"),
        (["ghcr"], (), "must be a preset, not a list", "write ghcr"),
    ],
)
def test_a_wrong_entry_is_one_clear_fault(
    entry: object, at: tuple[str, ...], reason: str, hint: str
) -> None:
    """It says where, what and what to write instead."""
    with pytest.raises(Faulty) as caught:
        choose(entry)
    [fault] = caught.value.faults
    assert fault.at == at
    assert reason in fault.reason
    assert hint in fault.hint


def test_all_faults_of_an_entry_come_at_once() -> None:
    """Two wrong parameters and a missing one are three faults."""
    with pytest.raises(Faulty) as caught:
        choose({"ecr": {"account": "1", "colour": "red"}})
    assert [fault.at for fault in caught.value.faults] == [
        ("ecr", "account"),
        ("ecr", "colour"),
        ("ecr",),
    ]


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "ap-southeast-7", "ca-west-1"])
def test_every_region_outside_china_is_one(region: str) -> None:
    """The shape of a region admits those of all partitions with these names."""
    assert hosts({"ecr": {**ECR, "region": region}})


def test_the_shared_storage_wildcard_can_not_be_typed() -> None:
    """What the switch of acr opens is refused under `hosts`."""
    with pytest.raises(InvalidHostname):
        parse_pattern("*.blob.core.windows.net")
