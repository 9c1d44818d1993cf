"""Requests and answers in the log: of the routes that want it, and of no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from maestro_daemon.request import ResponseRequest
from maestro_daemon.server.body_log import LONGEST, BodyLog
from tests.support import native
from tests.support.fake_upstream import FakeUpstream, Reply, Stream
from tests.support.standing import SERVER, provider, route, standing, told

ANSWER = native.response("resp_1", "completed", [native.message("Hello")])


async def test_by_default_nothing_that_is_said_is_logged(
    tmp_path: Path, upstream: FakeUpstream, logged: list[Any]
) -> None:
    upstream.play(Reply(ANSWER))
    text = SERVER + provider("one", upstream.url) + route("coder", "one/gpt-test")
    async with standing(tmp_path, text) as daemon:
        assert (await daemon.post("coder", input="a secret plan"))[0] == 200
    assert told(logged, "request body") == told(logged, "response body") == []
    assert "secret plan" not in str(logged)
    assert "Hello" not in str(logged)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_route_may_want_it_and_that_is_warned_of(
    tmp_path: Path, upstream: FakeUpstream, logged: list[Any], *, stream: bool
) -> None:
    upstream.play(Stream(*native.text("Hello")) if stream else Reply(ANSWER))
    text = SERVER + provider("one", upstream.url)
    text += route("coder", "one/gpt-test") + "log_bodies = true\n" + route("other", "one/gpt-test")
    async with standing(tmp_path, text) as daemon:
        for model in ("coder", "other"):
            sent = {"model": model, "input": "a plan", "stream": stream}
            async with daemon.session.post(f"{daemon.url}/responses", json=sent) as answer:
                await answer.read()
    (warned,) = told(logged, "prompts and outputs of these routes are logged (log_bodies)")
    assert (warned["log_level"], warned["routes"]) == ("warning", ["coder"])
    (asked,) = told(logged, "request body")
    (answered,) = told(logged, "response body")
    assert asked["model"] == answered["model"] == "coder"
    assert asked["request_id"] == answered["request_id"]
    assert json.loads(asked["body"])["input"] == "a plan"
    assert json.loads(answered["body"])["output"][0]["content"][0]["text"] == "Hello"


async def test_a_reload_turns_it_on_and_off(
    tmp_path: Path, upstream: FakeUpstream, logged: list[Any]
) -> None:
    upstream.play(Reply(ANSWER))
    plain = SERVER + provider("one", upstream.url) + route("coder", "one/gpt-test")
    async with standing(tmp_path, plain) as daemon:
        assert (await daemon.reload(plain + "log_bodies = true\n"))["changed"] == ["routes.coder.log_bodies"]
        await daemon.post("coder")
        await daemon.reload(plain)
        await daemon.post("coder")
    assert len(told(logged, "request body")) == 1


def test_a_long_body_is_cut_and_its_length_said() -> None:
    written: list[tuple[str, Mapping[str, Any], bytes]] = []
    log = BodyLog(["m"], lambda *line: written.append(line))
    log.asked(ResponseRequest({"input": "x" * LONGEST}, "m", "m"))
    log.asked(ResponseRequest({"input": "x"}, "m", "other"))
    ((_, fields, body),) = written
    assert len(body) == LONGEST
    assert fields["bytes"] > LONGEST
