"""The real systemd-resolved as a machine's stub, and the bus by which it is told things."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import dns.exception
import dns.rcode

from tests.lab.asking import ask
from tests.lab.namespace import CommandFailed
from tests.lab.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

STUB = "127.0.0.53"
_START_TIMEOUT_S = 20
# A name that nobody has: the answer says that an upstream is asked.
_PROBE = "nobody.stub.test"
# What `./dev setup` unpacked: installed, it would become this machine's resolver.
_UNPACKED = Path(__file__).parents[2] / ".unpacked" / "usr"
_PREPARE = """
set -e
mount -t overlay overlay -o "lowerdir=$0:/usr" /usr
mkdir -p /run/dbus /run/systemd
mount -t tmpfs tmpfs /run/dbus
mount -t tmpfs tmpfs /run/systemd
mkdir --mode=777 /run/systemd/resolve
"""
_BUS = """
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/>
    <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
# As its unit starts it, but for the user: one that every machine has.
_CAPABILITIES = "-all,+setpcap,+net_raw,+net_bind_service"
_UNPRIVILEGED = (
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    f"--bounding-set={_CAPABILITIES}",
    f"--inh-caps={_CAPABILITIES}",
    f"--ambient-caps={_CAPABILITIES}",
)


@contextlib.contextmanager
def systemd_resolved(host: Namespace, uplink: str, *upstreams: str) -> Iterator[None]:
    """Run systemd-resolved on *host*, whose resolv.conf names its stub, until the block ends.

    Args:
        host: of a lab of the test's own: its /usr and /run change.
        uplink: the interface that has the name servers.
        upstreams: their addresses.
    """
    host.run("sh", "-c", _PREPARE, _UNPACKED)
    bus = host.directory / "bus.conf"
    bus.write_text(_BUS)
    host.resolv_conf.write_text(f"nameserver {STUB}\noptions edns0 trust-ad\n")
    log_file = host.directory / "resolved.log"
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(log_file.open("w"))
        for argv in (
            ("dbus-daemon", f"--config-file={bus}", "--nofork", "--nopidfile"),
            (*_UNPRIVILEGED, "/usr/lib/systemd/systemd-resolved"),
        ):
            process = stack.enter_context(host.popen(*argv, stdout=log, stderr=log))
            stack.callback(process.terminate)

        def answers() -> bool:
            if process.poll() is not None:
                raise CommandFailed(f"systemd-resolved ended: {log_file.read_text()}")
            if use(host, uplink, *upstreams):
                with contextlib.suppress(OSError, dns.exception.DNSException):
                    return ask(host, STUB, _PROBE).rcode() == dns.rcode.NXDOMAIN
            return False

        until(answers, _START_TIMEOUT_S, f"systemd-resolved to answer ({log_file})")
        yield


def use(host: Namespace, uplink: str, *upstreams: str) -> bool:
    """Make *upstreams* those that are asked, as NetworkManager does; return whether they are."""
    return not host.run("resolvectl", "dns", uplink, *upstreams, check=False).returncode
