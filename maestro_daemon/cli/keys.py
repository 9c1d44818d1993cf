"""``maestro-daemon keys``: clients and their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from maestro_daemon.cli import screen
from maestro_daemon.cli.options import Decorator, json_option, socket_option

if TYPE_CHECKING:
    from maestro_daemon.server.issued_keys import Issued, IssuedKeys

_UNLIMITED: Final = "any"


class Desk(Protocol):
    """Answers as `maestro_daemon.server.key_desk.KeyDesk` does. Blocks; raises `MaestroError`.

    `in_force` is what is said of a change: since when it is.
    """

    @property
    def in_force(self) -> str: ...

    def listed(self) -> Mapping[str, Any]:
        """All clients."""
        ...

    def add(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """A new key."""
        ...

    def revoke(self, name: str) -> Mapping[str, Any]:
        """One key less."""
        ...


@click.group(short_help="Issue, list and revoke client keys.")
def command() -> None:
    """Issue, list and revoke client keys, beside those of the configuration's [clients.NAME].

    The running daemon keeps their hashes in its state directory, and follows at once; without one running
    this command writes there itself. As soon as there is a key, every request needs one.

    \b
    Example:
      maestro-daemon keys add alice --routes coder --requests-per-minute 60
      maestro-daemon keys list
      maestro-daemon keys revoke alice
    """


def _limit(option: str, help: str) -> Decorator:
    return click.option(option, type=click.IntRange(min=1), metavar="N", help=help)


@command.command(short_help="Make a client, and print its key once.")
@click.argument("name")
@click.option("--admin", is_flag=True, help="The key also opens /admin and /metrics.")
@click.option(
    "--routes",
    metavar="NAMES",
    help='The only models that it may ask for, with commas between: routes, "auto", "provider/model", or '
    '"provider/*" for all of a provider.',
)
@_limit("--requests-per-minute", "So many requests within any minute.")
@_limit("--streams", "So many streams open at once.")
@_limit("--tokens-per-day", "So many tokens, of input and output together, in a day of UTC.")
@socket_option()
@json_option()
def add(
    name: str,
    admin: bool,
    routes: str | None,
    requests_per_minute: int | None,
    streams: int | None,
    tokens_per_day: int | None,
    socket_path: Path | None,
    as_json: bool,
) -> None:
    """Make a client, and print its key: on a line of its own, this once, since only its hash is kept.

    \b
    Example:
      maestro-daemon keys add alice --tokens-per-day 2000000 >alice.key
    """
    fields: dict[str, Any] = {
        "name": name,
        "admin": admin,
        "routes": None if routes is None else [each.strip() for each in routes.split(",") if each.strip()],
        "requests_per_minute": requests_per_minute,
        "streams": streams,
        "tokens_per_day": tokens_per_day,
    }
    desk = _desk(socket_path)
    told = desk.add({field: value for field, value in fields.items() if value is not None})
    if as_json:
        screen.json(told)
        return
    click.echo(told["key"])
    click.echo(
        screen.printable(
            f"The key of {name} is {desk.in_force}, and not shown again. Clients send it as 'Authorization: "
            "Bearer …' or as 'x-api-key'; every request needs a key now."
        ),
        err=True,
    )


@command.command("list", short_help="Show the clients, their limits and what they have used.")
@socket_option()
@json_option()
def list_(socket_path: Path | None, as_json: bool) -> None:
    """Show the clients, what they may, and what they have used. No key is shown: only hashes are kept."""
    told = _desk(socket_path).listed()
    if as_json:
        screen.json(told)
        return
    rows = told.get("clients") or []
    if rows:
        screen.table(
            ("client", "from", "admin", "routes", "per minute", "streams", "tokens per day", "created"),
            [
                (
                    row["name"],
                    row["from"],
                    "yes" if row["admin"] else None,
                    _UNLIMITED if row["routes"] is None else ", ".join(row["routes"]),
                    row["requests_per_minute"],
                    _used(row["streams"], row.get("open_streams")),
                    _used(row["tokens_per_day"], row.get("tokens_today")),
                    row["created"],
                )
                for row in rows
            ],
        )
    for row in rows:
        if row.get("problem"):
            click.echo(screen.printable(f"{row['name']}: {row['problem']}"))
    if not told.get("needed"):
        click.echo("no client keys: programs on this machine are served without")
    elif not rows:
        click.echo("no client has a key: every request is refused")


@command.command(short_help="Let a key be refused from the next request on.")
@click.argument("name")
@socket_option()
@json_option()
def revoke(name: str, socket_path: Path | None, as_json: bool) -> None:
    """Let the key of a client be refused from its next request on. What runs ends as it began.

    Keys are needed even after the last one was revoked; to serve this machine without any again, stop the
    daemon and remove clients.json from its state directory.
    """
    told = _desk(socket_path).revoke(name)
    if as_json:
        screen.json(told)
    else:
        click.echo(screen.printable(str(told.get("message"))))


def _used(most: int | None, used: int | None) -> str | None:
    if most is None:
        return str(used) if used else None
    return f"{used} of {most}" if used is not None else str(most)


def _desk(socket_path: Path | None) -> Desk:
    from maestro_daemon.server import control_socket

    path = socket_path or control_socket.find()
    if socket_path is not None or (control_socket.is_socket(path) and control_socket.is_live(path)):
        return _Daemon(path)
    from maestro_daemon.providers.state_directory import default_path

    return _Here(default_path())


class _Daemon:
    """The daemon behind a control socket."""

    in_force = "in force"

    def __init__(self, path: Path) -> None:
        self._path = path

    def listed(self) -> Mapping[str, Any]:
        from maestro_daemon.server.control_socket import ask

        return ask(self._path, "/keys")

    def add(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._tell("/keys/add", fields)

    def revoke(self, name: str) -> Mapping[str, Any]:
        return self._tell("/keys/revoke", {"name": name})

    def _tell(self, what: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        from maestro_daemon.server.control_socket import tell

        return tell(self._path, what, fields)


class _Here:
    """The state directory itself, while no daemon runs on it."""

    in_force = "in force as soon as a daemon runs"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def listed(self) -> Mapping[str, Any]:
        from maestro_daemon.server.issued_keys import IssuedKeys
        from maestro_daemon.server.key_desk import row_of

        keys = IssuedKeys.read(self._folder)
        rows = [row_of(each.client, each) for each in keys.all().values()]
        _tell_where(f"no daemon is running here: these are of {keys.file}, for the next one")
        return {"needed": keys.needed, "clients": rows}

    def add(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        from maestro_daemon.server.issued_keys import Wanted
        from maestro_daemon.server.key_desk import row_of

        client = Wanted.parse(fields).client()
        made: list[str] = []

        def changed(keys: IssuedKeys) -> dict[str, Issued]:
            key, all_keys = keys.made(client)
            made.append(key)
            return all_keys

        keys = self._change(changed)
        return {**row_of(client, keys.all()[client.name]), "key": made[0]}

    def revoke(self, name: str) -> Mapping[str, Any]:
        self._change(lambda keys: keys.without(name))
        return {"name": name, "message": f"The key of {name} is revoked."}

    def _change(self, changed: Callable[[IssuedKeys], dict[str, Issued]]) -> IssuedKeys:
        from maestro_daemon.server.issued_keys import IssuedKeys

        keys = IssuedKeys.read(self._folder)
        after = changed(keys)
        keys.write(after)
        keys.take(after)
        _tell_where(f"no daemon is running here: kept in {keys.file} for the next one")
        return keys


def _tell_where(sentence: str) -> None:
    """Say on stderr whose keys these are, which can be others than the caller thinks."""
    from maestro_daemon.server.control_socket import other_daemon

    click.echo(screen.printable(sentence), err=True)
    if other := other_daemon():
        click.echo(other, err=True)
