"""The command ``run``: the daemon in the foreground."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import click

from enforcer import log
from enforcer.cli.options import (
    IN_TESTS,
    hide_options,
    runtime_dir_option,
    state_dir_option,
    state_of,
)
from enforcer.cli.root import require_root
from enforcer.core.places import DEFAULT_POLICY
from enforcer.daemon.ending import Ending
from enforcer.edge.loader import Compilation
from enforcer.edge.notify import notify
from enforcer.edge.runtime import RuntimeDir
from enforcer.errors import EnforcerError, Unsupported
from enforcer.kernel_checks import version
from enforcer.kernel_checks.result import Outcome, Result


@click.command()
@click.option(
    "--policy",
    "policy_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_POLICY,
    show_default=True,
    help="The policy file.",
)
@runtime_dir_option
@state_dir_option
@click.option(
    "--cgroup",
    type=click.Path(path_type=Path),
    help="A cgroup v2 directory: only processes below it get the first-connection"
    " bridge. Default: the root of cgroup v2, so all processes.",
)
@click.option(
    "--log-format",
    type=click.Choice(log.FORMATS),
    default="plain",
    show_default=True,
    help="How log lines on stderr look.",
)
@hide_options
def run(  # noqa: PLR0913 - an argument for each option
    *,
    policy_path: Path,
    runtime_dir: Path,
    state_dir: Path | None,
    cgroup: Path | None,
    log_format: str,
    hidden: tuple[str, ...],
    for_tests: bool,
) -> None:
    """Enforce the policy, in the foreground, until told to end.

    Ctrl-C (SIGINT) and `enforcer off` remove everything from the kernel. SIGTERM,
    like any other end, leaves the machine restricted; the next start takes over.
    SIGHUP reads the policy again.

    Exits 0; 1 on an error; 2 on an invalid policy; 4 on an unsupported kernel.
    """
    # Also where a shell's background job would ignore it, as later the daemon does not either.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assumed = (hidden, IN_TESTS if for_tests else ())
    try:
        ending = _run(
            policy_path, runtime_dir, state_of(state_dir, runtime_dir), cgroup, log_format, assumed
        )
    except KeyboardInterrupt:  # before there was a daemon to hear it
        from enforcer.daemon import teardown  # noqa: PLC0415 - see below

        teardown.remove_leftovers(RuntimeDir(runtime_dir))
        return
    except EnforcerError as exc:
        notify(f"STATUS={exc.message.splitlines()[0]}")
        raise
    if ending is Ending.CLOSED:
        # Whoever started us is told what ended us: a service manager starts it anew.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _run(
    policy_path: Path,
    runtime_dir: Path,
    state_dir: Path | None,
    cgroup: Path | None,
    log_format: str,
    assumed: tuple[tuple[str, ...], tuple[str, ...]],
) -> Ending:
    notify("STATUS=examining the kernel")
    _refuse(version.gate())
    require_root("run programs the kernel")
    # The compiler takes longer than all the rest of the start: it begins before anything else.
    # What it loads is attached to nothing until the policy was read and the checks passed.
    with Compilation() as compilation:
        with _interrupted_later():
            from enforcer.daemon import main as daemon  # noqa: PLC0415
            from enforcer.kernel_checks import suite  # noqa: PLC0415

        findings = suite.examine(*assumed)
        _refuse(*findings.refusing)
        log.set_up(log_format)
        return daemon.run(policy_path, runtime_dir, state_dir, cgroup, findings, compilation)


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Have Ctrl-C wait for the end of the block: half a module can't be imported again."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _refuse(*results: Result) -> None:
    failed = [result for result in results if result.outcome is Outcome.UNSUPPORTED]
    if failed:
        remedies = "; ".join(result.remedy for result in failed if result.remedy)
        what = "; ".join(f"{result.id}: {result.detail}" for result in failed)
        raise Unsupported(f"can't enforce here: {what}", remedies or None)
