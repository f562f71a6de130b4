"""The form of a policy file: which keys it has and what each of them holds.

Pure: no I/O, no clock. The models both validate a document and print as JSON
Schema, so that the two can't disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    InstanceOf,
    PlainValidator,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema, core_schema

from enforcer.core import entries
from enforcer.core.addresses import Address, Network
from enforcer.core.choices import Choice, choose, entries_schema
from enforcer.core.faults import Fault, Faulty
from enforcer.core.host_and_port import HTTPS, MAX_PORT
from enforcer.core.hostname import Pattern
from enforcer.core.hosts import Host
from enforcer.core.known import OWN_HOSTS, Known, Ports
from enforcer.core.wording import quoted

DAY_S = 86400
MAX_ORGANIZATION = 100  # characters, because messages of one line name it


def _form(value: object) -> str | None:
    """Name the form of *value*, where several are possible."""
    if isinstance(value, Host):
        return "host"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "mapping"
    return "list" if isinstance(value, list) else None


def _has_host(value: Mapping[str, object]) -> Mapping[str, object]:
    if "host" in value:
        return value
    hint = 'write host: "*.example.com" in it'
    for key, port in value.items():
        if isinstance(port, int):
            hint = f"a host with its port has no space: {quoted(f'{key}:{port}')}"
    raise Faulty(Fault((), "the key host is missing", hint))


def _from_text(value: str, info: ValidationInfo) -> Host:
    pattern, port = entries.host(value)
    return _own(pattern, (HTTPS if port is None else port,), info, private=False)


def _from_mapping(entry: HostEntry, info: ValidationInfo) -> Host:
    # At once: 100,000 models would take more memory than all the rest.
    ports = tuple(sorted(set(entry.ports)))
    return _own(entry.host, ports, info, private=entry.private)


def _own(pattern: Pattern, ports: Ports, info: ValidationInfo, *, private: bool) -> Host:
    known = cast("Known", info.context)
    host = Host(pattern, known.ports.setdefault(ports, ports), private=private, origin=OWN_HOSTS)
    before = known.grants.of(pattern)
    return before if isinstance(before, Host) and before == host else host


class _PresetsSchema:
    """Prints the presets, which are data, where pydantic sees a function."""

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return entries_schema()


class _AsEntry:
    """Reads a Host in the form of a HostEntry."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        entry = handler.generate_schema(HostEntry)
        return core_schema.with_info_after_validator_function(_from_mapping, entry)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class HostEntry(_Section):
    """A host and what it may be used for."""

    host: Annotated[
        Pattern,
        PlainValidator(entries.pattern),
        WithJsonSchema({"type": "string", "examples": ["ghcr.io", "*.example.com"]}),
    ]
    ports: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_PORT)]],
        Field(min_length=1),
        AfterValidator(entries.few),
    ] = [HTTPS]
    private: Annotated[
        bool, Field(description="may have addresses in RFC 1918, ULA and CGNAT networks")
    ] = False


class DnsSection(_Section):
    """How long an address stays open: its TTL, at least min_ttl, and then grace."""

    min_ttl: Annotated[int, Field(ge=0, le=DAY_S, description="seconds")] = 60
    grace: Annotated[int, Field(ge=0, le=DAY_S, description="seconds")] = 300


class MetricsSection(_Section):
    """Where Prometheus finds metrics, besides the control socket."""

    # Those below are for who may take them, which a running daemon gives up.
    port: Annotated[int, Field(ge=1024, le=MAX_PORT, description="of TCP, on 127.0.0.1 alone")]


HostItem: TypeAlias = Annotated[
    Annotated[
        Host,
        PlainValidator(_from_text),
        WithJsonSchema({"type": "string", "examples": ["ghcr.io", "registry.corp.example:5000"]}),
        Tag("text"),
    ]
    | Annotated[Host, _AsEntry(), BeforeValidator(_has_host), Tag("mapping")]
    | Annotated[SkipJsonSchema[InstanceOf[Host]], Tag("host")],
    Discriminator(_form),
]
NetworkItem: TypeAlias = Annotated[
    Network,
    PlainValidator(entries.network),
    WithJsonSchema({"type": "string", "examples": ["10.20.0.0/16", "2001:db8::/32"]}),
]
ResolverItem: TypeAlias = Annotated[
    Address,
    PlainValidator(entries.resolver),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.53", "2001:db8::53"]}),
]
Resolvers: TypeAlias = Annotated[
    Annotated[Literal["system"], Tag("text")]
    | Annotated[list[ResolverItem], Field(min_length=1), Tag("list")],
    Discriminator(_form),
]


class PolicyFile(_Section):
    """What a machine may reach: container registries, by the names of their hosts."""

    # No Literal[1]: true is equal to 1.
    version: Annotated[int, Field(ge=1, le=1), WithJsonSchema({"const": 1})]
    organization: Annotated[
        str,
        Field(min_length=1, max_length=MAX_ORGANIZATION, description="whose policy this is"),
        AfterValidator(entries.one_line),
    ]
    mode: Annotated[
        Literal["enforce", "audit"],
        Field(description="audit counts what enforce would deny, and denies nothing"),
    ] = "enforce"
    registries: Annotated[
        list[Annotated[Choice, PlainValidator(choose), _PresetsSchema()]] | None,
        Field(description="presets: registries whose hosts are known"),
    ] = None
    hosts: Annotated[
        list[HostItem] | None,
        Field(description="names, or *. and the name above; port 443 if none is given"),
    ] = None
    networks: Annotated[
        Annotated[list[NetworkItem], AfterValidator(entries.networks)] | None,
        Field(description="always allowed, on every port"),
    ] = None
    resolvers: Annotated[
        Resolvers | None, Field(description="whose answers count; system follows resolv.conf")
    ] = None
    dns: DnsSection | None = None
    watch: Annotated[
        bool, Field(description="a changed file is put in force without `enforcer reload`")
    ] = False
    metrics: MetricsSection | None = None


_HOST_ITEM: TypeAdapter[Host] = TypeAdapter(HostItem)


def host_or_entry(entry: object, known: Known) -> object:
    """Return the host that *entry* stands for, or *entry* if PolicyFile is to say why it is none.

    For each entry as it is read: all of a long list at once would take three times the
    memory of its hosts, and leave holes where it was.
    """
    if before := known.host(entry):
        return before
    try:
        return _HOST_ITEM.validate_python(entry, context=known)
    except ValidationError:
        return entry
