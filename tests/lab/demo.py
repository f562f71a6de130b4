"""The demonstration: a machine in the lab gets a policy, and two registries notice.

Everything is real (kernel, daemon, skopeo, dockerd, registries) and happens in
network namespaces of its own. Exits 0 only if all of it came out as told.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import time

import click

from tests.lab.client import connect_to_answers
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, NotStarted
from tests.lab.lab import Lab, new_lab
from tests.lab.namespace import CommandFailed
from tests.lab.pull import Docker, Pull, dockerd, skopeo
from tests.lab.registry import Registries, Registry, serving_registries
from tests.lab.wait import DeadlinePassed

WIDTH = 79
ZONE = "cdn.lab.test"
CONNECTIONS = 200
POLICY = f"""\
version: 1
organization: demo
hosts:
  - registry.allowed.test
  - "*.{ZONE}"
"""


class NotAsTold(Exception):
    """Something came out otherwise than the demonstration says."""


NOT_AS_TOLD = (NotAsTold, NotStarted, CommandFailed, DeadlinePassed)


def tell(text: str) -> None:
    """Say what happens next, as a comment in the transcript of a shell would."""
    lines = textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ")
    click.secho(f"\n{lines}", bold=True)


def show(text: str, colour: str | None = None) -> None:
    """Show what a program printed, or came back with."""
    for line in text.rstrip().splitlines():
        # Only what is too long is wrapped: columns of a table keep their spaces.
        fits = len(line) <= WIDTH
        for each in [line] if fits else textwrap.wrap(line, WIDTH, break_on_hyphens=False):
            click.echo(click.style(each, fg=colour) if colour else each)


def result(text: str, *, as_told: bool) -> None:
    """Show what came of it.

    Raises:
        NotAsTold: it is not what was told.
    """
    show(text, "green" if as_told else "red")
    if not as_told:
        raise NotAsTold(text)


def pulled(pull: Pull) -> None:
    """Show a pull that has to work."""
    text = f"pulled in {pull.elapsed_s:.2f} s" if pull.ok else pull.message
    result(text, as_told=pull.ok)


def refused(pull: Pull, registry: Registry) -> None:
    """Show the client's own error of a pull that has to be refused, naming the address."""
    named = any(address in pull.message for address in registry.addresses)
    result(pull.message or "pulled", as_told=not pull.ok and named)
    show(f"refused after {pull.elapsed_s:.2f} s")


def prologue(lab: Lab, registries: Registries) -> None:
    """Show that everything is open without a policy."""
    tell("A machine, and two registries out in the world. No firewall yet:")
    for registry in (registries.allowed, registries.denied):
        show(f"$ skopeo copy docker://{registry.image} ...")
        pulled(skopeo(lab.net.host, registry.image, registries.ca))


def start(lab: Lab) -> Enforcer:
    """Show the policy and put it in force."""
    tell("The policy: one registry, and a CDN with ever new addresses.")
    show(POLICY)
    tell("The firewall starts: names are resolved, then all else is closed.")
    enforcer = Enforcer(lab.net, POLICY)
    show("$ enforcer run --policy policy.yaml")
    begin = time.monotonic()
    enforcer.start()
    result(f"enforcing after {time.monotonic() - begin:.1f} s", as_told=True)
    return enforcer


def pulls(lab: Lab, registries: Registries, docker: Docker) -> None:
    """Pull from both registries, and by the way that other filters leave open."""
    allowed, denied = registries.allowed, registries.denied
    tell("The permitted registry works, for skopeo and for Docker:")
    show(f"$ skopeo copy docker://{allowed.image} ...")
    pulled(skopeo(lab.net.host, allowed.image, registries.ca))
    show(f"$ docker pull {allowed.image}")
    pulled(docker.pull(allowed.image))
    tell("The other one is refused at once, not after a timeout:")
    show(f"$ docker pull {denied.image}")
    refused(docker.pull(denied.image), denied)
    tell("A hosts file that maps the permitted name to it opens nothing:")
    lab.net.host.hosts_file.write_text(f"{denied.addresses[0]} {allowed.name}\n")
    show(f"$ skopeo copy docker://{allowed.image} ...")
    refused(skopeo(lab.net.host, allowed.image, registries.ca), denied)
    lab.net.host.hosts_file.write_text("")


def first_connections(lab: Lab) -> None:
    """Connect to addresses never seen before, in both families."""
    tell(
        f"{CONNECTIONS} addresses never seen before, each connected to the moment its DNS"
        " answer arrives, in IPv4 and again in IPv6:"
    )
    lab.sink.reset()
    for family in (4, 6):
        made = connect_to_answers(lab.net.host, ZONE, family=family, count=CONNECTIONS)
        median_ms = 1000 * sorted(made.total_s)[len(made.total_s) // 2] if made.total_s else 0
        result(
            f"IPv{family}: {made.ok} connected at once, {made.refused} refused,"
            f" {made.late + made.lost} late; {median_ms:.2f} ms with DNS",
            as_told=made.ok == CONNECTIONS,
        )
    repeated = sum(lab.sink.syns().values()) - 2 * CONNECTIONS
    result(f"SYNs that had to be sent again: {repeated}", as_told=repeated == 0)


def state(enforcer: Enforcer, registries: Registries) -> None:
    """Show what the firewall says of itself."""
    tell("What was learned, and the state of it all:")
    name = registries.allowed.name
    show(f"$ enforcer hosts {name}")
    hosts = enforcer.cli("hosts", name).stdout
    result(hosts, as_told=all(address in hosts for address in registries.allowed.addresses))
    show("$ enforcer status")
    status = enforcer.cli("status", check=False)
    result(status.stdout + status.stderr, as_told=status.returncode == 0)


def endings(lab: Lab, enforcer: Enforcer, registries: Registries) -> None:
    """Kill the daemon, then take the firewall down in order."""
    address = registries.denied.addresses[0]
    tell("The daemon is killed: the kernel goes on without it.")
    enforcer.kill()
    outcome = attempt(lab.net.host, address).outcome
    result(f"$ kill -9 ...; connect to {address}: {outcome}", as_told=outcome == "ECONNREFUSED")
    tell("Switched off in order, it leaves nothing behind:")
    enforcer.cli("off")
    outcome = attempt(lab.net.host, address).outcome
    result(f"$ enforcer off; connect to {address}: {outcome}", as_told=outcome == "connected")


def demonstrate() -> None:
    """Tell and do all of it."""
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(new_lab())
        lab.nameserver.fresh(ZONE)
        registries = stack.enter_context(serving_registries(lab))
        docker = stack.enter_context(dockerd(lab.net.host, registries.ca))
        prologue(lab, registries)
        enforcer = start(lab)
        try:
            pulls(lab, registries, docker)
            first_connections(lab)
            state(enforcer, registries)
            endings(lab, enforcer, registries)
        except NOT_AS_TOLD:
            tell("The daemon's log:")
            show(enforcer.log)
            raise


def main() -> None:
    """Run the demonstration and exit."""
    if os.geteuid() != 0:
        sys.exit("the demo makes network namespaces and needs root: sudo ./dev demo")
    begin = time.monotonic()
    try:
        demonstrate()
    except NOT_AS_TOLD as error:
        click.secho(f"This is not as told: {error}", fg="red", bold=True, err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    tell(f"All as told, in {time.monotonic() - begin:.0f} s.")


if __name__ == "__main__":
    main()
