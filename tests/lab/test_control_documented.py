"""What the control socket answers is what docs/control.openapi.yaml says, and all of it."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
import yaml

from tests.lab.asking import ask_both
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.registry import DENIED
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

CHECKOUT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((CHECKOUT / "docs/control.openapi.yaml").read_text())
RECORDED_WITHIN_S = 10
READS = [
    ("/status", 200),
    ("/hosts", 200),
    (f"/hosts?host={quote('*.' + FRESH_ZONE)}", 200),
    ("/hosts?host=not%20a%20host", 409),
    ("/explain?target=ghcr.io/a/b:1", 200),
    (f"/explain?target={DENIED.addresses[0]}", 200),
    (f"/explain?target={FRESH_ZONE}", 200),
    ("/explain?target=not%20a%20target", 409),
    ("/denials", 200),
    ("/denials?after=1", 200),
    ("/denials?since=soon", 409),
    ("/suggestion", 200),
    ("/metrics", 200),
]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("enforcer")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def asked(enforcer: Enforcer, method: str, target: str) -> tuple[int, str, bytes]:
    """Return status, media type and body of an answer."""
    connection = _Connection(enforcer.runtime_dir / "control.sock")
    connection.request(method, target)
    answer = connection.getresponse()
    return answer.status, answer.headers.get_content_type(), answer.read()


def is_as_documented(method: str, target: str, found: tuple[int, str, bytes]) -> None:
    """Assert that an answer is what the document has for it."""
    status, kind, body = found
    path = target.partition("?")[0]
    response = DOCUMENT["paths"][path][method.lower()]["responses"][str(status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][kind]["schema"]
    value = json.loads(body) if kind == "application/json" else body.decode()
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def test_every_path_is_documented_and_answered() -> None:
    """By the names in the code: what is not here is not asked for below either."""
    source = (CHECKOUT / "enforcer/daemon/requests.py").read_text()
    handled = set(re.findall(r'"(/\w+)": self\.', source))
    assert handled == DOCUMENT["paths"].keys()
    assert handled == {target.partition("?")[0] for target, _ in READS} | {"/reload", "/off"}


def test_answers_are_as_documented(lab: Lab, policy: str) -> None:
    """Of a machine in use: with denials, addresses, problems and repairs."""
    host = lab.net.host
    with running(lab.net, policy) as enforcer:
        ask_both(host, RESOLVERS[0], DENIED.name)
        assert connect_to_answers(host, FRESH_ZONE, family=4, count=3, label="doc").ok == 3
        for namespace in (host, lab.net.container):
            assert attempt(namespace, DENIED.addresses[0]).outcome == "ECONNREFUSED"
        attempt(host, DENIED.addresses[0], 53, protocol="udp")
        host.run("nft", "delete", "table", "inet", "enforcer")

        def status() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(asked(enforcer, "GET", "/status")[2])
            return found

        until(
            lambda: status()["repaired"] and status()["denied"]["recent"],
            RECORDED_WITHIN_S,
            "a repair and a denial",
        )
        for target, expected in READS:
            found = asked(enforcer, "GET", target)
            assert found[0] == expected, target
            is_as_documented("GET", target, found)
        is_as_documented("POST", "/reload", asked(enforcer, "POST", "/reload"))
        enforcer.policy_file.write_text("nonsense")
        refused = asked(enforcer, "POST", "/reload")
        assert refused[0] == 409
        is_as_documented("POST", "/reload", refused)
        assert status()["problems"]
        is_as_documented("GET", "/status", asked(enforcer, "GET", "/status"))
        is_as_documented("POST", "/off", asked(enforcer, "POST", "/off"))
        enforcer.process.wait()
