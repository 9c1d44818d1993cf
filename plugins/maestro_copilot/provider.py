"""A Copilot subscription as an upstream."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from maestro_copilot import initiator, quirks
from maestro_copilot.account import Account
from maestro_copilot.catalogue import CopilotModel
from maestro_copilot.chat_ways import ChatWays, dialect_for
from maestro_copilot.gate import Entry, Gate
from maestro_copilot.images import has_image
from maestro_copilot.listing import Listing
from maestro_copilot.native_answer import NativeAnswer
from maestro_copilot.native_request import native_body
from maestro_copilot.options import CopilotOptions
from maestro_copilot.quirks import Dialect
from maestro_copilot.refusals import explained, wants_other_dialect
from maestro_daemon.plugin import (
    Accepted,
    ChatUpstream,
    CredentialsRefused,
    LoggedIn,
    LoginState,
    LoginStep,
    Model,
    QuotaReport,
    Reply,
    ResponseEvent,
    ResponseRequest,
    ResponsesUpstream,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnreachable,
)

_EVERY_HEADER: Final = ("",)
"""What is handed to the upstream classes holds the headers to send, and no other."""

_CARRIED: Final = "x-interaction-"
_NEVER_ARRIVED: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)
_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Turn:
    """One request on its way: how it is sent next, and which remedies were tried. Each is tried once."""

    request: ResponseRequest
    initiator: initiator.Initiator
    entry: Entry
    dialect: Dialect
    model: CopilotModel | None
    tried: set[str] = field(default_factory=set)


class CopilotProvider:
    """One Copilot account."""

    def __init__(self, name: str, options: CopilotOptions, state_directory: Path) -> None:
        self.name = name
        self._options = options
        self._account = Account(name, options, state_directory)
        self._gate = Gate(name, options, self._account)
        self._listing = Listing(name, self._gate, options.models_ttl)
        self._taken_up = initiator.TakenUp()

    async def start(self) -> None:
        """Read the login from its file."""
        await self._account.start()

    def problem(self) -> str | None:
        """Why no request can be served now."""
        return self._account.problem()

    def account(self) -> str:
        """The GitHub user: what Copilot seals for one, it opens for no other."""
        return self._account.identity()

    async def login(self) -> AsyncGenerator[LoginStep, None]:
        """The steps of a login by the device flow."""
        async with aclosing(self._account.login()) as steps:
            async for step in steps:
                if isinstance(step, LoggedIn):
                    self._listing.forget()
                yield step

    async def logout(self) -> str:
        """Forget the login."""
        told = await self._account.logout()
        self._listing.forget()
        return told

    async def login_state(self) -> LoginState:
        """Whether the login works."""
        await self._look_again()
        return await self._account.login_state()

    async def quota(self) -> QuotaReport:
        """What is left of the plan."""
        await self._look_again()
        return await self._account.quota()

    async def models(self) -> Sequence[Model]:
        """The chat models that the subscription may use."""
        await self._look_again()
        try:
            return [each.model for each in (await self._listing.models()).values()]
        except UpstreamRefused as refusal:
            raise explained(refusal, self.name) from refusal

    def models_ttl(self) -> float:
        """How long the list is good, as the configuration says."""
        return self._options.models_ttl

    async def complete(self, request: ResponseRequest) -> Reply:
        """The whole answer."""
        turn = await self._turn(request)
        while True:
            try:
                return await self._whole(turn)
            except UpstreamError as error:
                await self._recover(turn, error, accepted=False)

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """The answer's events."""
        turn = await self._turn(request)
        accepted = False
        while True:
            try:
                async with aclosing(self._events(turn)) as events:
                    async for event in events:
                        accepted = True
                        yield event
                    return
            except UpstreamError as error:
                await self._recover(turn, error, accepted=accepted)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._listing.aclose()
        await self._account.aclose()
        await self._gate.aclose()

    async def _look_again(self) -> None:
        if await self._account.look_again():
            self._listing.forget()

    # One request

    async def _turn(self, request: ResponseRequest) -> _Turn:
        entry = await self._gate.entry()
        dialect, model = await self._listing.dialect(request.model)
        return _Turn(request, self._initiator(request), entry, dialect, model)

    def _initiator(self, request: ResponseRequest) -> initiator.Initiator:
        if request.response_id in self._taken_up:
            return "agent"
        believed = initiator.told(request.headers) if self._options.trust_initiator else None
        return believed or initiator.by_last_item(request.body)

    async def _whole(self, turn: _Turn) -> Reply:
        if turn.dialect == "chat":
            upstream = ChatUpstream(turn.entry.http, think_tags=False, carries=_EVERY_HEADER)
            request, ways = self._chat(turn)
            reply = await upstream.complete(request, dialect_for(request.model, turn.model, self.name), ways)
        else:
            native = ResponsesUpstream(turn.entry.http, carries=_EVERY_HEADER)
            reply = await native.complete(self._native(turn))
            answer = NativeAnswer()
            reply = Reply(answer.whole(reply.body, turn.request.response_id), reply.headers)
            self._account.note_snapshots(answer.snapshots)
        self._accepted(turn, Accepted(reply.headers))
        return reply

    async def _events(self, turn: _Turn) -> AsyncGenerator[ResponseEvent, None]:
        if turn.dialect == "chat":
            upstream = ChatUpstream(turn.entry.http, think_tags=False, carries=_EVERY_HEADER)
            request, ways = self._chat(turn)
            async with aclosing(
                upstream.stream(request, dialect_for(request.model, turn.model, self.name), ways)
            ) as events:
                async for event in events:
                    if isinstance(event, Accepted):
                        self._accepted(turn, event)
                    yield event
            return
        native = ResponsesUpstream(turn.entry.http, carries=_EVERY_HEADER)
        answer = NativeAnswer()
        async with aclosing(native.stream(self._native(turn))) as events:
            async for event in events:
                if isinstance(event, Accepted):
                    self._accepted(turn, event)
                    yield event
                    continue
                told = answer.take(event)
                if answer.snapshots:
                    self._account.note_snapshots(answer.snapshots)
                    answer.snapshots = {}
                if told is not None:
                    yield told

    def _native(self, turn: _Turn) -> ResponseRequest:
        made = native_body(
            turn.request,
            turn.model,
            refused_tools=self._options.refused_tools,
            refused_fields=self._options.refused_fields,
        )
        if made.dropped:
            _log.info("request fields dropped", provider=self.name, dropped=made.dropped)
        return replace(turn.request, body=made.body, text=None, headers=self._headers(turn))

    def _chat(self, turn: _Turn) -> tuple[ResponseRequest, ChatWays]:
        request = turn.request
        include = request.body.get("include")
        sealing = [*(include if isinstance(include, list) else ()), quirks.ALWAYS_INCLUDED.about]
        if not isinstance(include, list) or quirks.ALWAYS_INCLUDED.about not in include:
            request = request.aimed_at(request.model, include=sealing)
        return replace(request, headers=self._headers(turn)), ChatWays(request.model, turn.model)

    def _headers(self, turn: _Turn) -> dict[str, str]:
        """The headers of one attempt."""
        headers = {initiator.HEADER: turn.initiator, "x-request-id": str(uuid.uuid4())}
        if self._options.intent:
            headers["openai-intent"] = self._options.intent
        if has_image(turn.request) and not self._leaves_images_out(turn):
            headers["copilot-vision-request"] = "true"
        if self._options.trust_initiator:
            carried = turn.request.headers.items()
            headers |= {name: value for name, value in carried if name.startswith(_CARRIED)}
        return headers

    @staticmethod
    def _leaves_images_out(turn: _Turn) -> bool:
        return turn.dialect == "chat" and turn.model is not None and turn.model.model.vision is False

    # What came of it

    def _accepted(self, turn: _Turn, event: Accepted) -> None:
        self._taken_up.note(turn.request.response_id)
        self._account.note_quota(event.headers)

    async def _recover(self, turn: _Turn, error: UpstreamError, *, accepted: bool) -> None:
        """Make `turn` ready to be sent once more if that may help; else raise what `error` means."""
        if isinstance(error, UpstreamRefused):
            self._account.note_quota(error.headers)
        self._note_begun(turn, error)
        if not isinstance(error, UpstreamRefused):
            raise error
        ids = {name: error.headers[name] for name in quirks.REQUEST_IDS if name in error.headers}
        _log.info("refused", provider=self.name, status=error.status, code=error.code, **ids)
        meant = explained(error, self.name)
        if accepted or not await self._remedied(turn, error, meant):
            raise meant
        _log.info(
            "sent once more", provider=self.name, model=turn.request.model, because=meant.code or meant.status
        )

    async def _remedied(self, turn: _Turn, error: UpstreamRefused, meant: UpstreamRefused) -> bool:
        if wants_other_dialect(error):
            if not _first_time(turn, "dialect"):
                return False
            turn.dialect, turn.model = await self._listing.other_dialect(turn.request.model, turn.dialect)
            return True
        if isinstance(meant, CredentialsRefused) and _first_time(turn, "bearer"):
            renewed = await self._gate.renewed(turn.entry)
            if renewed is not None:
                turn.entry = renewed
                return True
        return False

    def _note_begun(self, turn: _Turn, error: UpstreamError) -> None:
        """Remember a request that Copilot may have begun to work on.

        One that it refused at the door was not begun: sent again, it is still the user's.
        """
        if isinstance(error, UpstreamRefused) and 400 <= error.status < 500:
            return
        if isinstance(error, UpstreamUnreachable) and isinstance(error.__cause__, _NEVER_ARRIVED):
            return
        self._taken_up.note(turn.request.response_id)


def _first_time(turn: _Turn, remedy: str) -> bool:
    if remedy in turn.tried:
        return False
    turn.tried.add(remedy)
    return True
