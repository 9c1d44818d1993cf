"""Chatting with a local model within what is known of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from maestro_daemon.plugin import (
    ChatDialect,
    ChatUpstream,
    HttpUpstream,
    Model,
    Reply,
    ResponseEvent,
    ResponseRequest,
    UpstreamRefused,
)
from maestro_local.refusals import explain, refuses_effort

_MOST_REMEMBERED: Final = 1000


class Chat:
    """Chat completions over `http`, fitted to each model.

    Images and tools are left out for a model that is known to take none, and so is a reasoning effort; one
    that the model refused is left out from then on.
    """

    def __init__(self, http: HttpUpstream) -> None:
        self._upstream = ChatUpstream(http)
        self._effortless: set[str] = set()

    async def complete(self, request: ResponseRequest, dialect: ChatDialect, facts: Model | None) -> Reply:
        """The whole answer. `facts` is what is known of the model. Raises as `stream`."""
        while True:
            try:
                return await self._upstream.complete(request, self._fitted(dialect, request.model, facts))
            except UpstreamRefused as refusal:
                if not self._learns(request.model, refusal):
                    raise

    async def stream(
        self, request: ResponseRequest, dialect: ChatDialect, facts: Model | None
    ) -> AsyncGenerator[ResponseEvent, None]:
        """The answer's events. Raises as `ChatUpstream.stream`, refusals being explained."""
        accepted = False
        while True:
            events = self._upstream.stream(request, self._fitted(dialect, request.model, facts))
            try:
                async with aclosing(events):
                    async for event in events:
                        accepted = True
                        yield event
                    return
            except UpstreamRefused as refusal:
                if not self._learns(request.model, refusal) or accepted:
                    raise

    def _fitted(self, dialect: ChatDialect, model: str, facts: Model | None) -> ChatDialect:
        changes: dict[str, Any] = {}
        able = facts.details.get("capabilities") if facts is not None else None
        if model in self._effortless or (able and "thinking" not in able):
            changes["efforts"] = ()
        if facts is not None and facts.vision is False:
            changes["images"] = False
        if facts is not None and facts.tools is False:
            changes["tools"] = False
        return replace(dialect, **changes) if changes else dialect

    def _learns(self, model: str, refusal: UpstreamRefused) -> bool:
        """Whether the same request would now be sent otherwise; if not, the refusal is ready to be raised."""
        if refuses_effort(refusal) and model not in self._effortless:
            if len(self._effortless) >= _MOST_REMEMBERED:
                self._effortless.clear()
            self._effortless.add(model)
            return True
        explain(refusal)
        return False
