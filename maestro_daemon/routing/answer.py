"""Whole answers: read, told from failures, and remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maestro_daemon.errors import NO_HEADERS, UpstreamBroken
from maestro_daemon.protocol import error_body, json
from maestro_daemon.protocol.sealing import Seal
from maestro_daemon.providers.provider import Reply
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.memory import Memory, Origin
from maestro_daemon.routing.target import Target


@dataclass(frozen=True, slots=True)
class Completed:
    """A whole answer: `body` is the Response as JSON bytes, `response` the same parsed."""

    body: bytes
    response: dict[str, Any]
    headers: Mapping[str, str]


def read_reply(reply: dict[str, Any] | bytes | Reply, provider: str) -> Completed:
    """The answer of `complete` as bytes and parsed.

    Raises `UpstreamError` for what is no Response, and for a failed one, which is a failure of the attempt.
    """
    headers = reply.headers if isinstance(reply, Reply) else NO_HEADERS
    if isinstance(reply, dict):
        response: Any = reply
        body = json.dumps(reply)
    else:
        body = reply.body if isinstance(reply, Reply) else reply
        try:
            response, _ = json.loads_faithfully(body)
        except json.JSONInvalid as error:
            raise UpstreamBroken(f"{provider} answered with something else than JSON.") from error
    if not isinstance(response, dict) or not isinstance(response.get("output"), list):
        if isinstance(response, dict) and response.get("error"):
            raise error_body.stream_failure(response, provider=provider)
        raise UpstreamBroken(f"{provider} answered with something else than a Response.")
    if response.get("status") in ("failed", "cancelled"):
        raise error_body.stream_failure(response, provider=provider)
    return Completed(body, response, headers)


def sealed(completed: Completed, seal: Seal) -> Completed:
    """The answer with its ciphertext marked."""
    body, response = seal.answer(completed.body, completed.response)
    return completed if body is completed.body else Completed(body, response, completed.headers)


def with_previous(completed: Completed, previous: str | None) -> Completed:
    """The answer with the id of the response that it continues, as the client knows it."""
    if previous is None or completed.response.get("previous_response_id") == previous:
        return completed
    # What is written anew must have every digit.
    exact = json.loads(completed.body) if json.holds_long_integer(completed.body) else completed.response
    response = {**exact, "previous_response_id": previous}
    return Completed(json.dumps(response), response, completed.headers)


def is_kept(request: ResponseRequest, target: Target) -> bool:
    """Whether the upstream keeps the answer, so that it can be continued by its id."""
    return target.keeps_responses and request.body.get("store") is not False


def remembered(
    memory: Memory,
    request: ResponseRequest,
    target: Target,
    response: Mapping[str, Any],
    upstream_id: str | None,
) -> None:
    """Keep who made `response`, and its items. `upstream_id` is None where the house made the id."""
    id = response.get("id")
    output = response.get("output")
    if isinstance(id, str) and isinstance(output, list):
        origin = Origin(target.provider_name, upstream_id or id, is_kept(request, target))
        memory.remember(request.client, id, origin, output)
