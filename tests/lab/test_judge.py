"""What judge_connect passes on to the ruleset, and what it denies: on a real cgroup."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.lab.topology import Topology, topology

pytestmark = pytest.mark.root

OUTSIDE, PORT = "198.18.0.1", 443
# Runs in the host namespace and its cgroup: attaches the programs there, and connects.
_JUDGE = """
import ctypes, errno, json, os, socket, subprocess, sys, time
from ipaddress import ip_address, ip_network
from pathlib import Path
from enforcer.abi import JudgingFlags
from enforcer.edge.cgroup import CgroupHook
from enforcer.edge.judge import Judge
from enforcer.edge.loader import load

OUTSIDE, PORT = sys.argv[1], int(sys.argv[2])
cgroup = Path(sys.argv[3])
objects = load()
judge = Judge(objects)
assert not judge.refused, judge.refused
found = {}

def attempt(address=OUTSIDE, port=PORT, *, kind=socket.SOCK_STREAM, options=()):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.setblocking(False)
        for option in options:
            sock.setsockopt(*option)
        try:
            sock.connect((address, port))
        except OSError as exc:
            return "passes" if exc.errno == errno.EINPROGRESS else errno.errorcode[exc.errno]
    return "passes"

MARK = (socket.SOL_SOCKET, socket.SO_MARK, (7).to_bytes(4, sys.byteorder))
DEVICE = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
later = time.monotonic() + 60
assert not judge.find_namespace(), "shown before anything is attached"
for name, fd in judge.programs.items():
    CgroupHook(cgroup, name).attach(fd)
assert judge.find_namespace()
judge.set_places({
    ip_network("0.0.0.0/0"): True, ip_network("::/0"): True,
    ip_network("127.0.0.0/8"): False, ip_network("198.18.9.0/24"): False,
})
found["before it judges"] = attempt()
judge.judge(JudgingFlags.DENIES, later)
found["outside"] = attempt()
found["outside, IPv6"] = attempt("2001:db8::1")
found["outside, mapped"] = attempt("::ffff:" + OUTSIDE)
found["a permitted network"] = attempt("198.18.9.1")
found["inside"] = attempt("127.0.0.1", 9)
found["UDP"] = attempt(kind=socket.SOCK_DGRAM)
found["with a mark"] = attempt(options=(MARK,))
found["by a device"] = attempt(options=(DEVICE,))
judge.open({(ip_address(OUTSIDE), PORT): later})
found["opened"] = attempt()
found["another port"] = attempt(port=PORT + 1)
judge.open({(ip_address(OUTSIDE), PORT): time.monotonic() - 1})
found["opened until before"] = attempt()
judge.open({(ip_address(OUTSIDE), PORT): later})
judge.expire(later + 1)
found["expired"] = attempt()
script = "import socket; s = socket.socket(); s.setblocking(False);" \\
    f"s.connect_ex(('127.0.0.1', 9)); print(s.connect_ex(('{OUTSIDE}', {PORT})))"
other = subprocess.run(["unshare", "--net", sys.executable, "-c", script],
                       capture_output=True, text=True, check=True).stdout
found["another namespace"] = errno.errorcode[int(other)]
judge.listen()
judge.judge(JudgingFlags.TELLS, later)
found["told"] = attempt()
found["who"] = [(str(d.destination.address), d.destination.port, d.who.pid == os.getpid())
                for d in judge.denied(10)]
judge.judge(JudgingFlags.DENIES, time.monotonic() - 1)
found["after nobody said that it still holds"] = attempt()
for name, fd in judge.programs.items():
    hook = CgroupHook(cgroup, name)
    for number in hook.attached():
        hook.detach(number)
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def judged() -> Iterator[dict[str, object]]:
    """Return what became of each attempt."""
    with topology() as net:
        yield _judged(net)


def _judged(net: Topology) -> dict[str, object]:
    argv = (sys.executable, "-c", _JUDGE, OUTSIDE, str(PORT), str(net.cgroup))
    found: dict[str, object] = json.loads(net.host.run(*argv, timeout_s=100).stdout)
    return found


@pytest.mark.parametrize(
    ("what", "becomes"),
    [
        ("outside", "EPERM"),
        ("outside, IPv6", "EPERM"),
        ("outside, mapped", "EPERM"),
        ("another port", "EPERM"),
        ("opened until before", "EPERM"),
        ("expired", "EPERM"),
        ("before it judges", "passes"),
        ("a permitted network", "passes"),
        ("inside", "passes"),
        ("UDP", "passes"),
        ("with a mark", "passes"),
        ("by a device", "passes"),
        ("opened", "passes"),
        ("told", "passes"),
        ("after nobody said that it still holds", "passes"),
        ("another namespace", "ENETUNREACH"),
    ],
)
def test_only_what_is_certain_is_denied(judged: dict[str, object], what: str, becomes: str) -> None:
    """All else meets the ruleset, which knows more."""
    assert judged[what] == becomes


def test_what_is_told_has_its_process(judged: dict[str, object]) -> None:
    """Though the connection goes on."""
    assert judged["who"] == [[OUTSIDE, PORT, True]]
