"""`./dev fuzz N [--seed S] [--from I]`."""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter

import click

from tests.bpf.conftest import told
from tests.bpf.corpus.fuzz import fuzz
from tests.bpf.corpus.parsers import Disagreement, Parsers

REPORT_EVERY = 100_000


@click.command()
@click.argument("number", type=click.IntRange(min=1))
@click.option("--seed", default=lambda: secrets.token_hex(4), help="Repeat an earlier run.")
@click.option("--from", "first", default=0, help="Number of the first message.")
def main(number: int, seed: str, first: int) -> None:
    """Send NUMBER messages through the kernel's parser and user space's."""
    began = time.monotonic()
    click.echo(f"seed {seed}")
    seen: Counter[str] = Counter()
    programs = told()
    programs.open_events()
    try:
        for start in range(first, first + number, REPORT_EVERY):
            end = min(start + REPORT_EVERY, first + number)
            seen += fuzz(Parsers(programs), seed, range(start, end))
            click.echo(f"{end - first:>9,} messages, {time.monotonic() - began:,.0f} s")
    except Disagreement as exc:
        click.echo(f"they disagree: {exc}", err=True)
        sys.exit(1)
    finally:
        programs.close()
    for kind, count in sorted(seen.items()):
        click.echo(f"{count:>9,} {kind}")


main()
