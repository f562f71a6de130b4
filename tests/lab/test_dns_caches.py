"""Caches that answer without DNS: what they hold when enforcement begins is asked for again."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.lab.connect import attempts
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.nscd import nscd
from tests.lab.resolved import systemd_resolved
from tests.lab.topology import RESOLVERS, UPLINK

pytestmark = pytest.mark.root

# Below a wildcard: the daemon can't look it up by itself.
NAME, ADDRESSES = "below.cached.test", ("198.18.9.1", "2001:db8:9::1")
WITHOUT = "version: 1\norganization: lab\nhosts: [other.test]\n"
WITH = f"{WITHOUT.rstrip()[:-1]}, '*.cached.test']\n"
CONNECTED, REFUSED = {"connected"}, {"ECONNREFUSED"}

Cached = tuple[Lab, Callable[[], None]]


@contextlib.contextmanager
def nss_resolve(host: Namespace) -> Iterator[None]:
    """Have programs ask systemd-resolved by its own socket."""
    with systemd_resolved(host, UPLINK, *RESOLVERS):
        (host.directory / "nsswitch.conf").write_text("hosts: resolve [!UNAVAIL=return] dns\n")
        yield


@pytest.fixture(params=[nscd, nss_resolve])
def cached(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Return a lab whose host has a cache that knows the name."""
    lab.nameserver.add(NAME, *ADDRESSES, ttl_s=3600)
    with request.param(lab.net.host):
        assert outcomes(lab) == CONNECTED
        asked = lab.nameserver.queries[NAME, "A"]
        assert outcomes(lab) == CONNECTED
        assert lab.nameserver.queries[NAME, "A"] == asked, "the cache answers"
        yield lab


def outcomes(lab: Lab) -> set[str]:
    """Return what comes of connections to the name, by the way that programs resolve it."""
    return {each.outcome for each in attempts(lab.net.host, NAME)}


def test_a_cache_filled_before_the_start_is_no_obstacle(cached: Lab) -> None:
    """The first attempt after the start connects."""
    with running(cached.net, WITH) as enforcer:
        assert outcomes(cached) == CONNECTED
        assert "not flushed" not in enforcer.log


def test_a_cache_filled_before_a_reload_is_no_obstacle(cached: Lab) -> None:
    """Who was refused has the address in the cache, and the policy permits the name now."""
    with running(cached.net, WITHOUT) as enforcer:
        assert outcomes(cached) == REFUSED
        enforcer.policy_file.write_text(WITH)
        enforcer.cli("reload")  # returns when all of it is done
        assert outcomes(cached) == CONNECTED


def test_a_cache_that_hangs_stops_nothing(lab: Lab) -> None:
    """The log says that it was not flushed, and why."""
    with nscd(lab.net.host) as process:
        process.send_signal(signal.SIGSTOP)
        with running(lab.net, WITH) as enforcer:
            assert "the cache of nscd is not flushed: " in enforcer.log
            assert "timed out after 2 seconds" in enforcer.log
            assert enforcer.status()["enforcing"]
