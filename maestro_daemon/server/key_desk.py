"""What is asked of a running daemon about client keys: which there are, a new one, and one less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.field_checks import quoted
from maestro_daemon.server.allowances import Allowances
from maestro_daemon.server.client import Client, is_askable
from maestro_daemon.server.issued_keys import Issued, IssuedKeys, Wanted
from maestro_daemon.server.offer import Offer

_log: Final = structlog.get_logger(__name__)


class KeyDesk:
    """Issues and revokes keys. `configured` gives the clients of the configuration, `offer` the models."""

    def __init__(
        self,
        issued: IssuedKeys,
        allowances: Allowances,
        configured: Callable[[], Mapping[str, Client]],
        offer: Callable[[], Offer],
    ) -> None:
        self._issued = issued
        self._allowances = allowances
        self._configured = configured
        self._offer = offer
        self._one_at_a_time = asyncio.Lock()
        self._changes: set[asyncio.Task[None]] = set()

    def listed(self) -> dict[str, Any]:
        """``{"needed": bool, "clients": [row, …]}``; no row holds a key or its hash."""
        configured = self._configured()
        rows = [self._row(client) for client in configured.values()]
        for name, issued in self._issued.all().items():
            row = self._row(issued.client, issued)
            if name in configured:
                row["problem"] = f"not in force: [clients.{name}] of the configuration has the name"
            rows.append(row)
        return {"needed": bool(configured) or self._issued.needed, "clients": rows}

    async def add(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Issue a key: the row, and under ``key`` the key, which is told this once.

        Raises `RequestInvalid`, `KeysNotKept`.
        """
        client = Wanted.parse(fields).client()
        if client.name in self._configured():
            raise RequestInvalid(
                f"[clients.{client.name}] of the configuration has this name: choose another one.",
                param="name",
                code="name_in_use",
            )
        offer = self._offer()
        for model in client.routes or ():
            if not is_askable(model, offer.routes, offer.providers):
                known = ", ".join([*offer.routes, "auto", *(f"{each}/*" for each in offer.providers)])
                raise RequestInvalid(
                    f"{quoted(model, 128)} can never be asked for: known are {known}.", param="routes"
                )
        made: list[str] = []

        def changed() -> dict[str, Issued]:
            key, all_keys = self._issued.made(client)
            made.append(key)
            return all_keys

        await self._change(changed)
        _log.info("client key issued", client=client.name, admin=client.admin)
        return {**self._row(client, self._issued.all().get(client.name)), "key": made[0]}

    async def revoke(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Revoke the key of the client ``name``: ``{"name", "message"}``. Raises as `add`."""
        name = fields.get("name")
        if not isinstance(name, str):
            raise RequestInvalid("name: must be the name of a client.", param="name")
        if name in self._configured() and name not in self._issued.all():
            raise RequestInvalid(
                f"The key of {quoted(name, 64)} is that of [clients.{name}]: remove it there, and reload.",
                param="name",
            )
        await self._change(lambda: self._issued.without(name))
        _log.info("client key revoked", client=name)
        return {"name": name, "message": f"The key of {name} is revoked."}

    async def _change(self, changed: Callable[[], dict[str, Issued]]) -> None:
        """Write, then take; to its end, though whoever asked may leave."""
        task = asyncio.create_task(self._in_turn(changed), name="change of keys")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        await asyncio.shield(task)

    async def _in_turn(self, changed: Callable[[], dict[str, Issued]]) -> None:
        async with self._one_at_a_time:
            keys = changed()
            await asyncio.to_thread(self._issued.write, keys)
            self._issued.take(keys)

    def _row(self, client: Client, issued: Issued | None = None) -> dict[str, Any]:
        used = self._allowances.of(client.name)
        return {**row_of(client, issued), "tokens_today": used.tokens, "open_streams": used.streams}


def row_of(client: Client, issued: Issued | None) -> dict[str, Any]:
    """What is told of a client; `issued` is None for one of the configuration."""
    return {
        "name": client.name,
        "from": "configuration" if issued is None else "command",
        "admin": client.admin,
        "routes": None if client.routes is None else list(client.routes),
        "requests_per_minute": client.requests_per_minute,
        "streams": client.streams,
        "tokens_per_day": client.tokens_per_day,
        "created": None if issued is None else issued.created_at(),
    }
