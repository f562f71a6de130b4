"""What runs inside a guest: the checks, the BPF programs, a core of the lab.

All of it is the ordinary suite's. Emulated, Python is some twenty times slower than here, so the
core has what a kernel can make a difference to, and what shares one daemon with others.
"""

from __future__ import annotations

from collections.abc import Mapping


def _of(file: str, *tests: str) -> tuple[str, ...]:
    return tuple(f"{file}::{test}" for test in tests)


_BPF = ("abi", "learning", "queries", "packets", "forward_mark")

GROUPS: Mapping[str, tuple[str, ...]] = {
    "bpf": (
        *(f"tests/bpf/test_{name}.py" for name in _BPF),
        *_of("tests/bpf/test_loader.py", "test_every_program_and_map_is_handed_over"),
        *_of(
            "tests/bpf/test_streams.py",
            "test_messages_are_learned_whole_or_not_at_all[0-1000]",
            "test_messages_are_learned_whole_or_not_at_all[2-4294967256]",
        ),
    ),
    "first connections": _of(
        "tests/lab/test_first_connection.py",
        "test_never_seen_addresses_are_reached_at_once",
        "test_learned_addresses_are_listed",
    ),
    "denials": (
        "tests/lab/test_denied.py",
        *_of(
            "tests/lab/test_pull.py",
            "test_the_permitted_registry_is_pulled_from[skopeo]",
            "test_the_other_registry_is_refused_at_once[skopeo]",
        ),
        *_of(
            "tests/lab/test_probe.py",
            "test_what_is_connected_directly_is_proved[enforce]",
            "test_without_counters_an_audit_is_no_proof_of_what_passes_round_it",
        ),
    ),
    "bypasses": (
        *_of(
            "tests/lab/test_threats_packets.py",
            "test_a_bare_address[user-v4]",
            "test_a_bare_address[user namespace-v6]",
            "test_a_bare_address[container-v6]",
            "test_a_mark_of_ones_own[host-v4]",
            "test_a_mark_of_ones_own[container-v6]",
            "test_a_packet_socket_of_a_container[v4]",
            "test_a_socket_connected_again[host-plain-0]",
            "test_extension_headers[hop_by_hop-host-v6]",
        ),
        *_of(
            "tests/lab/test_threats_answers.py",
            "test_a_network_of_ones_own_with_the_resolvers_address[by v4-v4]",
            "test_a_forged_answer_from_a_container[asked-by v4-v4]",
        ),
        *_of(
            "tests/lab/test_threats_names.py",
            "test_a_permitted_name_that_leads_inside[host-10.200.0.1]",
            "test_a_permitted_name_that_leads_inside[container-fd99::1]",
        ),
    ),
    "kill": _of(
        "tests/lab/test_threats_daemon.py",
        "test_a_daemon_that_is_not_there[_kill]",
        "test_another_tool_that_deletes[table]",
    ),
    "reload": _of(
        "tests/lab/test_reload.py",
        "test_a_host_takes_its_connections_with_it_after_its_addresses_expired[host-v4]",
        "test_a_host_that_comes_back_is_like_new",
    ),
    "refusal": _of(
        "tests/lab/test_refusals.py",
        "test_a_kernel_that_is_too_old_is_refused",
        "test_a_machine_without_cgroup2_is_refused",
        "test_a_missing_policy_is_refused",
    ),
}
