"""How a check becomes a test of pytest."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol

import pytest

from maestro_daemon.testing.bench import Author, Bench
from maestro_daemon.testing.bounded import run
from maestro_daemon.testing.breach import Inapplicable
from maestro_daemon.testing.overheard import overheard
from maestro_daemon.testing.stage import Stage

P = ParamSpec("P")


class Subject(Protocol):
    """What a check needs of the class that it belongs to."""

    @property
    def patience(self) -> float:
        """Seconds until something counts as hanging."""

    def stage(self) -> Any:
        """An async context manager of the `Stage`."""

    def author(self, stage: Stage) -> Author:
        """What the author says, the table being that for this stage."""


def check(
    method: Callable[Concatenate[Any, Bench, P], Awaitable[None]],
) -> Callable[..., None]:
    """Make a test of an async method with a `Bench`; further parameters are pytest's."""

    def test(self: Subject, tmp_path: Path, **given: Any) -> None:
        __tracebackhide__ = True
        try:
            run(_bench(self, tmp_path, method, given), self.patience)
        except Inapplicable as reason:
            skipped = pytest.skip.Exception(str(reason), _use_item_location=True)
            vars(skipped)["maestro_inapplicable"] = str(reason)  # read by the pytest plugin
            raise skipped from None

    own = list(inspect.signature(method).parameters.values())[2:]
    first = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("self", "tmp_path")
    ]
    test.__signature__ = inspect.Signature([*first, *own])  # type: ignore[attr-defined]
    test.__name__ = method.__name__
    test.__qualname__ = method.__qualname__
    test.__doc__ = method.__doc__
    test.__module__ = method.__module__
    return test


async def _bench(subject: Subject, folder: Path, method: Callable[..., Awaitable[None]], given: Any) -> None:
    __tracebackhide__ = True
    async with subject.stage() as stage:
        with overheard() as log:
            await method(subject, Bench(subject.author(stage), stage, log, folder), **given)
