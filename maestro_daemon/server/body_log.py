"""What clients said and were told, in the log, for the routes whose configuration wants it there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import structlog

from maestro_daemon.protocol import json
from maestro_daemon.request import ResponseRequest

LONGEST: Final = 256 * 1024
"""Bytes of a body that are logged."""

_log: Final = structlog.get_logger(__name__)

WriteBody = Callable[[str, Mapping[str, Any], bytes], None]
"""Writes a line: event, fields, and the JSON that belongs to it, which may have been cut."""


def write_body_by_structlog(event: str, fields: Mapping[str, Any], body: bytes) -> None:
    """As any other line, which cuts the body short."""
    _log.info(event, **fields, body=body.decode("utf-8", "replace"))


class BodyLog:
    """Logs requests of the models `routes` and their answers, by `write`."""

    def __init__(self, routes: Collection[str], write: WriteBody = write_body_by_structlog) -> None:
        self._routes = frozenset(routes)
        self._write = write

    def asked(self, request: ResponseRequest) -> None:
        """A request that is about to be answered."""
        if request.asked_model in self._routes:
            text = request.text
            self._tell("request body", request, json.dumps(request.body) if text is None else text)

    def answered(self, request: ResponseRequest, response: Mapping[str, Any]) -> None:
        """The Response that a client got, streamed or whole."""
        if request.asked_model in self._routes:
            self._tell("response body", request, json.dumps(response))

    def _tell(self, event: str, request: ResponseRequest, body: bytes) -> None:
        fields: dict[str, Any] = {"request_id": request.request_id, "model": request.asked_model}
        if request.client:
            fields["client"] = request.client
        if len(body) > LONGEST:
            fields["bytes"] = len(body)
        self._write(event, fields, body[:LONGEST])
