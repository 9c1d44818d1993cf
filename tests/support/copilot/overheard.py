"""Everything that Copilot tests let be heard: log lines, errors, reprs, output. No token may be in it."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_daemon.errors import MaestroError
from tests.support.copilot.state import EVER_MINTED


class Overheard:
    """What was heard so far, as text."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def text(self, said: Any) -> None:
        """Note an output, or what anything is as text."""
        self.texts += [str(said), repr(said)]

    def lines(self, lines: Any) -> None:
        """Note log lines: structlog's fields as they are before anything is masked."""
        self.texts += [json.dumps(line, default=repr, ensure_ascii=False) for line in lines]

    def error(self, error: BaseException) -> None:
        """Note an error in every form, with all that it came from."""
        self.texts.append("".join(traceback.format_exception(error)))
        seen: BaseException | None = error
        while seen is not None:
            self.texts += [str(seen), repr(seen), repr(vars(seen)), repr(seen.args)]
            if hasattr(seen, "envelope"):
                self.texts.append(json.dumps(seen.envelope()))
            seen = seen.__cause__ or seen.__context__

    def tokens(self) -> Iterator[str]:
        """The tokens that were heard, by where."""
        whole = "\n".join(self.texts)
        for token in EVER_MINTED:
            # A part of one would do as well: its random half is looked for alone, too.
            for piece in (token, token[-24:]):
                at = whole.find(piece)
                if at >= 0:
                    yield f"…{whole[max(0, at - 200) : at]}TOKEN…"
                    break


async def refusal(account: Any, heard: Overheard) -> MaestroError:
    """What an account raises instead of giving a bearer, overheard."""
    with pytest.raises(MaestroError) as failure:
        await account.bearer()
    heard.error(failure.value)
    return failure.value


def nothing_in(log: Path) -> None:
    """Fail if a daemon's log holds a token that any fake has minted."""
    heard = Overheard()
    heard.text(log.read_text())
    assert not list(heard.tokens())
