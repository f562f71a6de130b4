"""What a reload takes away stays away."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.asking import ask, ask_both, held
from tests.lab.conftest import FRESH_ZONE, POLICY
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import connected, goes_on
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.lab.tier import refusal
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

WITHOUT_ZONE = "version: 1\norganization: lab\nhosts:\n  - registry.allowed.test\n"
NOBODY = 65534
# Arguments: an address. Says when it has begun to connect, and ends when told to.
_KEEP_TRYING = """
import socket, sys
sock = socket.socket()
sock.setblocking(False)
try:
    sock.connect((sys.argv[1], 443))
except BlockingIOError:
    print("trying", flush=True)
sys.stdin.read()
"""


# Arguments: that address and another. When told to, tries that one with the same socket.
_TRY_ANOTHER = f"""{_KEEP_TRYING}
import ctypes, errno, struct
unspecified = struct.pack("=H14x", socket.AF_UNSPEC)
ctypes.CDLL(None).connect(sock.fileno(), unspecified, len(unspecified))
sock.settimeout(2)
try:
    sock.connect((sys.argv[2], 443))
    print("connected")
except TimeoutError:
    print("ETIMEDOUT")
except OSError as exc:
    print(errno.errorcode[exc.errno])
"""
# Where there is a pipe, a ruleset is carried out once somebody has written to it.
_SLOW_NFT = """#!/bin/sh
[ "$1" != -f ] || [ ! -p {pipe} ] || read -r told < {pipe} || exit 1
exec {nft} "$@"
"""


def silent_address(lab: Lab) -> str:
    """Return an address that a permitted name has, and that answers nobody."""
    name = f"silent.{FRESH_ZONE}"
    address = lab.net.host.run("getent", "ahostsv4", name).stdout.split()[0]
    lab.net.world.nft(
        "table inet lab_silent {\nchain input {\ntype filter hook input priority 0\n"
        f"ip daddr {address} counter drop\n}}\n}}\n"
    )
    return address


@contextlib.contextmanager
def trying(lab: Lab, program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run *program*, of a user, which has begun to connect."""
    with subprocess.Popen(
        lab.net.host.command(sys.executable, "-c", program, *arguments, user=NOBODY),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "trying\n"
        yield started


@pytest.mark.parametrize("by", ["reload", "start"])
def test_a_socket_that_still_connects_opens_nothing_again(lab: Lab, by: str) -> None:
    """Each SYN it sent again bore the mark that opens an address for all, and for a minute."""
    host = lab.net.host
    with running(lab.net, POLICY) as enforcer:
        address = silent_address(lab)
        with trying(lab, _KEEP_TRYING, address):
            if by == "reload":
                enforcer.reload(WITHOUT_ZONE)
            else:
                enforcer.kill()
                enforcer.policy_file.write_text(WITHOUT_ZONE)
                enforcer.start()
            until(lambda: refused_or_ended(lab, enforcer), 10, "another SYN")
            listing = host.run("nft", "list", "set", "inet", "enforcer", "allow4").stdout
            assert address not in listing


def test_no_mark_leads_elsewhere_while_a_reload_lasts(lab: Lab, tmp_path: Path) -> None:
    """A socket that had been marked before kept its mark, whatever it was connected to next.

    The programs had gone on to the next nonce, and the ruleset not yet.
    """
    pipe, nft = tmp_path / "pipe", tmp_path / "nft"
    nft.write_text(_SLOW_NFT.format(pipe=pipe, nft=shutil.which("nft")))
    nft.chmod(0o755)
    with running(lab.net, POLICY, path=f"{tmp_path}:{os.environ['PATH']}") as enforcer:
        address, (evil, _) = silent_address(lab), DENIED.addresses
        with trying(lab, _TRY_ANOTHER, address, evil) as started:
            os.mkfifo(pipe)
            enforcer.policy_file.write_text(WITHOUT_ZONE)
            os.kill(enforcer.process.pid, signal.SIGHUP)
            with pipe.open("w") as waiting:
                outcome, _ = started.communicate()
                pipe.unlink()
                waiting.write("go on\n")
            assert refusal(outcome.strip()) == "ECONNREFUSED"
        until(lambda: enforcer.status()["policy"]["hosts"] == 1, 10, "the reload to end")


def test_a_socket_that_began_while_a_reload_lasted_opens_nothing(lab: Lab, tmp_path: Path) -> None:
    """What the policy no longer has was still known, and marked as the next ruleset accepts it."""
    pipe, nft = tmp_path / "pipe", tmp_path / "nft"
    nft.write_text(_SLOW_NFT.format(pipe=pipe, nft=shutil.which("nft")))
    nft.chmod(0o755)
    with running(lab.net, POLICY, path=f"{tmp_path}:{os.environ['PATH']}") as enforcer:
        address = silent_address(lab)
        os.mkfifo(pipe)
        enforcer.policy_file.write_text(WITHOUT_ZONE)
        os.kill(enforcer.process.pid, signal.SIGHUP)
        with pipe.open("w") as waiting, trying(lab, _KEEP_TRYING, address):
            pipe.unlink()
            waiting.write("go on\n")
            waiting.flush()
            until(lambda: enforcer.status()["policy"]["hosts"] == 1, 10, "the reload to end")
            until(lambda: refused_or_ended(lab, enforcer), 10, "another SYN")
            listing = lab.net.host.run("nft", "list", "set", "inet", "enforcer", "allow4")
            assert address not in listing.stdout


def test_no_mark_of_a_reload_that_crashed_leads_elsewhere(lab: Lab, tmp_path: Path) -> None:
    """A socket marked by its programs kept that mark under those of the next start.

    They did not know it, and the ruleset did, which was in force until theirs was.
    """
    pipe, nft = tmp_path / "pipe", tmp_path / "nft"
    nft.write_text(_SLOW_NFT.format(pipe=pipe, nft=shutil.which("nft")))
    nft.chmod(0o755)
    with (
        running(lab.net, POLICY, path=f"{tmp_path}:{os.environ['PATH']}") as enforcer,
        contextlib.ExitStack() as stack,
    ):
        address, (evil, _) = silent_address(lab), DENIED.addresses
        os.mkfifo(pipe)
        enforcer.policy_file.write_text(f"{POLICY}  - another.test\n")
        os.kill(enforcer.process.pid, signal.SIGHUP)
        with pipe.open("w"):
            started = stack.enter_context(trying(lab, _TRY_ANOTHER, address, evil))
            enforcer.kill()
        pool = stack.enter_context(ThreadPoolExecutor(1))
        starting = pool.submit(enforcer.start)
        with pipe.open("w") as waiting:
            outcome, _ = started.communicate()
            pipe.unlink()
            waiting.write("go on\n")
        starting.result()
        assert refusal(outcome.strip()) == "ECONNREFUSED"


_KEPT = """\
version: 1
organization: lab
dns: {min_ttl: 0, grace: 0}
hosts:
  - {host: "*.kept.test", ports: [9443]}
"""
_BOTH = f"""\
{_KEPT}  - {{host: "*.gone.test", ports: [9443]}}
  - {{host: "*.narrow.test", ports: [9443, 9444]}}
"""
_NARROWED = f"""\
{_KEPT}  - {{host: "*.narrow.test", ports: [9444]}}
"""
# What the names were for a moment; one address was both's.
_NAMES = {
    "a.gone.test": ("198.18.40.1", "2001:db8:40::1"),
    "b.gone.test": ("198.18.40.2", "2001:db8:40::2"),
    "b.kept.test": ("198.18.40.2", "2001:db8:40::2"),
    "c.kept.test": ("198.18.40.3", "2001:db8:40::3"),
    "d.narrow.test": ("198.18.40.4", "2001:db8:40::4"),
}
_TTL_S = 5


@pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])
@pytest.mark.parametrize(
    "origin", ["host", pytest.param("container", marks=pytest.mark.needs("ct"))]
)
def test_a_host_takes_its_connections_with_it_after_its_addresses_expired(
    lab: Lab, origin: str, version: int
) -> None:
    """Only those to what was open at that moment ended, and the others went on for ever.

    One that another host, which stays, had as well goes on.
    """
    net, client = lab.net, getattr(lab.net, origin)
    net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
    for name, addresses in _NAMES.items():
        lab.nameserver.add(name, *addresses, ttl_s=_TTL_S)
    with running(net, _BOTH) as enforcer, contextlib.ExitStack() as stack:
        ends = {}
        for name, addresses in _NAMES.items():
            ask_both(net.host, RESOLVERS[0], name)
            address = addresses[version]
            await_element(lab, address)
            if address not in ends:
                ends[address] = stack.enter_context(connected(client, net.world, address, 9443))
        for name in _NAMES:
            until(lambda name=name: not held(enforcer, name), 15, f"{name} to expire")  # type: ignore[misc]
        assert all(map(goes_on, ends.values()))
        enforcer.put_in_force(_NARROWED)
        went_on = {address for address, each in ends.items() if goes_on(each)}
        assert went_on == {_NAMES[name][version] for name in ("b.kept.test", "c.kept.test")}


def test_a_host_that_comes_back_is_like_new(lab: Lab) -> None:
    """What it had before it went has ended, and is not held against it."""
    net, address = lab.net, _NAMES["a.gone.test"][0]
    lab.nameserver.add("a.gone.test", *_NAMES["a.gone.test"])
    with running(net, _BOTH) as enforcer:
        for policy in (_KEPT, _BOTH):
            ask_both(net.host, RESOLVERS[0], "a.gone.test")
            await_element(lab, address)
            with connected(net.host, net.world, address, 9443) as ends:
                enforcer.put_in_force(policy)
                assert goes_on(ends) is (policy == _BOTH)
            enforcer.put_in_force(_BOTH)


def await_element(lab: Lab, address: str) -> None:
    """Return when *address* is open to sockets outside of the lab's cgroup, too."""
    six = ":" in address
    element = f"{{ {address} . 9443 }}"
    get = ("nft", "get", "element", "inet", "enforcer", "allow6" if six else "allow4", element)
    until(lambda: lab.net.host.run(*get, check=False).returncode == 0, 5, f"{address} to be open")


def refused_or_ended(lab: Lab, enforcer: Enforcer) -> bool:
    """Tell whether a socket's next SYN was refused or dropped, or there is to be none."""
    trying = lab.net.host.run("ss", "--no-header", "--tcp", "state", "syn-sent").stdout
    return bool(enforcer.status()["denied"]["total"]) or syns(lab) > 1 or not trying


def syns(lab: Lab) -> int:
    """Return how many packets the silent address has dropped."""
    listing = lab.net.world.run("nft", "list", "table", "inet", "lab_silent").stdout
    words = listing.split()
    return int(words[words.index("packets") + 1])


@pytest.mark.needs("reject", "ct")
def test_a_host_is_known_from_the_first_answer_that_a_reload_permits(lab: Lab) -> None:
    """A connection that began while the reload was under way outlived the next one.

    The kernel had the new policy before the daemon judged answers by it: the books never heard
    of the address that it had opened.
    """
    net = lab.net
    lab.nameserver.fresh("new.test")
    more = "".join(f"  - h{number}.example.test\n" for number in range(2000))
    with_zone = f"{WITHOUT_ZONE}{more}  - {{host: '*.new.test', ports: [9443]}}\n"
    server = net.world.call(
        lambda: socket.create_server(("::", 9443), family=socket.AF_INET6, dualstack_ipv6=True)
    )

    def connect(number: int) -> socket.socket | None:
        (address,) = ask(net.container, RESOLVERS[0], f"n{number}.new.test").answer[0]

        def attempt() -> socket.socket | None:
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection((str(address), 9443), timeout=2)
            return None

        return net.container.call(attempt)

    with running(net, WITHOUT_ZONE) as enforcer, ThreadPoolExecutor() as threads, server:
        assert connect(0) is None
        reload = threads.submit(enforcer.put_in_force, with_zone)
        ours = next(made for number in itertools.count(1) if (made := connect(number)))
        assert not reload.done(), "it did not begin while the reload was under way"
        reload.result()
        server.settimeout(2)
        with ours, server.accept()[0] as theirs:
            theirs.settimeout(2)
            assert goes_on((ours, theirs))
            enforcer.put_in_force(WITHOUT_ZONE)
            assert not goes_on((ours, theirs))
