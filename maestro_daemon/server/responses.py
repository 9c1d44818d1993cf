"""``POST /v1/responses``: the request is read, routed, and answered as JSON or as a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import structlog
from aiohttp import web

from maestro_daemon.errors import MaestroError, UpstreamBroken
from maestro_daemon.protocol import sse
from maestro_daemon.protocol.guard import Guard
from maestro_daemon.providers.notices import Outcome
from maestro_daemon.providers.registry import Notices
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.router import Progress
from maestro_daemon.routing.tracing import Tracing
from maestro_daemon.server.access import CLIENT
from maestro_daemon.server.body import read_body
from maestro_daemon.server.connections import EventStream
from maestro_daemon.server.error_answers import InternalError, error_response
from maestro_daemon.server.front import Door, Front
from maestro_daemon.server.headers import carried, deadline, passed_back
from maestro_daemon.server.refusals import Refusals
from maestro_daemon.server.request_id import HEADER, request_id_of
from maestro_daemon.server.stream_writer import MOST_PENDING, Keepalive, StreamWriter
from maestro_daemon.server.under_way import UnderWay
from maestro_daemon.server.validation import parse_request
from maestro_daemon.server.visit import Visit

_log: Final = structlog.get_logger(__name__)


_SENT_AT_ONCE: Final = 64 * 1024  # bytes that the transport takes without waiting for the client
_STREAM_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class ResponsesHandler:
    """The handler of the Responses route; one object for all requests.

    Each is served to its end by the front that `door` leads to when it comes.
    """

    def __init__(self, door: Door, notices: Notices, tracing: Tracing | None = None) -> None:
        self._door = door
        self._tracing = tracing
        self._notices = notices
        self._loop = asyncio.get_running_loop()  # asking for it anew costs a system call each time
        self.under_way = UnderWay(self._loop)
        """The requests that are being answered."""
        self.answered = 0
        self.refusals = Refusals()
        """Of requests that no target was looked for."""

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Answer one ``POST``. Whatever goes wrong is an HTTP error before the first byte, an event after."""
        began = time.monotonic()
        outcome = Outcome()
        progress = Progress()
        outcome.attempts = progress.attempts
        wanted: ResponseRequest | None = None
        task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101  (handlers run in tasks; says so to the type checker)
        tasks = self.under_way.tasks
        tasks.add(task)
        front = self._door.front
        front.enter()
        client = request[CLIENT]
        visit = front.access.visit(client) if client else None
        try:
            if visit is not None:
                visit.arrive()
            limits = front.limits
            raw = await read_body(request, limit=limits.max_body, timeout=limits.body_timeout)
            wanted = parse_request(
                raw,
                headers=carried(request.headers),
                client=client,
                request_id=request_id_of(request),
            )
            if self._tracing is not None:
                self._tracing.request_begins(wanted, time.monotonic() - began)
            if visit is not None:
                visit.begin(wanted)
            if front.bodies is not None:
                front.bodies.asked(wanted)
            wanted.deadline = deadline(request.headers)
            # A handler runs in a task, and so in a context, of its own: nothing has to be unbound.
            structlog.contextvars.bind_contextvars(request_id=wanted.request_id, model=wanted.asked_model)
            if wanted.client:
                structlog.contextvars.bind_contextvars(client=wanted.client)
            if wanted.stream:
                return await self._stream(front, request, wanted, progress, outcome, began, visit)
            return await self._json(front, request, wanted, progress, outcome, visit)
        except asyncio.CancelledError:
            # Once a stream has begun, no other answer can stand on its connection.
            cause = None if _has_begun(request) else self.under_way.taken_back(request)
            if cause is not None:
                outcome.error = cause
                outcome.http_status = outcome.error.status
                return error_response(outcome.error, headers=_house_headers(progress))
            _left(outcome)
            raise
        except ConnectionError:
            _left(outcome)
            raise asyncio.CancelledError from None
        except MaestroError as error:
            outcome.error = error
            if _has_begun(request):
                raise
            answer = error_response(error, headers=_house_headers(progress))
            outcome.http_status = answer.status
            return answer
        except Exception as error:
            _log.exception("request failed", request_id=request_id_of(request))
            outcome.error = _internal(error)
            if _has_begun(request):
                raise
            outcome.http_status = 500
            return error_response(outcome.error, headers=_house_headers(progress))
        finally:
            front.leave()
            if visit is not None:
                visit.end(outcome.usage, outcome.events)
            tasks.discard(task)
            self.under_way.one_ended.set()
            self.answered += 1
            outcome.target = progress.target
            if outcome.status == "failed" and outcome.error is None and progress.attempts:
                outcome.error = progress.attempts[-1].error  # what the upstream itself told the client
            outcome.duration = time.monotonic() - began
            if wanted is not None:
                self._notices.maestro_response_finished(request=wanted, outcome=outcome)
            else:
                self._tell_unread(request, outcome)

    async def _json(
        self,
        front: Front,
        request: web.Request,
        wanted: ResponseRequest,
        progress: Progress,
        outcome: Outcome,
        visit: Visit | None,
    ) -> web.StreamResponse:
        completed = await front.router.complete(wanted, progress)
        outcome.status = str(completed.response.get("status", "completed"))
        outcome.usage = _usage(completed.response)
        if front.bodies is not None:
            front.bodies.answered(wanted, completed.response)
        headers = passed_back(completed.headers, asked_model=wanted.asked_model)
        if visit is not None:
            visit.tell(headers)
        headers.update(_house_headers(progress))
        body = completed.body
        if len(body) <= _SENT_AT_ONCE:
            return web.Response(body=body, headers=headers, content_type="application/json")
        headers[HEADER] = wanted.request_id
        response = web.StreamResponse(headers=headers)
        response.content_type = "application/json"
        response.content_length = len(body)
        # A client may stop taking it in the middle; the writer does not wait for ever.
        async with self._writer(front, response, request) as writer:
            writer.send_raw(body)
        return response

    def _writer(self, front: Front, response: web.StreamResponse, request: web.Request) -> StreamWriter:
        return StreamWriter(response, request, front.limits.send_timeout, front.ticker, self._loop)

    async def _stream(
        self,
        front: Front,
        request: web.Request,
        wanted: ResponseRequest,
        progress: Progress,
        outcome: Outcome,
        began: float,
        visit: Visit | None,
    ) -> web.StreamResponse:
        stream = await front.router.stream(wanted, progress)
        told = (progress.latest, len(progress.attempts))
        headers = passed_back(stream.headers, asked_model=wanted.asked_model)
        if visit is not None:
            visit.tell(headers)
        headers.update(_house_headers(progress))
        headers.update(_STREAM_HEADERS)
        headers[HEADER] = wanted.request_id
        response = EventStream(headers=headers)
        async with stream as events:
            writer = self._writer(front, response, request)
            guard = Guard(wanted, writer.send, store=stream.store, emit_burst=writer.send_burst)
            guard.preamble()  # what cannot be written as JSON is still an HTTP error
            async with writer:
                keepalive = Keepalive(writer, front.limits.keepalive, guard.keepalive)
                front.ticker.add(keepalive)
                try:
                    begun = False
                    async for event in events:
                        if not begun:
                            begun = True
                            outcome.first_output_after = time.monotonic() - began
                            if told != (progress.latest, len(progress.attempts)):
                                writer.send_raw(_fallback_comment(progress))
                        guard.take(event)
                        if guard.ended:
                            break
                        if writer.pending >= MOST_PENDING:
                            await writer.room()
                    if not guard.ended:
                        raise UpstreamBroken("The upstream's last event did not end the answer.")
                except MaestroError as error:
                    outcome.error = error
                    stream.broke(error)
                    guard.fail(error)
                except asyncio.CancelledError:
                    outcome.error = self.under_way.taken_back(request)
                    if outcome.error is None:
                        raise
                    guard.fail(outcome.error)
                except Exception as error:  # noqa: BLE001  (logged; the stream is ended well)
                    target = stream.target
                    _log.exception("stream failed", target=None if target is None else target.name)
                    outcome.error = _internal(error)
                    guard.fail(outcome.error)
                finally:
                    front.ticker.discard(keepalive)
                    outcome.events = guard.sent
                writer.send_raw(sse.DONE)
                outcome.status = str(guard.response.get("status"))
                outcome.usage = _usage(guard.response)
                if front.bodies is not None:
                    front.bodies.answered(wanted, guard.response)
                stream.settle(guard.response, guard.upstream_id)
        return response

    def _tell_unread(self, request: web.Request, outcome: Outcome) -> None:
        """Count, and log, a request that was refused, or left, before it could be read."""
        if outcome.error is not None:
            self.refusals.add(outcome.http_status, outcome.error.code)
        _log.warning(
            "response",
            request_id=request_id_of(request),
            client=request.get(CLIENT) or None,
            http_status=outcome.http_status,
            status=outcome.status,
            duration=round(outcome.duration, 4),
            code=outcome.error.code if outcome.error is not None else None,
            reason=outcome.error.message[:500] if outcome.error is not None else None,
        )


def _has_begun(request: web.Request) -> bool:
    return request.writer.output_size > 0


def _left(outcome: Outcome) -> None:
    """The client went away; one that had its whole answer (Codex does not wait for the end) is no loss."""
    if outcome.status == "refused":
        outcome.status = "disconnected"
        outcome.http_status = 499


def _internal(cause: Exception) -> InternalError:
    error = InternalError("Something went wrong inside the gateway; its log has the details.")
    error.__cause__ = cause
    return error


def _house_headers(progress: Progress) -> dict[str, str]:
    if not progress.attempts:
        return {}
    headers = {
        "x-maestro-target": progress.target.encode("ascii", "replace").decode(),
        "x-maestro-attempts": str(len(progress.attempts)),
    }
    if progress.degraded:
        headers["x-maestro-degraded"] = progress.degraded
    return headers


def _fallback_comment(progress: Progress) -> bytes:
    degraded = f" degraded={progress.degraded}" if progress.degraded else ""
    return sse.comment(f"maestro target={progress.target} attempts={len(progress.attempts)}{degraded}")


def _usage(response: Mapping[str, Any]) -> dict[str, Any] | None:
    usage = response.get("usage")
    return usage if isinstance(usage, dict) else None
