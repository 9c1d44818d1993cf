"""What connections may take of the daemon."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may take of the daemon: times in seconds, `max_header` in bytes.

    `head_timeout` is from the first byte of a request to the end of its headers, `idle_timeout` between
    requests or before the first one, `send_timeout` without taking anything of an answer. `max_header`
    holds for each header, and for the request line. `most` connections may be open, `most_per_address` from
    one address; None is no bound.
    """

    head_timeout: float = 15.0
    idle_timeout: float = 75.0
    send_timeout: float = 60.0
    max_header: int = 16 * 1024
    most: int | None = None
    most_per_address: int | None = None
