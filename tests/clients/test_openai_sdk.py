"""The official openai package through a real daemon: answers, streams, errors, lists, leaving."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.clients.conftest import make_client
from tests.support.fake_upstream import CUT, PAUSE, STALL, Answer, FakeUpstream, Stream, refusal
from tests.support.upstream_kinds import NATIVE, TRANSLATED, Kind, both

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILURES: list[tuple[Answer, type[openai.APIStatusError], str, str | None]] = [
    (
        refusal(400, code="invalid_value", param="temperature"),
        openai.BadRequestError,
        "invalid_value",
        "temperature",
    ),
    (refusal(400, code="context_length_exceeded"), openai.BadRequestError, "context_length_exceeded", None),
    (refusal(401, code="invalid_api_key"), openai.InternalServerError, "upstream_credentials_refused", None),
    (refusal(404, code="model_not_found"), openai.NotFoundError, "model_not_found", None),
    (refusal(429, code="rate_limit_exceeded"), openai.RateLimitError, "rate_limit_exceeded", None),
    (refusal(429, code="insufficient_quota"), openai.RateLimitError, "insufficient_quota", None),
    (refusal(500), openai.InternalServerError, "upstream_error", None),
    (refusal(503, code="server_is_overloaded"), openai.InternalServerError, "server_is_overloaded", None),
]


class Weather(BaseModel):
    city: str
    degrees: int


WEATHER = ('{"city": "Oslo",', ' "degrees": 3}')


@both
async def test_create_gives_a_whole_response(client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind) -> None:
    scripted.play(kind.whole("Hello", " there"))
    response = await client.responses.create(model=kind.model, input="Hi", metadata={"a": "b"})
    assert response.output_text == "Hello there"
    assert response.status == "completed"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (
        11,
        7,
        18,
    )
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert [request.path for request in scripted.requests] == [kind.path]
    keys = [value for name, value in scripted.requests[0].headers.items() if name.lower() == "authorization"]
    assert keys == (["Bearer sk-upstream"] if kind is NATIVE else [])


@both
async def test_create_with_stream_gives_every_event(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    scripted.play(Stream(*kind.text("Hel", "lo")))
    events = [
        event async for event in await client.responses.create(model=kind.model, input="Hi", stream=True)
    ]
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


@both
async def test_deltas_come_while_the_upstream_still_writes(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    frames = kind.text("first", "second")
    at = next(number for number, frame in enumerate(frames) if b"second" in frame)
    scripted.play(Stream(*frames[:at], PAUSE, *frames[at:]))
    seen = []
    async for event in await client.responses.create(model=kind.model, input="Hi", stream=True):
        if event.type == "response.output_text.delta":
            seen.append(event.delta)
            scripted.go_on()
    assert seen == ["first", "second"]


@both
async def test_the_stream_helper_accumulates_the_answer(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    scripted.play(Stream(*kind.text("Hel", "lo", " \N{EARTH GLOBE EUROPE-AFRICA}")))
    async with client.responses.stream(model=kind.model, input="Hi") as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert snapshots[-1] == final.output_text == "Hello \N{EARTH GLOBE EUROPE-AFRICA}"
    assert final.model
    assert final.usage is not None


@both
async def test_the_sync_client_streams_and_answers(
    daemon_url: str, scripted: FakeUpstream, kind: Kind
) -> None:
    scripted.play(kind.whole("whole"), Stream(*kind.text("str", "eam")))

    def ask() -> tuple[str, str]:
        with OpenAI(base_url=daemon_url, api_key="sk-client", max_retries=0, timeout=30) as client:
            whole = client.responses.create(model=kind.model, input="Hi")
            with client.responses.stream(model=kind.model, input="Hi") as stream:
                return whole.output_text, stream.get_final_response().output_text

    assert await asyncio.to_thread(ask) == ("whole", "stream")


@both
async def test_parse_gives_the_model(client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind) -> None:
    scripted.play(kind.whole(*WEATHER))
    response = await client.responses.parse(model=kind.model, input="Hi", text_format=Weather)
    assert response.output_parsed == Weather(city="Oslo", degrees=3)
    sent = scripted.requests[0].body
    wanted = sent["text"]["format"] if kind is NATIVE else sent["response_format"]["json_schema"]
    assert wanted["name"] == "Weather"
    assert wanted["strict"] is True
    assert wanted["schema"]["required"] == ["city", "degrees"]


@both
async def test_the_stream_helper_parses(client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind) -> None:
    scripted.play(Stream(*kind.text(*WEATHER)))
    async with client.responses.stream(model=kind.model, input="Hi", text_format=Weather) as stream:
        final = await stream.get_final_response()
    assert final.output_parsed == Weather(city="Oslo", degrees=3)


@both
async def test_raw_responses_tell_request_target_and_limits(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    limits = {"x-ratelimit-remaining-requests": "41", "openai-model": "another"}
    scripted.play(Stream(*kind.text("Hi"), headers=limits))
    raw = await client.responses.with_raw_response.create(
        model=kind.model, input="Hi", stream=True, extra_headers={"x-request-id": "my-own-id"}
    )
    assert raw.headers["x-request-id"] == "my-own-id"
    assert raw.headers["x-maestro-target"] == kind.model
    assert raw.headers["x-maestro-attempts"] == "1"
    assert raw.headers["x-ratelimit-remaining-requests"] == "41"
    assert "openai-model" not in raw.headers
    assert [event.type async for event in raw.parse()][-1] == "response.completed"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(("answer", "raised", "code", "param"), FAILURES)
@both
async def test_refusals_become_the_packages_exceptions(
    client: AsyncOpenAI,
    scripted: FakeUpstream,
    kind: Kind,
    answer: Answer,
    raised: type[openai.APIStatusError],
    code: str,
    param: str | None,
    stream: bool,
) -> None:
    scripted.play(answer)
    with pytest.raises(raised) as caught:
        await client.responses.create(model=kind.model, input="Hi", stream=stream)
    assert type(caught.value) is raised
    assert (caught.value.code, caught.value.param) == (code, param)
    assert "refused" in str(caught.value)
    assert caught.value.request_id
    if isinstance(caught.value, openai.RateLimitError):
        assert int(caught.value.response.headers["retry-after"]) >= 1


async def test_our_own_refusals_name_the_field(client: AsyncOpenAI) -> None:
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"input": 7}, "input", "invalid_type"),
        ({"temperature": 9}, "temperature", "decimal_above_max_value"),
        ({"background": True}, "background", "unsupported_value"),
        ({"previous_response_id": "resp_unknown"}, "previous_response_id", "previous_response_not_found"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
    ]
    for fields, param, code in wrong:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(**{"model": TRANSLATED.model, "input": "Hi", **fields})
        assert (caught.value.param, caught.value.code) == (param, code)


async def test_an_unknown_model_is_not_found_and_near_names_are_told(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="coder") as caught:
        await client.responses.create(model="codr", input="Hi")
    assert caught.value.code == "model_not_found"


@both
async def test_a_retry_of_the_package_is_served(daemon_url: str, scripted: FakeUpstream, kind: Kind) -> None:
    limited = refusal(429, code="rate_limit_exceeded", headers={"retry-after": "0"})
    scripted.play(limited, kind.whole("at last"))
    async with await make_client(daemon_url, max_retries=1) as client:
        response = await client.responses.create(model=kind.model, input="Hi")
    assert response.output_text == "at last"


async def test_a_fallback_is_served_by_the_other_kind(client: AsyncOpenAI, scripted: FakeUpstream) -> None:
    scripted.play(refusal(500), Stream(*TRANSLATED.text("from home")))
    raw = await client.responses.with_raw_response.create(model="coder", input="Hi")
    assert raw.parse().output_text == "from home"
    assert raw.headers["x-maestro-target"] == TRANSLATED.model
    assert raw.headers["x-maestro-attempts"] == "2"
    assert [request.path for request in scripted.requests] == [NATIVE.path, TRANSLATED.path]


@both
async def test_an_upstream_cut_in_the_middle_ends_as_failed(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    frames = kind.text("some", "more")
    at = next(number for number, frame in enumerate(frames) if b"some" in frame)
    scripted.play(Stream(*frames[: at + 1], CUT))
    events, error = await read(await client.responses.create(model=kind.model, input="Hi", stream=True))
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["some"]
    assert error is not None
    assert error.code == "server_error"


async def read(stream: openai.AsyncStream[Any]) -> tuple[list[Any], openai.APIError | None]:
    """What the package gives of a stream, and what it raises in the end."""
    events = []
    try:
        async for event in stream:
            events.append(event)  # noqa: PERF401  (a comprehension would lose them)
    except openai.APIError as error:
        return events, error
    return events, None


@both
async def test_a_client_that_leaves_its_stream_ends_the_upstreams(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind
) -> None:
    frames = kind.text("some", "more")
    at = next(number for number, frame in enumerate(frames) if b"some" in frame)
    scripted.play(Stream(*frames[: at + 1], STALL))
    stream = await client.responses.create(model=kind.model, input="Hi", stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    assert await scripted.left.get() == kind.path


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@both
async def test_a_clients_timeout_ends_the_upstreams_request(
    client: AsyncOpenAI, scripted: FakeUpstream, kind: Kind, stream: bool
) -> None:
    scripted.play(STALL)
    with pytest.raises(openai.APITimeoutError):
        await client.responses.create(model=kind.model, input="Hi", stream=stream, timeout=0.3)
    assert await scripted.left.get() == kind.path


async def test_models_are_listed(client: AsyncOpenAI) -> None:
    listed = [model async for model in client.models.list()]
    assert {model.object for model in listed} == {"model"}
    assert all(model.owned_by and model.created for model in listed)
    assert {"auto", "coder", "native/gpt-test", "home/gpt-test"} <= {model.id for model in listed}
