"""Name servers with a cache, as machines run them between their programs and the resolver."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import dns.exception

from tests.lab.asking import ask
from tests.lab.namespace import CommandFailed
from tests.lab.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.namespace import Namespace

_START_TIMEOUT_S = 20
# Nobody else asks for it: the answer is about the server, not about a name.
_PROBE = "version.bind"


@contextlib.contextmanager
def dnsmasq(namespace: Namespace, upstream: str, *listen: str) -> Iterator[None]:
    """Run dnsmasq at *listen* until the block ends."""
    argv = (
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--pid-file=",
        "--bind-interfaces",
        "--cache-size=1000",
        f"--server={upstream}",
        *(f"--listen-address={address}" for address in listen),
    )
    with _running(namespace, listen, *argv):
        yield


@contextlib.contextmanager
def unbound(namespace: Namespace, upstream: str, *listen: str) -> Iterator[None]:
    """Run unbound, which prefetches, at *listen* until the block ends."""
    directory = namespace.directory / "unbound"
    directory.mkdir(exist_ok=True)
    config = directory / "unbound.conf"
    config.write_text(
        "server:\n"
        + "".join(f"  interface: {address}\n" for address in listen)
        + "  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n"
        "  do-daemonize: no\n  use-syslog: no\n  username: ''\n  chroot: ''\n  pidfile: ''\n"
        # A zone of tests (RFC 6761), which it would not ask anybody about.
        "  local-zone: test. nodefault\n"
        "  module-config: iterator\n  prefetch: yes\n  do-not-query-localhost: no\n"
        f"forward-zone:\n  name: .\n  forward-addr: {upstream}\n"
    )
    with _running(namespace, listen, "unbound", "-d", "-c", config):
        yield


@contextlib.contextmanager
def _running(namespace: Namespace, listen: tuple[str, ...], *argv: str | Path) -> Iterator[None]:
    log_file = namespace.directory / f"{argv[0]}.log"
    with (
        log_file.open("w") as log,
        namespace.popen(*argv, stdout=log, stderr=log) as process,
    ):
        try:

            def answers(address: str) -> Callable[[], bool]:
                def asked() -> bool:
                    if process.poll() is not None:
                        raise CommandFailed(f"{argv[0]} ended: {log_file.read_text()}")
                    try:
                        ask(namespace, address, _PROBE, "NS")
                    except (OSError, dns.exception.DNSException):
                        return False
                    return True

                return asked

            for address in listen:
                until(answers(address), _START_TIMEOUT_S, f"{argv[0]} to answer at {address}")
            yield
        finally:
            process.terminate()
