"""Where things are served, and what is said about the paths where nothing is."""

from __future__ import annotations

import re

from aiohttp import web

from maestro_daemon.errors import MaestroError, RequestInvalid

API_PREFIXES = ("/v1", "/api/openai/v1")
"""The API is the same under each of these."""

_SERVED = "POST /v1/responses, GET /v1/models, GET /healthz and GET /readyz"

_NOT_YET = (
    (r"/chat/completions", "use POST /v1/responses"),
    (r"/completions", "use POST /v1/responses"),
    (r"/messages(/count_tokens)?", "use POST /v1/responses"),
    (r"/responses/(compact|input_tokens)", "use POST /v1/responses"),
    (r"/responses/.+", "responses are not kept; send the earlier items in 'input'"),
    (r"/conversations(/.*)?", "send the earlier items in 'input' of POST /v1/responses"),
    (r"/embeddings", f"served are {_SERVED}"),
)
_NOT_YET_PATTERNS = tuple(
    (re.compile(f"(?:{'|'.join(API_PREFIXES)})?{path}"), remedy) for path, remedy in _NOT_YET
)
_LONGEST_ECHO = 128

_MISSPELT = re.compile(rf"(?:{'|'.join(API_PREFIXES)})*(/(?:responses|models))|(/(?:healthz|readyz))")
"""A path that is served, but for slashes, which are put right before, and the prefix, missing or doubled."""


class PathUnknown(MaestroError):
    """Nothing is served at this path."""

    default_status = 404
    default_code = "unknown_url"
    default_type = "invalid_request_error"


class MethodNotAllowed(MaestroError):
    """The path is served, but not with this method."""

    default_status = 405
    default_code = "method_not_supported"
    default_type = "invalid_request_error"


class UpgradeRequired(RequestInvalid):
    """The WebSocket mode is asked for; Codex falls back to POST at once on this status, and on no other."""

    default_status = 426
    default_code = "websocket_not_supported"


def unknown_path(method: str, path: str) -> PathUnknown:
    """The 404 for a path, naming what to use instead."""
    shown = _shown(path)
    tidy = re.sub("/{2,}", "/", path).rstrip("/")
    if found := _MISSPELT.fullmatch(tidy):
        meant = f"{API_PREFIXES[0]}{found[1]}" if found[1] else found[2]
        return PathUnknown(f"Unknown request URL: {method[:16]} {shown}. The path is {meant}.")
    for pattern, remedy in _NOT_YET_PATTERNS:
        if pattern.fullmatch(tidy):
            return PathUnknown(f"{shown} is not served yet: {remedy}.")
    return PathUnknown(f"Unknown request URL: {method[:16]} {shown}. Served are {_SERVED}.")


def method_not_allowed(method: str, path: str, allowed: str) -> MethodNotAllowed:
    """The 405 for a path; `allowed` is the value of its ``allow`` header."""
    return MethodNotAllowed(
        f"{method[:16]} is not allowed on {_shown(path)}; allowed: {allowed}.", headers={"allow": allowed}
    )


async def no_websocket_yet(request: web.Request) -> web.StreamResponse:
    """``GET /v1/responses``."""
    raise UpgradeRequired(
        "The WebSocket mode is not served yet: use POST /v1/responses, with 'stream: true' for events.",
        headers={"upgrade": "websocket"},
    )


def websocket_routes() -> list[web.RouteDef]:
    """426 where the WebSocket mode will be."""
    return [web.get(f"{prefix}/responses", no_websocket_yet, allow_head=False) for prefix in API_PREFIXES]


def _shown(path: str) -> str:
    cut = path if len(path) <= _LONGEST_ECHO else path[:_LONGEST_ECHO] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
