"""The embedded engine as a provider: real child processes, a tiny random model and the installed SmolLM2."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from maestro_daemon.plugin import (
    Accepted,
    Diagnosed,
    ProviderUnavailable,
    Startable,
    Unmetered,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_local import local_provider
from maestro_local.embedded_provider import EmbeddedProvider
from maestro_local.options import LocalOptions
from tests.support.local_answers import answer_of, whole_answer
from tests.support.playbook import a_request
from tests.support.processes import gone


@asynccontextmanager
async def embedded(model: Path | None, **options: Any) -> AsyncIterator[EmbeddedProvider]:
    provider = local_provider("embedded", LocalOptions(engine="embedded", model=model, threads=1, **options))
    assert isinstance(provider, EmbeddedProvider)
    try:
        yield provider
    finally:
        await provider.aclose()


async def served_at_last(provider: EmbeddedProvider) -> dict[str, Any]:
    while True:
        try:
            return await answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny"))
        except UpstreamUnreachable:
            await asyncio.sleep(0)  # it is down for a moment


async def pid_of(provider: EmbeddedProvider) -> int:
    return (await provider._engine.serving()).process.pid


async def test_it_streams_and_answers_json_of_one_fold(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with embedded(tiny_gguf, context=2048) as provider:
        request = a_request(max_output_tokens=30, temperature=0).aimed_at("tiny")
        streamed = await answer_of(provider, request)
        whole = await whole_answer(provider, request)
        assert streamed["output"][0]["content"] == whole["output"][0]["content"]
        assert streamed["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


async def test_its_model_is_listed_with_what_is_true_of_it(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with embedded(tiny_gguf, context=1024) as provider:
        (model,) = await provider.models()
    assert (model.id, model.context_window, model.tools, model.vision) == ("tiny", 1024, False, False)


async def test_it_begins_to_load_when_it_is_started(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with embedded(tiny_gguf) as provider:
        assert isinstance(provider, Startable)
        assert isinstance(provider, Diagnosed)
        await provider.start()
        answers = [answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny")) for _ in range(3)]
        assert len(await asyncio.gather(*answers)) == 3
        assert provider.problem() is None


async def test_a_prefill_stops_when_its_client_leaves(
    long_gguf: Path, long_prompt: str, runtime_folder: Path
) -> None:
    async with embedded(long_gguf, context=131072, parallel=1) as provider:
        async with aclosing(provider.stream(a_request(input=long_prompt).aimed_at("tiny"))) as events:
            assert isinstance(await anext(events), Accepted)
        # Its only slot is free again: the whole prompt would take minutes.
        await answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny"))


async def test_a_whole_answer_stops_too_when_its_client_leaves(
    long_gguf: Path, long_prompt: str, runtime_folder: Path
) -> None:
    async with embedded(long_gguf, context=131072, parallel=1) as provider:
        await provider.models()
        asking = asyncio.create_task(provider.complete(a_request(input=long_prompt).aimed_at("tiny")))
        while not await busy(provider):
            pass
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny"))


async def busy(provider: EmbeddedProvider) -> bool:
    assert provider._reach is not None
    return any(slot["is_processing"] for slot in await provider._reach.questions.get_json("/slots"))


async def test_more_requests_than_slots_are_all_answered(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with embedded(tiny_gguf, context=2048, parallel=2) as provider:
        requests = [a_request(input=f"hello {n}", max_output_tokens=16).aimed_at("tiny") for n in range(6)]
        answers = await asyncio.gather(*(answer_of(provider, request) for request in requests))
        assert all(answer["output"] for answer in answers)


async def test_requests_at_once_have_a_whole_context_each(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with embedded(tiny_gguf, context=512, parallel=2) as provider:
        assert [model.context_window for model in await provider.models()] == [512]
        full = a_request(input="x" * 400, max_output_tokens=90).aimed_at("tiny")
        answers = await asyncio.gather(answer_of(provider, full), answer_of(provider, full))
        assert [answer["usage"]["input_tokens"] > 256 for answer in answers] == [True, True]


async def test_overflow_is_context_length_exceeded(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with embedded(tiny_gguf, context=512) as provider:
        with pytest.raises(UpstreamRefused) as refusal:
            await answer_of(provider, a_request(input="hello " * 600).aimed_at("tiny"))
    assert (refusal.value.status, refusal.value.code) == (400, "context_length_exceeded")


async def test_a_model_that_it_does_not_have_is_not_found(tiny_gguf: Path, runtime_folder: Path) -> None:
    async with embedded(tiny_gguf) as provider:
        for ask in (answer_of, EmbeddedProvider.complete):
            with pytest.raises(UpstreamRefused, match="embedded serves tiny and no model 'gpt-x'") as refusal:
                await ask(provider, a_request().aimed_at("gpt-x"))
            assert (refusal.value.status, refusal.value.code) == (404, "model_not_found")


async def test_a_crash_in_the_middle_of_an_answer_is_told_and_the_next_one_served(
    long_gguf: Path, long_prompt: str, runtime_folder: Path
) -> None:
    async with embedded(long_gguf, context=131072) as provider:
        async with aclosing(provider.stream(a_request(input=long_prompt).aimed_at("tiny"))) as events:
            assert isinstance(await anext(events), Accepted)
            os.kill(await pid_of(provider), signal.SIGKILL)
            with pytest.raises(UpstreamBroken, match="embedded broke off"):
                async for _ in events:
                    pass
        assert (await served_at_last(provider))["output"]


async def test_a_missing_model_is_a_503_and_a_problem(tmp_path: Path) -> None:
    async with embedded(tmp_path / "none.gguf") as provider:
        await provider.start()
        for ask in (answer_of, EmbeddedProvider.complete):
            with pytest.raises(ProviderUnavailable, match=r"no model file .*none\.gguf") as refusal:
                await ask(provider, a_request())
            assert refusal.value.status == 503
        with pytest.raises(ProviderUnavailable):
            await provider.models()
        assert "none.gguf" in str(provider.problem())


async def test_closing_in_the_middle_of_an_answer_ends_everything(
    long_gguf: Path, long_prompt: str, runtime_folder: Path
) -> None:
    async with (
        embedded(long_gguf, context=131072) as provider,
        aclosing(provider.stream(a_request(input=long_prompt).aimed_at("tiny"))) as events,
    ):
        assert isinstance(await anext(events), Accepted)
        pid = await pid_of(provider)
        await provider.aclose()
        assert gone(pid)


def test_the_same_under_uvloop(tiny_gguf: Path, runtime_folder: Path) -> None:
    async def whole_life() -> tuple[int, dict[str, Any]]:
        async with embedded(tiny_gguf) as provider:
            await provider.start()
            answer = await answer_of(provider, a_request(max_output_tokens=16).aimed_at("tiny"))
            return await pid_of(provider), answer

    pid, answer = uvloop.run(whole_life())
    assert answer["output"]
    assert gone(pid)


async def test_it_costs_nothing_and_ranks_behind_servers(tiny_gguf: Path) -> None:
    async with embedded(tiny_gguf) as provider:
        assert isinstance(provider, Unmetered)
        assert provider.unmetered_rank() == 1


async def test_the_installed_smollm2_answers(runtime_folder: Path) -> None:
    async with embedded(None) as provider:
        (model,) = await provider.models()
        assert (model.id, model.context_window, model.tools) == ("smollm2-135m", 8192, False)
        answer = await answer_of(
            provider,
            a_request(input="Say hello.", temperature=0, max_output_tokens=24).aimed_at("smollm2-135m"),
        )
    assert "hello" in answer["output"][0]["content"][0]["text"].lower()


async def test_the_installed_smollm2_holds_to_a_schema(runtime_folder: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    text = {"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}}
    async with embedded(None) as provider:
        answer = await answer_of(
            provider,
            a_request(input="Capital of Italy?", text=text, max_output_tokens=64).aimed_at("smollm2-135m"),
        )
    assert answer["output"][0]["content"][0]["text"].replace(" ", "").replace("\n", "") in {
        '{"city":"Paris"}',
        '{"city":"Rome"}',
    }
