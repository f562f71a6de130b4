"""Known traps in how a machine is configured beside its policy: Docker, resolved, hosts, proxies.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from enforcer.core.addresses import Address
from enforcer.core.grants import Grants
from enforcer.core.host_and_port import HTTPS, SCHEME
from enforcer.core.hostname import InvalidHostname
from enforcer.core.target import Name, Place, parse_target
from enforcer.core.trap import Finding
from enforcer.core.wording import printable, quoted

# Of what `enforcer.edge.surroundings` reads. Keys of daemon.json:
# https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
DOCKER = "/etc/docker/daemon.json"
HOSTS = "/etc/hosts"
_RESOLVED = re.compile(r"/resolved\.conf(\.d/[^/]+)?$")
# Of environments, in files of the shell's syntax and in units of systemd.
_PROXY = re.compile(r"\b(https?_proxy|all_proxy)=[\"']?([^\s\"']+)", re.IGNORECASE)
_DNS_OVER_TLS = re.compile(r"\s*DNSOverTLS\s*=\s*(\S+)")
# systemd's words for false.
_OFF = frozenset({"no", "n", "false", "f", "off", "0"})


def machine_findings(
    files: Mapping[str, str], grants: Grants, resolvers: Collection[Address]
) -> Iterator[Finding]:
    """Yield what in *files* goes round what *grants* permit, or into it.

    Args:
        files: texts by path.
        grants: of the policy.
        resolvers: that are trusted.
    """
    for path, text in files.items():
        if path == DOCKER:
            yield from _docker(path, text, grants, resolvers)
        elif path == HOSTS:
            yield from _hosts(path, text, grants)
        elif _RESOLVED.search(path):
            yield from _resolved(path, text)
        else:
            yield from _environment(path, text, grants)


def _docker(
    path: str, text: str, grants: Grants, resolvers: Collection[Address]
) -> Iterator[Finding]:
    try:
        settings = json.loads(text or "{}")
    except ValueError as exc:
        yield Finding(path, getattr(exc, "lineno", 0), "", "it is not JSON", "dockerd refuses it")
        return
    if not isinstance(settings, dict):
        return
    for url in _texts(settings.get("registry-mirrors")):
        if not _permits(grants, url):
            reason = f"pulls ask the mirror {quoted(url)} first, which the policy does not permit"
            yield Finding(path, 0, "registry-mirrors", reason, "permit it, or take it out")
    proxies = settings.get("proxies")
    for key in ("http-proxy", "https-proxy"):
        for url in _texts(proxies.get(key) if isinstance(proxies, dict) else None):
            yield _proxy(path, 0, f"proxies.{key}", url, grants)
    for given in _texts(settings.get("dns")):
        try:
            address = ipaddress.ip_address(given)
        except ValueError:
            continue
        if address not in resolvers:
            reason = f"containers ask {quoted(given)}, which is no trusted resolver, in vain"
            hint = "take it out, or list it under resolvers in the policy"
            yield Finding(path, 0, "dns", reason, hint)


def _hosts(path: str, text: str, grants: Grants) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        address, *names = line.partition("#")[0].split() or ("",)
        for name in names:
            own = name == "localhost" or name.endswith(".localhost")
            if not own and grants.match_text(name.removesuffix(".")) is not None:
                reason = (
                    f"{quoted(name)} is taken from here, without an answer that could open"
                    f" {printable(address)}"
                )
                yield Finding(path, number, "", reason, "remove the entry: DNS answers for it")


def _resolved(path: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        found = _DNS_OVER_TLS.match(line)
        if found and found[1].lower() not in _OFF:
            reason = "answers that are encrypted can't be learned from: wildcards stay closed"
            yield Finding(path, number, "DNSOverTLS", reason, "write DNSOverTLS=no")


def _environment(path: str, text: str, grants: Grants) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("#"):
            for variable, url in _PROXY.findall(line):
                yield _proxy(path, number, variable, url, grants)


def _proxy(path: str, line: int, key: str, url: str, grants: Grants) -> Finding:
    if _permits(grants, url):
        reason = f"the proxy {quoted(url)} is permitted, and reaches for its clients what it likes"
        return Finding(path, line, key, reason, "have the proxy enforce the policy, or close it")
    reason = f"what goes by the proxy {quoted(url)} is refused: the policy does not permit it"
    return Finding(path, line, key, reason, "take it out, or permit a proxy that enforces the same")


def _permits(grants: Grants, url: str) -> bool:
    """Tell whether a name or URL is permitted; of addresses only those of this machine are."""
    try:
        target = parse_target(url if SCHEME.match(url) else f"http://{url}")
    except InvalidHostname:
        return False
    if isinstance(target, Place):
        return target.address.is_loopback
    if not isinstance(target, Name):
        return False
    grant = grants.match_text(target.host)
    return grant is not None and (target.port or HTTPS) in grant.ports


def _texts(value: Any) -> list[str]:  # noqa: ANN401 - of a JSON document
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]
