"""The web application: which path is answered by what."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from maestro_daemon.server.front import Door
from maestro_daemon.server.front_door import FRONT_DOOR, FrontDoor, Straight
from maestro_daemon.server.paths import API_PREFIXES, websocket_routes
from maestro_daemon.server.responses import ResponsesHandler


def make_app(responses: ResponsesHandler, door: Door, more: Iterable[web.RouteDef] = ()) -> web.Application:
    """Assemble what outlives configurations; `more` are the routes beside the Responses route."""
    app = web.Application()
    paths = [f"{prefix}/responses" for prefix in API_PREFIXES]
    straight: Straight = {("POST", path): responses.create for path in paths}
    app[FRONT_DOOR] = FrontDoor(door.admitted, responses.refusals, straight)
    app.add_routes([web.post(path, responses.create) for path in paths])
    app.add_routes(websocket_routes())
    app.add_routes(more)
    return app
