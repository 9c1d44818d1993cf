"""One response out of several attempts: which events count, and when it is too late to leave an upstream.

States of the response::

    waiting ──accept()──> accepted ──first output event──> committed ──terminal event──> ended
       ^                     │
       └──── attempt() ──────┘        (also from waiting; never from committed)

Until the commit every failure is the attempt's own and another upstream may go on under the same identity.
After it the stream is bound to this upstream. Preamble (see `events.is_preamble`) never passes: the house
writes its own.
"""

from __future__ import annotations

from typing import Any

from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.events import PREAMBLE, TERMINAL, ResponseEvent, is_preamble
from maestro_daemon.protocol import error_body, json


class Splice:
    """The commit point of one response; a new attempt is announced by `attempt`."""

    __slots__ = ("_error", "_provider", "committed", "ended")

    def __init__(self) -> None:
        self.committed = False
        self.ended = False
        self._provider = ""
        self._error: Any = None

    def attempt(self, provider: str) -> None:
        """Another upstream begins. Only before the commit."""
        if self.committed:
            raise RuntimeError("a committed response cannot move to another upstream")
        self._provider = provider
        self._error = None

    def take(self, event: ResponseEvent) -> bool:
        """Whether `event` belongs to the answer (True) or is swallowed.

        Raises `UpstreamError` when the attempt has failed before the commit: an ``error`` event, a terminal
        one whose status is failed or cancelled or that holds no response, or an event that is no JSON
        object. Only until the commit are payloads read; their ``type`` counts above the event's name.
        """
        type = event.type
        if self.committed:
            if type in PREAMBLE or self.ended:
                return False
            if type in TERMINAL:
                self.ended = True
            elif type == "error":
                self._error = _parsed(event)
            return True
        if is_preamble(type):
            return False
        payload = _parsed(event)
        said = payload.get("type")
        if isinstance(said, str) and said:
            type = said
            if is_preamble(type):
                return False
        if type == "error":
            raise error_body.stream_failure(payload, provider=self._provider)
        if type in TERMINAL:
            if not isinstance(payload.get("response"), dict):
                raise UpstreamBroken(f"{self._provider} ended its stream with {type} that holds no response.")
            if terminal_status(type, payload) == "failed":
                raise error_body.stream_failure(payload, provider=self._provider)
            self.ended = True
        self.committed = True
        return True

    def end(self) -> None:
        """The upstream's stream ended. Raises `UpstreamError` unless a terminal event came first."""
        if self.ended:
            return
        if self._error is not None:
            raise error_body.stream_failure(self._error, provider=self._provider)
        raise UpstreamBroken(f"{self._provider} ended its stream before the answer was complete.")


def terminal_status(type: str, payload: Any) -> str:
    """``completed``, ``incomplete`` or ``failed``: what the payload says counts above the event's name."""
    response = payload.get("response") if isinstance(payload, dict) else None
    status = response.get("status") if isinstance(response, dict) else None
    if status in ("completed", "incomplete", "failed"):
        return str(status)
    if status == "cancelled" or type in ("response.failed", "response.cancelled"):
        return "failed"
    return "incomplete" if type == "response.incomplete" else "completed"


def _parsed(event: ResponseEvent) -> dict[str, Any]:
    try:
        payload = json.loads(event.payload)
    except json.JSONInvalid as error:
        raise UpstreamBroken("The upstream sent an event that is not JSON.") from error
    if not isinstance(payload, dict):
        raise UpstreamBroken("The upstream sent an event that is not a JSON object.")
    return payload
