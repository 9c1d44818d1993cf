"""``/admin``: what the control socket answers, over TCP, for clients whose key says that they are admins."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from maestro_daemon.errors import AccessForbidden
from maestro_daemon.server.access import CLIENT
from maestro_daemon.server.client import Client
from maestro_daemon.server.control import Surface, surface_routes

PREFIX = "/admin"


def admin_routes(surface: Surface, client: Callable[[str], Client | None]) -> list[web.RouteDef]:
    """The paths of `surface` behind ``/admin``; `client` gives a client by its name."""
    return [
        web.route(route.method, route.path, for_admins(route.handler, client))
        for route in surface_routes(surface, PREFIX)
    ]


def for_admins(handler: Handler, client: Callable[[str], Client | None]) -> Handler:
    """`handler` for admins; all others get `AccessForbidden`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        found = client(request.get(CLIENT, ""))
        if found is None or not found.admin:
            raise AccessForbidden(
                f"{PREFIX} is for admins: show the key of a client that was made with "
                "'maestro-daemon keys add NAME --admin', or has admin = true in the configuration. "
                "On the machine itself the commands of maestro-daemon need no key."
            )
        return await handler(request)

    return handle
