"""Runs inside a guest: the checks, then the suite's groups; leaves a report behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from tests.vm.suite import GROUPS

RESULTS = Path("/results")
# Of a test, as slow as it is emulated; the ordinary suite's is 120 s.
_TEST_TIMEOUT_S = 1800
_CACHE = Path("/tmp/programs")  # noqa: S108 - nobody else is in the guest
_ENVIRONMENT = {
    "ENFORCER_REQUIRE_ROOT": "1",
    "ENFORCER_PATIENCE": "10",
    # As systemd gives the service one: what the first daemon compiles is there for the next.
    "CACHE_DIRECTORY": str(_CACHE),
}


def main() -> int:
    """Run the groups that the arguments name, or all; return 0 if all went well."""
    wanted = sys.argv[1:] or list(GROUPS)
    _CACHE.mkdir(mode=0o700)
    report: dict[str, Any] = {"checks": _checks(), "groups": {}}
    for name in wanted:
        _say(f"{name} ...")
        report["groups"][name] = _group(name)
        _say(f"{name}: {_in_words(report['groups'][name])}")
        (RESULTS / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return int(any(group["status"] for group in report["groups"].values()))


def _checks() -> dict[str, Any]:
    """Run the kernel checks as somebody does who has installed nothing yet."""
    start = time.monotonic()
    done = subprocess.run(
        ("/usr/bin/python3", "kernel-checks", "--json"), check=False, capture_output=True, text=True
    )
    took_s = time.monotonic() - start
    _say(f"checks: exit status {done.returncode}, {took_s:.1f} s")
    report = json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}
    return {"status": done.returncode, "took_s": took_s, "report": report}


def _group(name: str) -> dict[str, Any]:
    junit = RESULTS / f"{name}.xml"
    start = time.monotonic()
    done = subprocess.run(
        (sys.executable, "-m", "pytest", "-v", f"--timeout={_TEST_TIMEOUT_S}")
        + (f"--junitxml={junit}", "-o", "junit_family=xunit1", "-p", "no:cacheprovider")
        + GROUPS[name],
        check=False,
        env={**os.environ, **_ENVIRONMENT},
    )
    result: dict[str, Any] = {
        "status": done.returncode,
        "took_s": time.monotonic() - start,
        "passed": {},
        "failed": {},
        "skipped": {},
    }
    if junit.exists():
        for case in ET.parse(junit).iter("testcase"):  # noqa: S314 - pytest's own
            bad = case.find("failure") if case.find("error") is None else case.find("error")
            skipped = case.find("skipped")
            test = f"{case.get('file')}::{case.get('name')}"
            if bad is not None:
                result["failed"][test] = bad.get("message", "")
            elif skipped is not None:
                result["skipped"][test] = skipped.get("message", "")
            else:
                result["passed"][test] = float(case.get("time", "0"))
    return result


def _in_words(group: dict[str, Any]) -> str:
    return (
        f"{len(group['passed'])} passed, {len(group['failed'])} failed, "
        f"{len(group['skipped'])} skipped, {group['took_s']:.0f} s"
    )


def _say(text: str) -> None:
    print(f"vm: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
