"""Copilot's refusals, in the many shapes that it has for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


class Refused(Exception):
    """An answer other than 2xx. `shape` is how the body says it, `content_type` what it claims to be."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        shape: str = "envelope",
        content_type: str = "application/json",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers or {}
        self.shape = shape
        self.content_type = content_type

    def body(self) -> bytes:
        """``{"error": {…}}``, ``{"message", "code"}`` or the bare words."""
        fields: dict[str, Any] = {"message": self.message}
        if self.code is not None:
            fields["code"] = self.code
        if self.param is not None:
            fields["param"] = self.param
        match self.shape:
            case "envelope":
                return json.dumps({"error": fields}).encode()
            case "flat":
                return json.dumps(fields).encode()
            case _:
                return f"{self.message}\n".encode()

    def response(self) -> web.Response:
        """The HTTP answer."""
        return web.Response(
            status=self.status, body=self.body(), content_type=self.content_type, headers=self.headers
        )
