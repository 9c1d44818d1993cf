"""The line of a finished request."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.access_log import AccessLog
from maestro_daemon.providers.notices import Outcome
from maestro_daemon.request import ResponseRequest

REQUEST = ResponseRequest({"model": "coder"}, "coder", "coder", request_id="req_1")


def line(usage: Any) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    log = AccessLog(lambda level, event, fields: lines.append(fields))
    log.maestro_response_finished(REQUEST, Outcome(status="completed", usage=usage))
    return lines[0]


def test_the_tokens_that_the_prompt_cache_spared_are_logged() -> None:
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 80}, "output_tokens": 7}
    told = line(usage)
    assert (told["input_tokens"], told["cached_tokens"], told["output_tokens"]) == (100, 80, 7)


@pytest.mark.parametrize("details", [None, [], "x", {}])
def test_an_upstream_that_says_nothing_of_its_cache_is_logged_all_the_same(details: Any) -> None:
    told = line({"input_tokens": 100, "input_tokens_details": details, "output_tokens": 7})
    assert told["input_tokens"] == 100
    assert told.get("cached_tokens") is None


def test_without_usage_there_are_no_tokens() -> None:
    assert not {"input_tokens", "cached_tokens", "output_tokens"} & set(line(None))
