"""An upstream's silence, noticed without work for each read."""

from __future__ import annotations

from aiohttp.client_proto import ResponseHandler

from maestro_daemon.upstream.answer import Answer


class Silence:
    """Cuts the connection of one exchange once its upstream is silent for too long; `fell` then says so.

    `first_byte` is how many seconds it may take from the request's last byte to the answer's headers, `idle`
    between two reads of the answer. aiohttp's own timer is set anew at every read, which costs more than the
    read; this is looked at by a `Ticker`. A request that still goes out is no silence, and while our side
    does not read, since its client is slow, silence means nothing.
    """

    __slots__ = ("_answer", "_heard_at", "_idle", "_moved", "_patience", "_protocol", "fell")

    def __init__(self, first_byte: float, idle: float) -> None:
        self._patience = first_byte
        self._idle = idle
        self._protocol: ResponseHandler | None = None
        self._answer: Answer | None = None
        self._moved = -1  # bytes: what is left of the request, or what came of the answer
        self._heard_at = 0.0
        self.fell = False

    def asked(self, protocol: ResponseHandler, now: float) -> None:
        """The request is on its way over this connection."""
        self._protocol = protocol
        self._heard_at = now

    def answered(self, answer: Answer, now: float) -> None:
        """The headers of the answer came."""
        self._answer = answer
        self._patience = self._idle
        self._heard_at = now

    def look(self, now: float) -> None:
        """As `Watched` says."""
        answer, protocol = self._answer, self._protocol
        transport = None if protocol is None else protocol.transport
        if protocol is None or transport is None or (answer is not None and answer.body.whole):
            return  # there is no connection yet, or the answer is whole
        moved = transport.get_write_buffer_size() if answer is None else answer.body.came
        if moved != self._moved or (answer is not None and not transport.is_reading()):
            if self._moved >= 0 or answer is not None:
                self._heard_at = now
            self._moved = moved
        elif now - self._heard_at >= self._patience:
            self.fell = True
            protocol.abort()
