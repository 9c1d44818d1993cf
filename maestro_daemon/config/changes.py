"""What differs between the configuration that runs and one that was read anew: keys, never values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel

from maestro_daemon.config.faults import key_text
from maestro_daemon.config.loading import Config, ProviderConfig
from maestro_daemon.config.server_tables import ServerOptions

_ONLY_AT_START: Final = ("host", "port", "unix_socket")
"""Keys of ``[server]`` that say where the daemon listens."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Tables that were `added` or `removed`, keys that `changed`, and keys whose change needs a `restart`."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)

    def document(self) -> dict[str, list[str]]:
        """The same as JSON has it."""
        return asdict(self)


def changes(running: Config, read: Config) -> Changes:
    """What of `read` is not as in `running`."""
    tables: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("clients", running.clients, read.clients),
        ("providers", running.providers, read.providers),
        ("routes", running.routes, read.routes),
    ]
    changed: list[Key] = []
    for key in ("server", "breaker", "metrics", "plugins"):
        changed += _differing(getattr(running, key), getattr(read, key), (key,))
    for key, before, after in tables:
        for name in after:
            if name in before:
                changed += _differing(before[name], after[name], (key, name))
    restart = [key for key in changed if _needs_restart(key, running.server, read.server)]
    return Changes(
        added=[
            key_text((key, name)) for key, before, after in tables for name in after if name not in before
        ],
        removed=[
            key_text((key, name)) for key, before, after in tables for name in before if name not in after
        ],
        changed=[key_text(key) for key in changed if key not in restart],
        restart=[key_text(key) for key in restart],
    )


def applied(running: Config, read: Config) -> Config:
    """`read`, but what only a restart can change as in `running`."""
    kept: dict[str, Any] = {name: getattr(running.server, name) for name in _ONLY_AT_START}
    if (running.server.tls is None) != (read.server.tls is None):
        kept["tls"] = running.server.tls
    return replace(
        read, server=read.server.model_copy(update=kept), plugins=running.plugins, metrics=running.metrics
    )


def is_same_provider(before: ProviderConfig, after: ProviderConfig) -> bool:
    """Whether an object that was made for `before` is as good as one made for `after`."""
    return before.kind == after.kind and not any(_differing(before.options, after.options, ()))


def _needs_restart(key: Key, running: ServerOptions, read: ServerOptions) -> bool:
    match key:
        case ("plugins" | "metrics", *_):
            return True
        case ("server", "tls"):
            return (running.tls is None) != (read.tls is None)
        case ("server", name):
            return name in _ONLY_AT_START
    return False


def _differing(before: Any, after: Any, at: Key) -> Iterator[Key]:
    """The keys at and below `at` whose values differ."""
    if isinstance(before, ProviderConfig) and isinstance(after, ProviderConfig):
        yield from _differing_providers(before, after, at)
    elif isinstance(before, BaseModel) and type(before) is type(after):
        old, new = _values(before), _values(after)
        for name in dict.fromkeys((*new, *old)):
            if name in old and name in new:
                yield from _differing(old[name], new[name], (*at, name))
            else:
                yield (*at, name)
    elif not _is_equal(before, after):
        yield at


def _differing_providers(before: ProviderConfig, after: ProviderConfig, at: Key) -> Iterator[Key]:
    if before.kind != after.kind:
        yield (*at, "kind")
        return
    if before.affinity != after.affinity:
        yield (*at, "affinity")
    for side, key in (("first_output", "first_output_timeout"), ("total", "total_timeout")):
        if getattr(before.patience, side) != getattr(after.patience, side):
            yield (*at, key)
    yield from _differing(before.options, after.options, at)


def _values(table: BaseModel) -> dict[str, Any]:
    written = {each.alias or name: getattr(table, name) for name, each in type(table).model_fields.items()}
    return written | (table.model_extra or {})


def _is_equal(before: Any, after: Any) -> bool:
    try:
        return bool(before == after)
    except Exception:  # noqa: BLE001  (values of outsiders' models; what cannot be compared has changed)
        return False
