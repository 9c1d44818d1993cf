"""Where a thread is just now, and whose code that is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import PurePath
from types import FrameType

Owner = Callable[[str], str | None]
"""Says by a module's dotted name which plugin it belongs to; None if to none."""


def where(thread: int | None, owner: Owner) -> tuple[str | None, str]:
    """The plugin that the thread (by its ident) runs code of, and the innermost line of it.

    ``("acme", "maestro_acme/provider.py:31 in stream")``; of a thread that runs nobody's code the innermost
    line, ``(None, "")`` of one that is gone.
    """
    frame = sys._current_frames().get(thread) if thread is not None else None
    if frame is None:
        return None, ""
    innermost = frame
    walking: FrameType | None = frame
    while walking is not None:
        plugin = owner(walking.f_globals.get("__name__") or "")
        if plugin is not None:
            return plugin, _line(walking)
        walking = walking.f_back
    return None, _line(innermost)


def raised_at(error: BaseException, owner: Owner) -> str:
    """The innermost line of a plugin's code that `error` came through; "" if it came through none."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        if owner(trace.tb_frame.f_globals.get("__name__") or "") is not None:
            place = _line(trace.tb_frame, trace.tb_lineno)
        trace = trace.tb_next
    return place


def _line(frame: FrameType, number: int | None = None) -> str:
    path = "/".join(PurePath(frame.f_code.co_filename).parts[-2:])
    return f"{path}:{number or frame.f_lineno} in {frame.f_code.co_name}"
