"""Logins as they lie on the disk: the daemon's own, and those of editors."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any


def written_login(folder: Path, token: str, *, name: str = "work", host: str, **user: Any) -> Path:
    """Write a login as it is kept."""
    path = folder / "state" / "copilot" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"host": host, "github_token": token, "user": user or None}))
    return path


async def kept(folder: Path, token: str, **more: Any) -> Path:
    return await asyncio.to_thread(written_login, folder, token, **more)


async def editors(folder: Path, file: str, **logins: str) -> Path:
    return await asyncio.to_thread(written_editors, folder, file, **logins)


def written_editors(folder: Path, file: str, **logins: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(
        json.dumps({key: {"user": "x", "oauth_token": each} for key, each in logins.items()})
    )
    return folder
