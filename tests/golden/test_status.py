"""What `enforcer status` prints in each situation, as a person has read it."""

from __future__ import annotations

import io
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from enforcer.cli.plain import as_text
from enforcer.cli.screen import as_screen
from enforcer.core.interfaces import LEARNING, Interface, Network, Program
from enforcer.core.policy import Mode
from enforcer.core.problem import Problem
from enforcer.core.proof import FamilyProof
from enforcer.core.proof import Outcome as Shown
from enforcer.core.table import ABSENT, ListedElement, TableState
from enforcer.daemon.prover import HINT, UPLINK
from enforcer.daemon.views import proof_view
from enforcer.errors import PolicyError, PolicyProblem
from enforcer.kernel_checks.result import Outcome, Result
from enforcer.kernel_checks.suite import Findings
from enforcer.kernel_checks.wsl import detect
from enforcer.status import KernelState, report
from tests.golden.golden import assert_golden

FOLDER = Path(__file__).parent / "status"
NOWHERE = Path("/nonexistent")
LINUX = Findings(
    "6.8.0-48-generic",
    detect("6.8.0-48-generic", NOWHERE, NOWHERE),
    (Result("version", Outcome.SUPPORTED, "Linux 6.8.0-48-generic"),),
)
WSL = Findings(
    "6.6.87.2-microsoft-standard-WSL2",
    detect("6.6.87.2-microsoft-standard-WSL2", NOWHERE, NOWHERE),
    (),
)
TABLE = TableState(
    present=True,
    mode=Mode.ENFORCE,
    missing=(),
    passing=(),
    elements=(ListedElement(ip_address("203.0.113.1"), 443, 100, "ghcr.io"),),
    denied=7,
)
WHOLE = KernelState(
    table=TABLE,
    resolvers=(ip_address("192.0.2.53"),),
    network=Network(
        (
            Interface(1, "lo"),
            Interface(2, "eth0"),
            Interface(3, "docker0", kind="bridge"),
            Interface(4, "veth8d1c", kind="veth", master=3),
        ),
        defaults=frozenset({2}),
        facing={ip_address("192.0.2.53"): 2},
    ),
    attached={1: LEARNING, 2: LEARNING, 3: frozenset({Program.FORWARD_MARK})},
    bridged=True,
)

PROVED = FamilyProof(4, Shown.PROVED, ip_address("198.51.100.23"), (ip_address("203.0.113.1"), 443))
ONE_FAMILY = (PROVED, FamilyProof(6, Shown.NO_ROUTE, why="Network is unreachable"))
AT = 1795420800.0  # 2026-11-23T08:00:00Z
PROOF = proof_view(ONE_FAMILY, AT, 2.3)


def running(
    kernel: KernelState,
    *problems: Problem,
    findings: Findings = LINUX,
    repaired: tuple[dict[str, Any], ...] = (),
    proof: dict[str, Any] = PROOF,
    denied: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """Return the document of a daemon that runs."""
    daemon = {
        "daemon": {"running": True, "pid": 4711, "version": "0.1.0", "uptime_s": 86400.0},
        "policy": {
            "organization": "acme",
            "hosts": 12,
            "digest": "0123456789abcdef" * 4,
            "loaded_at": "2026-11-23T08:00:00+00:00",
        },
        "resolvers": ["192.0.2.53", "2001:db8::53"],
        "proof": proof,
        "repaired": list(repaired),
    }
    document = report(kernel, findings, daemon, problems)
    document["denied"]["hosts"] = list(denied)
    return document


def changed(document: dict[str, Any]) -> dict[str, Any]:
    """Return *document* after an edit of the policy file that is not in force."""
    return document | {"policy": document["policy"] | {"changed": True}}


UNRESOLVED = Problem(
    "registry.corp.example can't be resolved: A and AAAA: no such name (NXDOMAIN)",
    "check the name and the resolvers",
)
REFUSED = PolicyError(
    "/etc/enforcer/policy.yaml",
    (
        PolicyProblem(4, "", "unknown key: registry", "did you mean registries?"),
        PolicyProblem(7, "", "no such preset: docker", "see enforcer policy presets"),
    ),
)
REPAIRED = {
    "text": "somebody else changed the nftables table (chain output)",
    "at": "2026-11-23T08:12:00+00:00",
}
BOTH = proof_view((PROVED, FamilyProof(6, Shown.PROVED, ip_address("2001:db8:61e::a1"))), AT, 4.6)
ACCEPTED = "198.51.100.23 is accepted, and nothing permits it"
FAILED = proof_view(
    (FamilyProof(4, Shown.FAILED, why=ACCEPTED), FamilyProof(6, Shown.UNPROVED, why="?")), AT, 12.0
)
NOWHERE_TO_TRY = proof_view(
    (FamilyProof(4, Shown.NO_ROUTE, why="?"), FamilyProof(6, Shown.NO_ROUTE, why="?")), None, None
)
PROOF_PROBLEMS = (
    Problem(f"IPv4: {ACCEPTED}", HINT),
    Problem("IPv6: not proved: something else than the ruleset denies 2001:db8::7", HINT),
)


def denied_host(
    host: str | None, address: str, port: int | None, packets: int, *processes: str, **more: object
) -> dict[str, Any]:
    """Return what is told of a host that was denied."""
    said = {"protocol": "tcp", "last": "2026-11-23T07:59:48+00:00", "age_s": 12.0}
    told = {"host": host, "address": address, "port": port, "packets": packets}
    return told | {"processes": list(processes)} | said | more


DENIED = (
    denied_host("ghcr.io", "198.51.100.7", 443, 14, "skopeo", "dockerd"),
    denied_host("registry.corp.example", "198.51.100.8", 5000, 5, "dockerd", age_s=840.0),
    denied_host(None, "2001:db8::5", 53, 2, "python3", protocol="udp", age_s=1200.0),
    denied_host(None, "198.51.100.9", None, 1, protocol="icmp", age_s=3000.0),
    denied_host(f"{'long-' * 10}name.cdn.example.com", "198.51.100.9", 8443, 1, "a", "b", "c"),
    *(denied_host(f"r{n}.example.com", "198.51.100.9", 443, 1) for n in range(3)),
)
UNCOUNTED = replace(WHOLE, table=replace(TABLE, denied=None))
AUDIT = replace(WHOLE, table=replace(TABLE, mode=Mode.AUDIT))
DETACHED = replace(WHOLE, attached={1: LEARNING, 2: frozenset({Program.DNS_ANSWER})}, bridged=False)
UNLABELLED = replace(WHOLE, table=replace(TABLE, missing=("input",)))
UNJUDGED = replace(WHOLE, table=replace(TABLE, missing=("output",)))
FLUSHED = replace(
    WHOLE, table=replace(TABLE, passing=("output",)), edited=("chain output", "set resolvers4")
)
EDITED = replace(WHOLE, edited=("chain destinations",))
UNPLUGGED = replace(WHOLE, network=replace(WHOLE.network, defaults=frozenset(), facing={}))
NOT_FACING = replace(WHOLE, network=replace(WHOLE.network, facing={}))
# A network card in Docker's bridge, and the resolver behind another.
MIXED = replace(
    WHOLE,
    network=Network(
        (
            *WHOLE.network.interfaces,
            Interface(5, "eth1", master=3),
            Interface(6, "br-0a1b2c", kind="bridge"),
        ),
        defaults=frozenset({2}),
        facing={ip_address("172.18.0.53"): 6},
        bridges_judged=False,
    ),
    attached={1: LEARNING, 6: frozenset(Program)},
    resolvers=(ip_address("172.18.0.53"),),
)
EMPTY = replace(WHOLE, table=ABSENT, attached={}, bridged=False)

CASES = {
    "healthy": (running(WHOLE), True, True),
    "problem": (running(WHOLE, UNRESOLVED), True, False),
    "changed-file": (changed(running(WHOLE)), True, True),
    "refused-policy": (running(WHOLE, Problem(REFUSED.message, REFUSED.hint)), True, False),
    "many-problems": (
        running(WHOLE, *(replace(UNRESOLVED, text=f"{n} fails") for n in range(1000))),
        True,
        False,
    ),
    "mixed-bridges": (running(MIXED), True, False),
    "audit": (running(AUDIT), False, True),
    "detached": (running(DETACHED), True, False),
    "audit-problem": (running(AUDIT, UNRESOLVED, denied=DENIED[:1]), False, False),
    "denied": (running(WHOLE, proof=BOTH, denied=DENIED), True, True),
    "uncounted": (running(UNCOUNTED, proof=BOTH, denied=DENIED[:2]), True, True),
    "not-proved": (running(WHOLE, *PROOF_PROBLEMS, proof=FAILED), True, False),
    "no-route": (
        running(
            WHOLE,
            Problem("nothing is proved of the ruleset: no route leads out", UPLINK),
            proof=NOWHERE_TO_TRY,
        ),
        True,
        False,
    ),
    "resolver-dead": (
        running(
            WHOLE,
            Problem(
                "registry.corp.example can't be resolved: 192.0.2.53 did not answer within 2 s",
                "check the name and the resolvers",
            ),
        ),
        True,
        False,
    ),
    "input-gone": (running(UNLABELLED), True, False),
    "output-gone": (running(UNJUDGED), False, False),
    "table-gone": (running(EMPTY), False, False),
    "edited": (running(EDITED), True, False),
    "repaired": (
        running(WHOLE, repaired=(REPAIRED | {"times": 1}, REPAIRED | {"times": 3})),
        True,
        True,
    ),
    "unplugged": (running(UNPLUGGED), True, False),
    "no-way-to-resolvers": (running(NOT_FACING), True, False),
    "killed-edited": (report(EDITED, LINUX), True, False),
    "killed-flushed": (report(FLUSHED, LINUX), False, False),
    "killed": (report(WHOLE, LINUX), True, False),
    "killed-detached": (report(DETACHED, LINUX), True, False),
    "failed": (report(WHOLE, LINUX, unit="failed"), True, False),
    "starting": (report(WHOLE, LINUX, unit="activating"), True, False),
    "silent": (report(WHOLE, LINUX, silent=True), True, False),
    "never-started": (report(EMPTY, LINUX), False, False),
    "wsl": (running(WHOLE, findings=WSL), True, True),
}


@pytest.mark.parametrize("name", CASES)
def test_status_is_true_and_reads_as_reviewed(name: str) -> None:
    """Each situation has its flags and its text, below 80 columns."""
    document, enforcing, healthy = CASES[name]
    assert (document["enforcing"], document["healthy"]) == (enforcing, healthy)
    text = as_text(document) + "\n"
    assert max(map(len, text.splitlines())) < 80
    assert_golden(FOLDER / f"{name}.txt", text)


# Whoever reads a terminal of 80 columns without colours.
SCREENS = (
    "audit",
    "denied",
    "detached",
    "healthy",
    "killed",
    "never-started",
    "not-proved",
    "uncounted",
)


@pytest.mark.parametrize("name", SCREENS)
def test_a_terminal_shows_it_as_reviewed(name: str) -> None:
    """In 80 columns, the state in the first of its lines."""
    document, _, _ = CASES[name]
    written = io.StringIO()
    Console(file=written, width=80, highlight=False).print(as_screen(document))
    lines = [line.rstrip() for line in written.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert as_text(document).partition("\n")[0] in lines[0]
    assert_golden(FOLDER / "screen" / f"{name}.txt", "\n".join(lines) + "\n")


def test_a_terminal_without_signs_gets_none() -> None:
    """As one of the console is."""
    for document, _, _ in CASES.values():
        written = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
        Console(file=written, width=80, safe_box=True).print(as_screen(document, signs=False))


def test_the_document_has_what_is_promised() -> None:
    """Every key that others rely on is there, with and without a daemon."""
    promised = {
        "enforcing", "healthy", "mode", "daemon", "policy", "kernel", "platform", "resolvers",
        "interfaces", "addresses", "denied", "problems",
    }  # fmt: skip
    for document, _, _ in CASES.values():
        assert promised <= document.keys()
        assert {"running", "pid", "version", "uptime_s"} <= document["daemon"].keys()
        assert {"organization", "hosts", "digest", "loaded_at"} <= document["policy"].keys()
        assert {"release", "checks"} <= document["kernel"].keys()
        assert all(
            {"name", "role", "learning", "programs"} <= each.keys()
            for each in document["interfaces"]
        )
        assert {"wsl", "scope", "notes"} <= document["platform"].keys()
        assert {"total", "recent"} <= document["denied"].keys()
