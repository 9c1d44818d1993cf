"""One request of a client with a key: whether it may be made, and what it uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from maestro_daemon.errors import ModelUnknown
from maestro_daemon.protocol.field_checks import quoted
from maestro_daemon.request import ResponseRequest
from maestro_daemon.server.allowances import Allowances
from maestro_daemon.server.client import Client

_LONGEST_ECHO: Final = 128


class Visit:
    """The request of `client`: it arrives, it begins, and once that is so it ends."""

    __slots__ = ("_allowance", "_allowances", "_begun", "_client", "_counts", "_stream")

    def __init__(self, client: Client, allowances: Allowances) -> None:
        self._client = client
        self._allowances = allowances
        self._allowance = allowances.of(client.name)
        self._begun = False
        self._counts = False
        self._stream = False

    def arrive(self) -> None:
        """Before its body is read. Raises `LimitReached`."""
        self._allowance.check(self._client)
        self._counts = True

    def begin(self, request: ResponseRequest) -> None:
        """The request is known, and counts. Raises `ModelUnknown` for a model not its own, `LimitReached`."""
        if self._client.routes is not None and not self._client.may_ask_for(request.asked_model):
            raise unknown_to(self._client, request.asked_model)
        self._counts = False
        self._allowance.begin(self._client, stream=request.stream)
        self._begun = True
        self._stream = request.stream

    def tell(self, headers: dict[str, str]) -> None:
        """Put what is left of its limits into the headers of the answer."""
        self._allowance.tell(self._client, headers)

    def end(self, usage: Mapping[str, Any] | None, events: int) -> None:
        """The answer is over. Without its `usage` object each of the `events` that were sent is a token."""
        if self._counts:  # it was wrong in itself
            self._allowance.count(self._client)
        if not self._begun:
            return
        self._allowance.end(stream=self._stream)
        tokens = _tokens(usage) if usage is not None else events
        if tokens > 0:
            self._allowance.spend(tokens)
            self._allowances.changed()


def unknown_to(client: Client, model: str) -> ModelUnknown:
    """The error for a model that the client may not ask for; it does not tell whether there is one."""
    return ModelUnknown(
        f"The model {quoted(model, _LONGEST_ECHO)} does not exist, or client {client.name!r} may not use it; "
        "GET /v1/models lists what it may.",
        param="model",
    )


def _tokens(usage: Mapping[str, Any]) -> int:
    total = usage.get("total_tokens")
    if type(total) is int:
        return total
    return sum(tokens for side in ("input_tokens", "output_tokens") if type(tokens := usage.get(side)) is int)
