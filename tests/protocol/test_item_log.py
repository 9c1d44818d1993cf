"""What a stream has said of its items: stable ids, closings, the final output."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.protocol.item_log import ItemLog, OutputTooLarge, new_item_id
from tests.support import native

MESSAGE = {"type": "message", "role": "assistant", "status": "in_progress", "content": []}


def noted(events: list[native.Event]) -> ItemLog:
    log = ItemLog()
    for event in events:
        index = event["output_index"]
        if event["type"] == "response.output_item.added":
            log.added(index, event["item"], 100)
        elif event["type"] == "response.output_item.done":
            log.done(index, event["item"], 100)
        else:
            log.note(event["type"], index, event, 100)
    return log


@pytest.mark.parametrize(
    ("type", "prefix"), [("message", "msg_"), ("reasoning", "rs_"), ("x_new_call", "x_new_"), ("", "_")]
)
def test_new_ids_bear_their_types_prefix_and_cannot_be_guessed(type: str, prefix: str) -> None:
    one, other = new_item_id(type), new_item_id(type)
    assert one.startswith(prefix)
    assert one != other
    assert len(one.removeprefix(prefix)) == 48


@pytest.mark.parametrize("id", [None, "", 5, [], {}])
def test_an_item_without_a_usable_id_gets_one_for_good(id: Any) -> None:
    log = ItemLog()
    minted = log.added(0, {**MESSAGE, "id": id}, 100)
    assert minted.startswith("msg_")
    assert log.stable_id(0) == minted
    assert log.done(0, {**MESSAGE, "id": "msg_other"}, 100) == minted
    assert [item["id"] for item in log.output()] == [minted]


def test_an_item_that_was_never_announced_is_known_by_its_end() -> None:
    log = ItemLog()
    assert log.done(3, native.message("Hi", "msg_3"), 100) == "msg_3"
    assert log.output() == [native.message("Hi", "msg_3")]


def test_interleaved_items_are_closed_in_order_each_with_its_own_text() -> None:
    first = native.message_events(["a", "b"], 0, "msg_a")[:4]
    second = native.call_events("run", ['{"x":', "1}"], 1, id="fc_b")[:3]
    third = native.message_events(["c"], 2, "msg_c")[:3]
    mixed = [event for trio in zip(first, [*second, third[0]], strict=True) for event in trio] + third[1:]
    log = noted(mixed)
    closed = list(log.close_all())
    assert [(kind.removeprefix("response."), fields["output_index"]) for kind, fields in closed] == [
        ("output_text.done", 0),
        ("content_part.done", 0),
        ("output_item.done", 0),
        ("function_call_arguments.done", 1),
        ("output_item.done", 1),
        ("output_text.done", 2),
        ("content_part.done", 2),
        ("output_item.done", 2),
    ]
    texts = [item["content"][0]["text"] for item in log.output() if item["type"] == "message"]
    assert texts == ["ab", "c"]
    assert log.output()[1]["arguments"] == '{"x":1}'
    assert {item["status"] for item in log.output()} == {"incomplete"}


@pytest.mark.parametrize("events", range(1, 7))
def test_what_was_ended_is_not_ended_again(events: int) -> None:
    said = native.message_events(["a"])[:events]
    closed = [kind for kind, _ in noted(said).close_all()]
    whole = [event["type"] for event in native.message_events(["a"])]
    if events == 1:
        assert closed == ["response.output_item.done"]
    else:
        assert [event["type"] for event in said if "delta" not in event["type"]] + closed == [
            kind for kind in whole if "delta" not in kind
        ]


def test_nothing_is_closed_twice() -> None:
    log = noted(native.message_events(["a"])[:4])
    assert list(log.close_all())
    assert not list(log.close_all())


def test_text_that_came_only_when_done_is_kept() -> None:
    log = noted([event for event in native.message_events(["all"])[:5] if "delta" not in event["type"]])
    list(log.close_all())
    assert log.output()[0]["content"][0]["text"] == "all"


def test_a_call_that_was_cut_keeps_what_came_of_its_arguments() -> None:
    log = noted(native.call_events("run", ['{"a', '":'])[:3])
    (kind, done), (_, ended) = log.close_all()
    assert kind == "response.function_call_arguments.done"
    assert (done["arguments"], done["name"]) == ('{"a":', "run")
    assert ended["item"]["arguments"] == '{"a":'
    assert ended["item"]["status"] == "incomplete"


FINAL = [native.message("a", "msg_x"), native.call("run", "{}", "fc_y")]


@pytest.mark.parametrize("output", [None, "x", [], FINAL[:1], [FINAL[1], FINAL[0]], [1, 2], [{}, {}]])
def test_a_final_output_that_lacks_items_is_the_streams(output: Any) -> None:
    log = noted([*native.message_events(["a"], 0, "msg_1"), *native.call_events("run", ["{}"], 1, id="fc_1")])
    assert [item["id"] for item in log.settled(output)] == ["msg_1", "fc_1"]
    assert log.settled(output) == log.output()


def test_the_items_of_the_final_output_get_the_ids_of_the_stream_and_keep_all_else() -> None:
    log = noted([*native.message_events(["a"], 0, "msg_1"), *native.call_events("run", ["{}"], 1, id="fc_1")])
    more = [{**FINAL[0], "extra": 1}, FINAL[1], {"type": "x_new", "id": "x_3"}]
    assert log.settled(more) == [{**more[0], "id": "msg_1"}, {**more[1], "id": "fc_1"}, more[2]]
    assert more[0]["id"] == "msg_x"


def test_all_that_is_kept_is_bounded() -> None:
    log = ItemLog()
    with pytest.raises(OutputTooLarge):
        [log.added(index, MESSAGE, 1_000_000) for index in range(100)]
    log = ItemLog()
    log.added(0, MESSAGE, 100)
    event = {"type": "response.content_part.added", "part": {"type": "output_text"}}
    with pytest.raises(OutputTooLarge):
        [log.note(event["type"], 0, {**event, "content_index": n}, 1_000_000) for n in range(100)]


def test_what_is_not_kept_does_not_count() -> None:
    log = ItemLog()
    log.added(0, {"type": "image_generation_call", "id": "ig_1"}, 100)
    for _ in range(100):
        log.note("response.image_generation_call.partial_image", 0, {"partial_image_b64": "…"}, 10_000_000)
