"""The daemon's process: from its start to its end, signals, control socket and tasks."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from enforcer.core.ruleset import Capabilities
from enforcer.core.wording import counted
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.denials import DenialLog
from enforcer.daemon.ending import BY_SIGNAL, Ending
from enforcer.daemon.enforcement import Enforcement
from enforcer.daemon.follower import Follower
from enforcer.daemon.identity import Identity
from enforcer.daemon.in_force import InForce
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.listener import Listener
from enforcer.daemon.live import End
from enforcer.daemon.policy_watch import PolicyWatch
from enforcer.daemon.presence import Presence
from enforcer.daemon.probe import Probe, sealed_sockets
from enforcer.daemon.problems import Problems
from enforcer.daemon.prover import Prover
from enforcer.daemon.requests import Requests
from enforcer.daemon.watchdog import Watchdog
from enforcer.edge import conntrack, last_words, sockets
from enforcer.edge.boot_ruleset import BootRuleset
from enforcer.edge.control import Server
from enforcer.edge.loader import Compilation
from enforcer.edge.notify import notify
from enforcer.edge.own_files import RuntimeDirError
from enforcer.edge.privileges import CAP_SYS_ADMIN, CAP_SYS_NICE, limit
from enforcer.edge.runtime import RuntimeDir
from enforcer.edge.scheduling import NICENESS, Courtesy, crowded, may_come_back, ordinary
from enforcer.edge.signals import hear
from enforcer.errors import EnforcerError
from enforcer.kernel_checks.suite import Findings
from enforcer.log import LOGGER


def run(
    policy_path: Path,
    runtime_dir: Path,
    state_dir: Path | None,
    cgroup: Path | None,
    findings: Findings,
    compilation: Compilation,
) -> Ending:
    """Enforce the policy until told to end, and return how it did.

    Args:
        policy_path: read now and on each reload.
        runtime_dir: for the control socket; one live instance each.
        state_dir: for the ruleset that the next boot begins with; None: none is kept.
        cgroup: directory for the first-connection bridge; None: all processes.
        findings: of the kernel checks, for status.
        compilation: of the BPF programs, begun already.

    Raises:
        EnforcerError: it can't begin, and left nothing in the kernel.
    """
    runtime, boot = RuntimeDir(runtime_dir), BootRuleset(state_dir)
    return asyncio.run(_run(policy_path, runtime, boot, cgroup, findings, compilation))


async def _run(
    policy_path: Path,
    runtime: RuntimeDir,
    boot: BootRuleset,
    cgroup: Path | None,
    findings: Findings,
    compilation: Compilation,
) -> Ending:
    notify("STATUS=reading the policy")
    start = InForce.read(policy_path)
    runtime.hold()
    others = ThreadPoolExecutor(thread_name_prefix="others", initializer=ordinary)
    asyncio.get_running_loop().set_default_executor(others)
    kernel = KernelThread()
    problems = Problems()
    try:
        notify("STATUS=loading the programs")
        able, end = _capabilities(findings), _ending(findings)
        datapath = await kernel.run(Datapath, runtime, boot, cgroup, able, end, compilation)
        try:
            enforcement = Enforcement(policy_path, start, datapath, kernel, problems)
            daemon = Daemon(enforcement, datapath, kernel, problems, runtime, findings)
            return await daemon.run()
        finally:
            await kernel.run(datapath.close)
    finally:
        kernel.close()
        runtime.release()


def _capabilities(findings: Findings) -> Capabilities:
    # What could not be found out is tried: the kernel then says no by itself.
    missing = {result.id for result in findings.missing}
    return Capabilities(
        ct="nft-ct" not in missing,
        ct_label="nft-ct-label" not in missing,
        reject="nft-reject" not in missing,
        counter="nft-counter" not in missing,
        log=missing.isdisjoint({"nft-log", "nflog"}),
    )


def _besides() -> frozenset[int]:
    """Return the capabilities that stand in for what the unit of systemd sets."""
    return frozenset() if may_come_back() else frozenset({CAP_SYS_NICE})


def _ending(findings: Findings) -> End | None:
    """Return how live connections end here: where they are tracked, containers' too."""
    missing = {result.id for result in findings.missing}
    tracked, closes = missing.isdisjoint({"nft-ct", "conntrack"}), "sock-destroy" not in missing
    if not tracked:
        return sockets.end_connections if closes else None
    if "nft-ct-label" not in missing or not closes:
        return conntrack.end_connections
    # Without labels the other end's next segment is taken for a connection of his.
    ways = (conntrack.end_connections, sockets.end_connections)
    return lambda unwanted: max(end(unwanted) for end in ways)


class Daemon:
    """What runs around an enforcement: events, timers, requests and signals."""

    def __init__(
        self,
        enforcement: Enforcement,
        datapath: Datapath,
        kernel: KernelThread,
        problems: Problems,
        runtime: RuntimeDir,
        findings: Findings,
    ) -> None:
        self._enforcement = enforcement
        self._datapath = datapath
        self._kernel = kernel
        self._problems = problems
        self._runtime = runtime
        self._findings = findings
        self._stop = asyncio.Event()
        self._ending = Ending.OPEN
        self._niced = False
        # Held while the policy in force changes: by the start, too.
        self._lock = lock = asyncio.Lock()
        self._follower = Follower(enforcement, kernel, datapath.firewall.port, lock, problems)
        self._denials = DenialLog(
            Identity(enforcement, datapath), lambda: enforcement.in_force.policy, problems
        )
        self._probe = Probe(partial(sealed_sockets, datapath), datapath.firewall, datapath.links)
        self._prover = Prover(enforcement, self._probe, kernel, lock, problems)
        self._requests = Requests(
            enforcement,
            datapath,
            kernel,
            problems,
            runtime,
            findings,
            self._follower,
            self._prover,
            self._denials,
            lock,
            self._stop,
        )

    async def run(self) -> Ending:
        """Start, serve until told to end, and leave of it what that end leaves.

        An error once enforcement has begun leaves the kernel as it is: closed.
        """
        for number, ending in BY_SIGNAL.items():
            hear(number, self._end, ending)
        tier = self._findings.tier
        for line in (*self._findings.platform.notes, f"tier {tier.name}", *tier.worse):
            LOGGER.info("%s", line)
        LOGGER.info("restricts %s", self._findings.platform.scope)
        server = Server(self._runtime.socket, self._requests.reads, self._requests.changes)
        presence = Presence(
            self._runtime,
            server,
            self._datapath,
            self._kernel,
            self._problems,
            self._enforcement.drift.repaired,
        )
        # A killed predecessor left the machine closed: a failed start keeps it so.
        closed = await self._kernel.run(self._datapath.firewall.judges)
        # Until then it could not come back to the niceness that it has, but for CAP_SYS_NICE.
        courtesy = Courtesy(lambda: not self._niced or crowded())
        listener = Listener(self._datapath.programs, self._enforcement.intake.take, courtesy)
        tasks: list[asyncio.Future[Any]] = []
        reloads = self._requests.reloads
        try:
            try:
                listener.start()
                self._listen_to_denials()
                # The kernel thread, which has begun, needs its capabilities for the start.
                limit(_besides())
                await server.start()
                if closed:  # and its sets go on being filled meanwhile
                    tasks.append(asyncio.ensure_future(self._enforcement.writer.run()))
                async with self._lock:
                    await self._start()
            except BaseException:
                if not closed:
                    await self._undo()
                raise
            if not tasks:
                tasks.append(asyncio.ensure_future(self._enforcement.writer.run()))
            work = (
                self._enforcement.lookups.run(),
                self._follower.run(),
                self._prover.run(),
                self._requests.scraping.run(),
                presence.run(),
                PolicyWatch(self._enforcement, reloads.unasked, self._problems).run(),
                Watchdog(self._kernel, self._datapath.firewall.judges, self._in_a_line).run(),
                self._stop.wait(),
            )
            tasks += [asyncio.ensure_future(each) for each in work]
            await self._until_stopped(tasks)
        finally:
            await _cancelled([*tasks, *reloads.under_way])
            listener.close()
            self._denials.close()
            self._enforcement.names.close()
            self._follower.close()
            self._probe.close()
            await self._requests.scraping.close()
            await server.stop()
        if self._ending is Ending.OPEN:
            notify("STOPPING=1\nSTATUS=removing all from the kernel")
            await self._kernel.run(self._datapath.remove)
            text = "stopped: this machine may reach any address"
        else:
            await self._leave_word()
            text = "ended, and the kernel goes on: `enforcer off` opens this machine"
        notify(f"STOPPING=1\nSTATUS={text}")
        LOGGER.info("%s", text)
        return self._ending

    async def _leave_word(self) -> None:
        """Let the next process know what the kernel forgets: what was open and has expired."""
        try:
            opened = self._enforcement.opened()
            await asyncio.to_thread(last_words.leave, self._runtime.path, opened)
        except RuntimeDirError as exc:
            LOGGER.warning("the next start will not know of connections opened long ago: %s", exc)

    def _end(self, ending: Ending) -> None:
        if not self._stop.is_set():  # what was asked for first may be under way
            self._ending = ending
            self._stop.set()

    def _listen_to_denials(self) -> None:
        logs, judges = _capabilities(self._findings).log, self._datapath.judging.wanted
        if logs or judges:
            self._enforcement.names.start()
        if logs:
            self._denials.start()
        if judges:
            self._denials.hear(self._datapath.programs.judge)

    async def _start(self) -> None:
        hear(signal.SIGHUP, self._requests.reloads.soon)
        notify("STATUS=resolving the policy's hosts")
        await self._enforcement.start()
        await self._prover.prove()
        await self._requests.scraping.follow()
        # On Linux each thread has its own; those started later inherit it.
        os.nice(NICENESS)
        self._niced = True
        await self._kernel.run(os.nice, NICENESS)
        # What the daemon mounted it has to unmount.
        mounted = {CAP_SYS_ADMIN} if self._runtime.cgroup.is_mount() else set()
        await self._kernel.run(limit, _besides() | mounted)
        opened = counted(len(self._enforcement), "address", "addresses")
        LOGGER.info("%s", self._in_a_line(f", {opened} open"))

    def _in_a_line(self, more: str = "") -> str:
        policy, problems = self._enforcement.in_force.policy, self._problems.current()
        doing = {"enforce": "enforcing", "audit": "auditing"}[policy.mode.value]
        hosts = counted(len(policy.hosts), "host")
        text = f"{doing} the policy of {policy.organization}: {hosts}{more}"
        if not problems:
            return text
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        return f"{text}; {count}, see enforcer status: {problems[0].text}"

    async def _until_stopped(self, tasks: list[asyncio.Future[Any]]) -> None:
        notify(f"READY=1\nSTATUS={self._in_a_line()}")
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # all but the last end by failing

    async def _undo(self) -> None:
        try:
            await self._kernel.run(self._datapath.remove)
        except EnforcerError as exc:
            LOGGER.error("left in the kernel: %s", exc)


async def _cancelled(tasks: list[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
