"""The Python mirror of bpf/abi.h says the same as the header."""

from __future__ import annotations

import ctypes
import enum
import re
from importlib.resources import files

import pytest

from enforcer import abi

HEADER = (files("enforcer.bpf") / "abi.h").read_text("utf-8")
STRUCTS = {
    "config": abi.Config,
    "name_key": abi.NameKey,
    "short_name_key": abi.ShortNameKey,
    "grant": abi.Grant,
    "refused_key": abi.RefusedKey,
    "address": abi.MappedAddress,
    "query_key": abi.QueryKey,
    "asker": abi.Asker,
    "query": abi.Query,
    "learned_key": abi.LearnedKey,
    "learned": abi.Learned,
    "flow_key": abi.FlowKey,
    "connector": abi.Connector,
    "place_key": abi.PlaceKey,
    "judging": abi.Judging,
    "denied_event": abi.DeniedEvent,
    "sealed": abi.Sealed,
    "answer_event": abi.AnswerEvent,
}
ENUMS: dict[str, type[enum.IntEnum | enum.IntFlag]] = {
    "REFUSAL": abi.Refusal,
    "GRANT": abi.GrantFlags,
    "ANSWER": abi.AnswerFlags,
    "PLACE": abi.PlaceKind,
    "JUDGING": abi.JudgingFlags,
    "STAT": abi.Stat,
}
CONSTANTS = re.findall(
    r"^\t(MAX_\w+|(?:SHORT_)?NAME_SIZE|MESSAGE_MAX|QUERY_TIMEOUT_S)\b", HEADER, re.MULTILINE
)


def assertions() -> list[str]:
    """Return what must hold in C for the mirror to be right."""
    lines = [f"NR_STATS == {len(abi.Stat)}"]
    for name, mirror in STRUCTS.items():
        lines.append(f"sizeof(struct {name}) == {ctypes.sizeof(mirror)}")
        for field, *_ in mirror._fields_:
            at = getattr(mirror, field)
            lines.append(f"__builtin_offsetof(struct {name}, {field}) == {at.offset}")
            lines.append(f"sizeof(((struct {name} *)0)->{field}) == {at.size}")
    for prefix, values in ENUMS.items():
        lines += [f"{prefix}_{member.name} == {member.value}" for member in values]
    lines += [
        f"{name} == {getattr(abi, name)}" for name in [*CONSTANTS, "CONFIG_KEY", "SEALED_KEY"]
    ]
    return lines


def compile_with(lines: list[str]) -> None:
    """Compile the header and *lines* as static assertions with bcc."""
    bcc = pytest.importorskip("bcc")
    checks = "".join(f'_Static_assert({line}, "");\n' for line in lines)
    text = f"{HEADER}\n{checks}\nint nothing(void *ctx) {{ return 0; }}\n"
    bcc.BPF(text=text.encode())


@pytest.fixture(autouse=True)
def _shim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(files("enforcer.bpf") / "shim"))


def test_sizes_offsets_and_values_are_those_of_the_header() -> None:
    """The compiler agrees with every size, offset and value of the mirror."""
    compile_with(assertions())


@pytest.mark.parametrize("index", [1, 2, 3, -1])
def test_a_wrong_value_is_noticed(index: int) -> None:
    """An assertion that is off by one doesn't compile, so the test above can fail."""
    line = assertions()[index]
    with pytest.raises(Exception, match="Failed to compile"):
        compile_with([f"{line} + 1"])


def test_nothing_of_the_header_is_missing_in_the_mirror() -> None:
    """Every struct and every enumerator of the header has a counterpart."""
    assert set(re.findall(r"^struct (\w+) \{", HEADER, re.MULTILINE)) == STRUCTS.keys()
    enumerators = set(re.findall(r"^\t([A-Z]\w+)\b", HEADER, re.MULTILINE))
    mirrored = {f"{p}_{m.name}" for p, values in ENUMS.items() for m in values}
    assert enumerators == mirrored | set(CONSTANTS) | {"NR_STATS"}
