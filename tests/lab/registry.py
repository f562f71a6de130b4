"""Two registries in the world, the same image in both, with TLS from a CA of the lab's own."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import trustme

from tests.lab.image import write_layout
from tests.lab.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.lab import Lab
    from tests.lab.namespace import Namespace

_START_TIMEOUT_S = 20
IMAGE = "lab/hello:1"


@dataclass(frozen=True)
class Registry:
    """One registry.

    Attributes:
        addresses: one of each family; port 443 of them is the registry.
        port: where its process listens; not for clients.
        layers: the host that it sends its clients to for layers, as most do; None: itself.
    """

    name: str
    addresses: tuple[str, str]
    port: int
    layers: Registry | None = None

    @property
    def image(self) -> str:
        """The reference of the image it has."""
        return f"{self.name}/{IMAGE}"


ALLOWED = Registry("registry.allowed.test", ("198.18.0.10", "2001:db8::10"), 5010)
DENIED = Registry("registry.denied.test", ("198.18.0.20", "2001:db8::20"), 5020)
# By the names of a preset, in a world without the Internet.
LAYERS = Registry("pkg-containers.githubusercontent.com", ("198.18.0.31", "2001:db8::31"), 5031)
GHCR = Registry("ghcr.io", ("198.18.0.30", "2001:db8::30"), 5030, LAYERS)


@dataclass(frozen=True)
class Registries:
    """Both registries, serving.

    Attributes:
        ca: the PEM file that clients have to trust.
    """

    ca: Path
    allowed: Registry = ALLOWED
    denied: Registry = DENIED


@contextlib.contextmanager
def serving_registries(lab: Lab) -> Iterator[Registries]:
    """Run both registries in the lab's world until the block ends."""
    with serving(lab, ALLOWED, DENIED) as ca:
        yield Registries(ca)


@contextlib.contextmanager
def serving(lab: Lab, *registries: Registry) -> Iterator[Path]:
    """Run *registries* in the lab's world until the block ends; yield the CA's PEM file."""
    directory = lab.net.directory / f"registries-{registries[0].port}"
    directory.mkdir()
    authority = trustme.CA()
    ca = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    write_layout(directory / "image")
    with contextlib.ExitStack() as stack:
        for registry in registries:
            files = directory / registry.name
            files.mkdir()
            certificate = authority.issue_cert(registry.name)
            certificate.private_key_and_cert_chain_pem.write_to_path(str(files / "key.pem"))
            (files / "config.yml").write_text(_config(registry, files))
            log = stack.enter_context((files / "log").open("w"))
            serve = ("docker-registry", "serve", files / "config.yml")
            process = stack.enter_context(lab.net.world.popen(*serve, stdout=log, stderr=log))
            stack.callback(process.kill)
            _redirect(lab.net.world, registry)
            if registry.layers is not None:
                stack.enter_context(_serving_layers(lab, registry.layers, files, authority))
        for registry in registries:
            _await_listening(lab.net.world, registry)
            lab.net.world.run(
                "skopeo",
                "--insecure-policy",
                "copy",
                "--quiet",
                # Beside much else on a slow machine a handshake of TLS may take its ten seconds.
                "--retry-times=5",
                f"oci:{directory / 'image'}",
                f"docker://{registry.image}",
                env={"SSL_CERT_FILE": str(ca)},
            )
        yield ca


@contextlib.contextmanager
def _serving_layers(
    lab: Lab, layers: Registry, files: Path, authority: trustme.CA
) -> Iterator[None]:
    """Serve what a registry has stored in *files*."""
    key = files / "layers.pem"
    authority.issue_cert(layers.name).private_key_and_cert_chain_pem.write_to_path(str(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    serve = partial(_Layers, directory=str(files / "storage"))
    # A socket belongs to the namespace that it is made in.
    listener = lab.net.world.call(
        lambda: socket.create_server(
            ("::", layers.port), family=socket.AF_INET6, dualstack_ipv6=True
        )
    )
    server = ThreadingHTTPServer(("", 0), serve, bind_and_activate=False)
    server.socket.close()
    server.socket = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _redirect(lab.net.world, layers)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Layers(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _config(registry: Registry, files: Path) -> str:
    """Return the configuration of docker-registry, as JSON, which is YAML."""
    redirect = []
    if registry.layers is not None:
        options = {"baseurl": f"https://{registry.layers.name}/"}
        redirect = [{"name": "redirect", "options": options}]
    return json.dumps(
        {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(files / "storage")}},
            "middleware": {"storage": redirect},
            "http": {
                "addr": f":{registry.port}",
                "tls": {
                    "certificate": str(files / "key.pem"),
                    "key": str(files / "key.pem"),
                },
            },
        }
    )


def _redirect(world: Namespace, registry: Registry) -> None:
    """Lead port 443 of the registry's addresses to its process.

    A process can listen on one address or on all; the sink has all of port 443.
    """
    table = f"lab_registry_{registry.port}"
    ipv4, ipv6 = registry.addresses
    rules = "".join(
        f"    {header} daddr {address} tcp dport 443 redirect to :{registry.port}\n"
        for header, address in (("ip", ipv4), ("ip6", ipv6))
    )
    hooks = ("prerouting", "dstnat"), ("output", "-100")
    chains = "".join(
        f"  chain {hook} {{\n    type nat hook {hook} priority {priority}\n{rules}  }}\n"
        for hook, priority in hooks
    )
    world.nft(f"table inet {table} {{\n{chains}}}\n")


def _await_listening(world: Namespace, registry: Registry) -> None:
    def listening() -> bool:
        try:
            world.call(lambda: socket.create_connection(("::1", registry.port)).close())
        except ConnectionRefusedError:
            return False
        return True

    until(listening, _START_TIMEOUT_S, f"{registry.name} to listen")
