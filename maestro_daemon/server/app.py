"""The web application: which path is answered by what."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from maestro_daemon.server.front import Door
from maestro_daemon.server.middlewares import front_door
from maestro_daemon.server.paths import API_PREFIXES, websocket_routes
from maestro_daemon.server.refusals import REFUSALS, Refusals
from maestro_daemon.server.responses import ResponsesHandler


def make_app(responses: ResponsesHandler, door: Door, more: Iterable[web.RouteDef] = ()) -> web.Application:
    """Assemble what outlives configurations; `more` are the routes beside the Responses route."""
    app = web.Application(middlewares=[front_door(door.admitted)])
    app[REFUSALS] = Refusals()
    app.add_routes([web.post(f"{prefix}/responses", responses.create) for prefix in API_PREFIXES])
    app.add_routes(websocket_routes())
    app.add_routes(more)
    return app
