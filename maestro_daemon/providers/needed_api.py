"""Which version of the contract a plugin needs, and what to say where this daemon's is another one.

A plugin says ``maestro_api = "1.0"`` at the top of its module. That is read from the source before anything
of the plugin runs, since its imports may already fail under another version.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from typing import Any, Final

from maestro_daemon import __version__

API_VERSION: Final = "1.0"
"""The version of `maestro_daemon.plugin`: major.minor.

Another minor version has more names, another major one may lack some or mean something else by them.
"""

ATTRIBUTE: Final = "maestro_api"
_CONTRACT: Final = "maestro_daemon.plugin"
_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")
_MISSING_NAME: Final = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_MISSING_ATTRIBUTE: Final = re.compile(rf"module '{re.escape(_CONTRACT)}' has no attribute '(\w+)'")


def declared(module: str) -> Any:
    """What the module (a dotted name) sets `maestro_api` to, without running it; None if that cannot be seen.

    Only a literal counts, at the top of the module itself or of a package that it is in.
    """
    try:
        spec: ModuleSpec | None = None
        name = ""
        for part in module.split("."):
            name = f"{name}.{part}" if name else part
            if spec is None:
                spec = find_spec(name)  # imports nothing as long as there is no dot in the name
            else:
                spec = PathFinder.find_spec(name, spec.submodule_search_locations)
            if spec is None:
                return None
            if (said := _said(spec, name)) is not None:
                return said
    except (ImportError, ValueError, SyntaxError, OSError, AttributeError):
        return None  # whoever imports the module is told
    return None


def _said(spec: ModuleSpec, name: str) -> Any:
    get_source = getattr(spec.loader, "get_source", None)
    source = get_source(name) if get_source is not None else None
    if not isinstance(source, str) or ATTRIBUTE not in source:
        return None
    for statement in ast.parse(source).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=target)], value=ast.Constant(value=value))
                | ast.AnnAssign(target=ast.Name(id=target), value=ast.Constant(value=value))
            ) if target == ATTRIBUTE:
                return value
    return None


def unmet(needed: Any, offered: str = API_VERSION) -> str | None:
    """The sentence about a plugin that needs this version of the contract; None if `offered` will do."""
    match = _VERSION.fullmatch(needed) if isinstance(needed, str) else None
    if match is None:
        return f'says {ATTRIBUTE} = {needed!r}, which is no version of the contract like "{offered}"'
    major, minor = map(int, match.groups())
    our_major, our_minor = map(int, offered.split("."))
    if major == our_major and minor <= our_minor:
        return None
    newer = (major, minor) > (our_major, our_minor)
    remedy = (
        "a newer maestro-daemon" if newer else "a newer version of the plugin, or an older maestro-daemon"
    )
    return (
        f"needs version {needed} of the plugin contract, and maestro-daemon {__version__} has {offered}: "
        f"install {remedy}"
    )


def unexported(error: BaseException) -> str | None:
    """The sentence about a plugin that asked the house for a name that is not there; None for all else."""
    if isinstance(error, AttributeError):
        attribute = _MISSING_ATTRIBUTE.search(str(error))
        return None if attribute is None else _not_in_contract(attribute[1])
    if not isinstance(error, ImportError):
        return None
    missing = _MISSING_NAME.search(str(error))
    if missing is not None and missing[2] == _CONTRACT:
        return _not_in_contract(missing[1])
    module = error.name or ""
    if module.split(".")[0] == "maestro_daemon":
        what = f"{missing[1]!r} from {module}" if missing is not None else module
        return f"imports {what}, which is not there: plugins may rely on {_CONTRACT} alone"
    return None


def _not_in_contract(name: str) -> str:
    exported = getattr(sys.modules.get(_CONTRACT), "__all__", ())
    near = difflib.get_close_matches(name, exported, n=1, cutoff=0.75)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    return (
        f"imports {name!r} from {_CONTRACT}, which has no such name{guess} in version {API_VERSION} of the "
        f"contract, that of maestro-daemon {__version__}: it came with a later version or left with an "
        "earlier one; install a version of the plugin that fits, or of maestro-daemon"
    )
