"""Who is told as requests and attempts begin, so that what upstreams get names the span that it is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from maestro_daemon.providers.notices import Attempt
from maestro_daemon.request import ResponseRequest


class Tracing(Protocol):
    """Their ends are told by the notices. Nothing of it is called for an event. Must not raise."""

    def follow(self, kinds: Mapping[str, str]) -> None:
        """The kinds of the providers, by name, from now on."""
        ...

    def request_begins(self, request: ResponseRequest, elapsed: float) -> None:
        """A request was read, `elapsed` seconds after it arrived."""
        ...

    def attempt_begins(self, request: ResponseRequest, attempt: Attempt) -> Mapping[str, str]:
        """An attempt begins: the headers of the request as the target is to get them."""
        ...
