"""``GET /healthz``: the daemon is alive. ``GET /readyz``: it can serve, and what cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from maestro_daemon.protocol import json
from maestro_daemon.server.access import CLIENT, Access
from maestro_daemon.server.offer import Offer

_UNREAD = "its models have not been read yet"


class HealthPages:
    """Both pages, of what `offer` and `access` give when they are asked for.

    Set `draining` when no new requests are wanted: the daemon is then not ready.
    """

    def __init__(self, offer: Callable[[], Offer], access: Callable[[], Access]) -> None:
        self._offer = offer
        self._access = access
        self.draining = False

    def routes(self) -> list[web.RouteDef]:
        """``/healthz`` and ``/readyz``."""
        return [web.get("/healthz", self.alive), web.get("/readyz", self.ready)]

    async def alive(self, request: web.Request) -> web.StreamResponse:
        """200 as long as the loop turns."""
        return _answer(200, {"status": "ok"})

    async def ready(self, request: web.Request) -> web.StreamResponse:
        """200 when at least one provider can serve, else 503.

        The status is for everybody; which provider cannot serve and why is told to whoever may also send
        requests.
        """
        report = self.report()
        status = 503 if report["status"] == "not_ready" else 200
        if self._access().has_keys and not request.get(CLIENT):
            report = {"status": report["status"]}
        return _answer(status, report)

    def report(self) -> dict[str, Any]:
        """``{"status", "providers", "routes"}``: each provider and route with what keeps it from serving.

        The status is ``ready``, ``degraded`` (something cannot serve, something can) or ``not_ready``.
        """
        offer = self._offer()
        reasons = {provider: _reason(offer, provider) for provider in offer.providers}
        routes = {route: _route_reason(targets, reasons) for route, targets in offer.routes.items()}
        able = any(reason is None for reason in reasons.values())
        wholly = able and not any([*reasons.values(), *routes.values()])
        report: dict[str, Any] = {
            "status": "ready" if wholly else "degraded" if able else "not_ready",
            "providers": {name: _state(reason) for name, reason in reasons.items()},
            "routes": {name: _state(reason) for name, reason in routes.items()},
        }
        if self.draining:
            report["status"] = "not_ready"
            report["reason"] = "the daemon is shutting down"
        elif not reasons:
            report["reason"] = "no provider is configured"
        return report


def _reason(offer: Offer, provider: str) -> str | None:
    failure = offer.catalogue.failure(provider)
    if failure is not None:
        return failure
    return _UNREAD if offer.catalogue.models(provider) is None else None


def _route_reason(targets: Any, reasons: Mapping[str, str | None]) -> str | None:
    if any(reasons.get(target.partition("/")[0], "") is None for target in targets):
        return None
    return "none of its providers can serve"


def _state(reason: str | None) -> dict[str, Any]:
    return {"ready": True} if reason is None else {"ready": False, "reason": reason}


def _answer(status: int, document: dict[str, Any]) -> web.Response:
    headers = {"cache-control": "no-store"}
    return web.Response(
        status=status, body=json.dumps(document), headers=headers, content_type="application/json"
    )
