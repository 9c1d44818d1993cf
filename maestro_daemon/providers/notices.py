"""What the notice hooks are told about attempts and finished responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from maestro_daemon.errors import MaestroError


@dataclass(slots=True)
class Attempt:
    """One try at one target.

    `number` counts from 1. `accepted_after` and `first_output_after` are seconds since the attempt began,
    None if it never came so far; `duration` is the whole attempt. `succeeded` says that the whole answer
    came; without an `error` either, nobody waited for it: the client left, or another target was faster.
    `failure` is the class of the error (``unreachable``, ``quota``, …), `wait` the seconds until the same
    target is asked again, `degraded` what the target had to do without, "" for nothing.
    """

    number: int
    provider: str
    model: str
    accepted_after: float | None = None
    first_output_after: float | None = None
    duration: float = 0.0
    succeeded: bool = False
    error: MaestroError | None = None
    failure: str | None = None
    wait: float = 0.0
    degraded: str = ""

    @property
    def target(self) -> str:
        """``provider/model``."""
        return f"{self.provider}/{self.model}"


@dataclass(slots=True)
class Outcome:
    """How one response ended.

    `status` is the Response's own (``completed``, ``incomplete``, ``failed``), or ``disconnected`` when the
    client left, or ``refused`` for an HTTP error. `http_status` is what the client saw. `usage` is the
    Response's usage object (tokens), None if unknown. `events` counts those of a stream that were made for
    the client. `first_output_after` and `duration` are seconds since the request arrived.
    """

    status: str = "refused"
    http_status: int = 200
    target: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    events: int = 0
    error: MaestroError | None = None
    first_output_after: float | None = None
    duration: float = 0.0
