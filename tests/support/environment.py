"""The environment of the tests: nothing in it of whoever runs them, but how this machine fetches packages."""

from __future__ import annotations

import getpass
import json
import os
import re
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final

_FETCH_WITH: Final = "TESTS_FETCH_WITH"  # in the environment, since that is what pytest's workers begin with
_OURS: Final = re.compile(
    "(MAESTRO|OTEL|XDG|OPENAI|ANTHROPIC|CODEX|COPILOT|GITHUB|GH|LISTEN|WATCHDOG)_.*"
    "|(RUNTIME|STATE|CACHE|LOGS|CONFIGURATION|CREDENTIALS)_DIRECTORY"
    "|NOTIFY_SOCKET|JOURNAL_STREAM|INVOCATION_ID"
    "|NO_COLOR|FORCE_COLOR|CLICOLOR|CLICOLOR_FORCE|COLUMNS|LINES"
    "|PIP_(USER|TARGET|PREFIX|ROOT|PYTHON|EDITABLE|REQUIRE_VIRTUALENV)"
)
_PROXY: Final = re.compile("(http|https|all|no|ftp)_proxy", re.IGNORECASE)
_FETCHING: Final = re.compile(
    "PATH|HOME|LANG|TMPDIR|PYENV_ROOT|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
    "|PIP_((EXTRA_)?INDEX_URL|FIND_LINKS|NO_INDEX|TRUSTED_HOST|(CLIENT_)?CERT|CONFIG_FILE|(DEFAULT_)?TIMEOUT|RETRIES)"
    "|npm_config_.*"
)
_PIP_FILES: Final = (".config/pip/pip.conf", ".pip/pip.conf")
_SHORT: Final = "/tmp"
_LONGEST: Final = len("/tmp/pytest-of-somebody")
_LOOPBACK: Final = "127.0.0.1,localhost,::1"


def shut_out(environ: MutableMapping[str, str], home: Path) -> None:
    """Take out of the environment what would change what our programs and their clients do.

    `home` is the home from now on: logins, keys and sockets of a daemon that the user has are none of ours.
    """
    environ.setdefault(_FETCH_WITH, json.dumps(_kept(environ)))
    for name in list(environ):
        if _OURS.fullmatch(name) or _PROXY.fullmatch(name):
            del environ[name]
    environ["HOME"] = str(home)


def fetching(home: Path | None = None, *, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a program that fetches packages: sources, certificates and proxies of this machine.

    `given` is an environment, as `shut_out` left it or untouched. In another `home` than the user's pip
    still has the user's configuration.
    """
    given = os.environ if given is None else given
    environ: dict[str, str] = json.loads(given[_FETCH_WITH]) if _FETCH_WITH in given else _kept(given)
    if home is not None:
        users = Path(environ.get("HOME", "/"))
        for file in (users / name for name in _PIP_FILES):
            if file.is_file():
                environ.setdefault("PIP_CONFIG_FILE", str(file))
        environ["HOME"] = str(home)
    if any(_PROXY.fullmatch(name) for name in environ):
        for name in ("no_proxy", "NO_PROXY"):
            environ[name] = ",".join(filter(None, (environ.get(name), _LOOPBACK)))
    return environ


def short_folder() -> Path | None:
    """A folder for temporary files where the usual one has too long a name, None if it has not.

    Below it there are unix sockets, and no path of one may be longer than 107 bytes.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    if len(os.fsencode(os.path.join(tempfile.gettempdir(), f"pytest-of-{user}"))) <= _LONGEST:
        return None
    return Path(tempfile.mkdtemp(prefix="t-", dir=_SHORT))


def _kept(given: Mapping[str, str]) -> dict[str, str]:
    return {each: given[each] for each in given if _FETCHING.fullmatch(each) or _PROXY.fullmatch(each)}
