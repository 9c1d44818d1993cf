"""What is remembered of answers: bounded, least recently used out, each client's own."""

from __future__ import annotations

import tracemalloc
from typing import Any

from maestro_daemon.routing.memory import Memory, Origin

OPENAI = Origin("openai", "resp_up", native=True)


def item(id: Any, size: int = 10) -> dict[str, Any]:
    return {"id": id, "type": "message", "content": "x" * size}


def test_a_response_and_its_items_are_found_by_their_client_alone() -> None:
    memory = Memory()
    memory.remember("alice", "resp_1", OPENAI, [item("msg_1")])
    assert memory.origin("alice", "resp_1") == OPENAI
    assert memory.origin("bob", "resp_1") is None
    found = memory.item("alice", "msg_1")
    assert found is not None
    assert found.item == item("msg_1")
    assert (found.provider, found.native) == ("openai", True)
    assert memory.item("bob", "msg_1") is None
    assert memory.item("alice", "msg_2") is None


def test_an_item_whose_type_is_no_name_is_not_kept_as_nobody_could_be_sent_it() -> None:
    memory = Memory()
    odd = [{**item(f"it_{number}"), "type": type} for number, type in enumerate((["x"], {"a": 1}, 7))]
    memory.remember("", "resp_1", OPENAI, [*odd, {"id": "it_untyped", "role": "assistant"}])
    assert [memory.item("", f"it_{number}") for number in range(3)] == [None] * 3
    assert memory.item("", "it_untyped") is not None


def test_the_least_recently_used_response_goes_first() -> None:
    memory = Memory(responses=3)
    for number in range(3):
        memory.remember("", f"resp_{number}", OPENAI, [])
    assert memory.origin("", "resp_0") is not None
    memory.remember("", "resp_3", OPENAI, [])
    assert memory.origin("", "resp_1") is None
    assert [memory.origin("", f"resp_{number}") is not None for number in (0, 2, 3)] == [True] * 3


def test_items_are_bounded_in_bytes_and_the_least_recently_used_go_first() -> None:
    memory = Memory(item_bytes=10_000)
    for number in range(4):
        memory.remember("", "resp", OPENAI, [item(f"msg_{number}", 2000)])
    assert memory.item("", "msg_0") is not None
    memory.remember("", "resp", OPENAI, [item("msg_4", 2000)])
    assert memory.item("", "msg_1") is None
    assert memory.item("", "msg_0") is not None
    for number in range(1000):
        memory.remember("", "resp", OPENAI, [item(f"small_{number}", 1)])
    assert len(memory._items) < 25
    assert memory._held_bytes <= 10_000


def test_what_items_are_counted_with_is_what_they_cost() -> None:
    memory = Memory()
    tracemalloc.start()
    try:
        for number in range(500):
            memory.remember("", f"resp_{number}", OPENAI, [item(f"msg_{number}", 300)])
        cost, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cost < 1.5 * memory._held_bytes


def test_an_item_that_is_too_large_displaces_nothing() -> None:
    memory = Memory(item_bytes=10_000)
    memory.remember("", "resp", OPENAI, [item("msg_1"), item("msg_2", 20_000)])
    assert memory.item("", "msg_1") is not None
    assert memory.item("", "msg_2") is None


def test_an_item_that_comes_again_counts_once() -> None:
    memory = Memory(item_bytes=10_000)
    for _ in range(100):
        memory.remember("", "resp", OPENAI, [item("msg_1", 3000)])
    memory.remember("", "resp", OPENAI, [item("msg_2", 3000)])
    assert memory.item("", "msg_1") is not None
    assert memory.item("", "msg_2") is not None


def test_a_larger_form_of_an_item_replaces_it_even_if_it_cannot_be_kept() -> None:
    memory = Memory(item_bytes=10_000)
    memory.remember("", "resp", OPENAI, [item("msg_1")])
    memory.remember("", "resp", OPENAI, [item("msg_1", 20_000)])
    assert memory.item("", "msg_1") is None


def test_what_is_no_item_is_passed_over() -> None:
    memory = Memory()
    memory.remember("", "resp", OPENAI, [None, 5, "x", {}, {"id": 5}, {"id": None}, item("msg_1")])
    assert memory.item("", "msg_1") is not None
    assert len(memory._items) == 1


def test_what_is_given_out_can_be_changed_without_harm() -> None:
    memory = Memory()
    memory.remember("", "resp", OPENAI, [item("msg_1")])
    first = memory.item("", "msg_1")
    assert first is not None
    first.item.clear()
    again = memory.item("", "msg_1")
    assert again is not None
    assert again.item == item("msg_1")


def test_with_less_room_the_oldest_are_forgotten_at_once() -> None:
    memory = Memory(item_bytes=10_000)
    for number in range(8):
        item = {"id": f"msg_{number}", "type": "message", "text": "x" * 500}
        memory.remember("alice", f"resp_{number}", Origin("home", f"resp_{number}", True), [item])
    memory.follow(2_000)
    kept = [number for number in range(8) if memory.item("alice", f"msg_{number}") is not None]
    assert kept == [7] or kept == [6, 7]
    assert memory.origin("alice", "resp_0") is not None
