"""Where a configuration file says that the daemon listens, whatever else stands in it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from maestro_daemon.config import files
from maestro_daemon.config.faults import of_validation, refuse
from maestro_daemon.config.server_tables import ServerOptions
from maestro_daemon.errors import ConfigInvalid


def configured_address(path: Path) -> tuple[str, int]:
    """Host and port of the file's ``[server]``, the defaults where there is no file. Blocks.

    Its secrets are not read: the service gets them, and not whoever installs it. Raises `ConfigInvalid`.
    """
    if not path.exists():
        return ServerOptions().host, ServerOptions().port
    text = files.read(path).text
    try:
        table = tomllib.loads(text).get("server", {})
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigInvalid(f"{path}: is not valid TOML: {error}.") from None
    wanted = {key: table[key] for key in ("host", "port") if isinstance(table, dict) and key in table}
    try:
        server = ServerOptions.model_validate(wanted)
    except ValidationError as error:
        refuse(of_validation(error, ServerOptions, wanted, ("server",)), path, text)
        raise
    return server.host, server.port or ServerOptions().port
