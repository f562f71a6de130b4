"""What a running daemon is asked for over its control socket."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from enforcer import __version__, status
from enforcer.abi import Stat
from enforcer.core.asked import parse_asked
from enforcer.core.explain import explain
from enforcer.core.hostname import InvalidHostname
from enforcer.core.problem import Problem
from enforcer.core.suggest import suggest
from enforcer.core.target import Place, parse_target
from enforcer.core.wording import quoted
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.denials import DenialLog
from enforcer.daemon.enforcement import Enforcement
from enforcer.daemon.follower import Follower
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.metrics import CONTENT_TYPE, ProgramTimes, Readings, exposition
from enforcer.daemon.problems import Problems
from enforcer.daemon.prover import Prover
from enforcer.daemon.reloads import Reloads
from enforcer.daemon.scraping import Scraping
from enforcer.daemon.views import (
    daemon_view,
    denials_view,
    denied_view,
    explain_view,
    hosts_view,
    proof_view,
    suggestion_view,
)
from enforcer.edge.control import Handler, Text
from enforcer.edge.policy_file import signature
from enforcer.edge.runtime import RuntimeDir
from enforcer.errors import EnforcerError
from enforcer.kernel_checks.suite import Findings

# Of a command that is called in a wrong way.
EXIT_USAGE = 2


class UnknownHost(EnforcerError):
    """What was asked for is no host name."""

    exit_code = EXIT_USAGE


class NoNumber(EnforcerError):
    """What was given as one is none."""

    exit_code = EXIT_USAGE


class Requests:
    """Answers to requests, by what is in force and in the kernel now.

    Args:
        enforcement: asked.
        datapath: the kernel's part; only touched on *kernel*.
        kernel: the thread for it.
        problems: shown.
        runtime: held by this process.
        findings: of the kernel checks.
        follower: looks again after a change.
        prover: has the last proof.
        denials: what was denied lately.
        lock: held while the policy in force changes.
        stop: set when all has been removed on request.

    Attributes:
        scraping: serves the metrics on a port too, where the policy says so.
        reloads: of the policy file.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a request may concern
        self,
        enforcement: Enforcement,
        datapath: Datapath,
        kernel: KernelThread,
        problems: Problems,
        runtime: RuntimeDir,
        findings: Findings,
        follower: Follower,
        prover: Prover,
        denials: DenialLog,
        lock: asyncio.Lock,
        stop: asyncio.Event,
    ) -> None:
        self._enforcement = enforcement
        self._datapath = datapath
        self._kernel = kernel
        self._problems = problems
        self._runtime = runtime
        self._findings = findings
        self._follower = follower
        self._prover = prover
        self._denials = denials
        self._lock = lock
        self._stop = stop
        self._started = time.monotonic()
        self._daemon = f"{os.getpid()} {self._started}"
        self.scraping = Scraping(enforcement, partial(self._metrics, {}), problems)
        self.reloads = Reloads(enforcement, prover, follower, self.scraping, problems, lock, stop)
        self.reads: Mapping[str, Handler] = {
            "/status": self._status,
            "/hosts": self._hosts,
            "/explain": self._explain,
            "/denials": self._show_denials,
            "/suggestion": self._suggest,
            "/metrics": self._metrics,
        }
        self.changes: Mapping[str, Handler] = {"/reload": self.reloads.asked, "/off": self._off}

    async def _off(self, _query: Mapping[str, str]) -> dict[str, Any]:
        boot = self._datapath.boot
        async with self._lock:
            text = boot.text
            # First: nothing has been taken away if the disk says no.
            await self._kernel.run(boot.forget)
            try:
                await self._kernel.run(self._datapath.remove)
            except EnforcerError:
                boot.use(text)
                self._follower.soon()  # enforcement goes on, with all its parts
                raise
            self._stop.set()
        return {}

    async def _status(self, _query: Mapping[str, str]) -> dict[str, Any]:
        state, stats = await self._kernel.run(self._read_kernel)
        enforcement, problems = self._enforcement, self._problems.current()
        if not state.edited and (drift := await enforcement.drift.found()):
            problems += (Problem(drift, status.REPAIR),)
        now = time.monotonic()
        if stale := self._prover.stale(now):
            problems += (stale,)
        repairs = enforcement.drift.recent()
        file = await asyncio.to_thread(signature, enforcement.path)
        in_force = enforcement.in_force
        changed = file != in_force.file
        view = daemon_view(in_force, stats, enforcement.gave_way, repairs, changed=changed)
        prover = self._prover
        view["proof"] = proof_view(prover.proof, prover.at, prover.age_s(now))
        view["addresses"] = len(enforcement)
        view["daemon"] = {
            "running": True,
            "pid": os.getpid(),
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._started, 1),
        }
        denials = self._denials
        total = state.table.denied
        if total is not None:
            total += stats[Stat.DENIED]  # which made no packets
        denied = denied_view(denials.records, total, denials.lost, time.time())
        view["denied"] = denied | {"without_processes": self._datapath.on_cgroup.blind or None}
        return status.report(state, self._findings, view, problems)

    def _read_kernel(self) -> tuple[status.KernelState, dict[Stat, int]]:
        datapath = self._datapath
        table = datapath.firewall.summary()
        state = status.read_kernel(
            table, datapath.firewall, datapath.links, datapath.filters, self._runtime.recorded()
        )
        return state, datapath.programs.stats()

    async def _hosts(self, query: Mapping[str, str]) -> dict[str, Any]:
        wanted = None
        if "host" in query:
            try:
                wanted = parse_asked(query["host"])
            except InvalidHostname as exc:
                raise UnknownHost(exc.reason, exc.hint) from exc
        in_force = self._enforcement.in_force
        holders, now = await self._enforcement.holders(), time.monotonic()
        return await asyncio.to_thread(
            lambda: hosts_view(in_force, holders.bindings(), wanted, now)
        )

    async def _show_denials(self, query: Mapping[str, str]) -> dict[str, Any]:
        records = self._denials.records
        if "after" in query:
            found = records.after(int(_number(query["after"])))
        else:
            found = records.since(_number(query.get("since", "0")))
        return denials_view(found, records.revision, self._daemon)

    async def _metrics(self, query: Mapping[str, str]) -> Text:
        enforcement = self._enforcement
        times = await self._kernel.run(self._datapath.programs.run_times)
        readings = Readings(
            await self._status(query),
            self.reloads.counts,
            enforcement.drift.repairs,
            enforcement.latencies,
            {name: ProgramTimes(ns / 1e9, runs) for name, (ns, runs) in times.items()},
        )
        return Text(await asyncio.to_thread(exposition, readings), CONTENT_TYPE)

    async def _suggest(self, _query: Mapping[str, str]) -> dict[str, Any]:
        in_force, wanted = self._enforcement.in_force, self._denials.wanted
        found = suggest(wanted, in_force.grants)
        return suggestion_view(found, in_force.policy, self._denials.since, wanted.forgotten)

    async def _explain(self, query: Mapping[str, str]) -> dict[str, Any]:
        try:
            target = parse_target(query.get("target", ""))
        except InvalidHostname as exc:
            raise UnknownHost(exc.reason, exc.hint) from exc
        now, holders = self._enforcement.in_force, await self._enforcement.holders()
        names = self._enforcement.names
        names.take()
        seen = names.of(target.address) if isinstance(target, Place) else ()

        def document() -> dict[str, Any]:
            bindings = holders.bindings()
            found = explain(target, now.policy, bindings, now.resolvers)
            return explain_view(found, bindings, now.policy.mode, seen)

        return await asyncio.to_thread(document)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        raise NoNumber(f"{quoted(text)} is no number") from exc
