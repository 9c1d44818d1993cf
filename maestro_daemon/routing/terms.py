"""What a route grants its requests: how long they may take, and what may be tried for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from maestro_daemon.request import Timeouts


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer may take; seconds, None for no bound.

    `first_output` is the time from the upstream's acceptance to the first output of a stream, `total` that
    from the request's arrival to the end of its answer.
    """

    first_output: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one route; None is the provider's own.

    A retry whose wait is longer than `max_wait` seconds is not made: the next target is asked. `timeouts`
    are those of connections (see `Timeouts`). With `hedge` a second target is asked when the first is late.
    """

    max_wait: float = 2.0
    hedge: bool = False
    first_output: float | None = None
    total: float | None = None
    timeouts: Timeouts | None = None


USUAL: Final = Terms()
"""The terms of what is asked for without a route."""
