"""How a fault is told together with the check that has to find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.testing.right import InProcess, RightOptions, plugin_of


@dataclass(frozen=True)
class Wrong:
    """A contract on a provider with one fault: which `check` fails, what it says, and where that is written.

    `also` are further checks that cannot but fail as well.
    """

    contract: type[InProcess]
    check: str
    says: str
    section: str
    also: frozenset[str]

    @property
    def name(self) -> str:
        return self.contract.__name__


EVERY: list[Wrong] = []


def wrong(
    check: str, says: str, section: str, *, options: type[Any] = RightOptions, also: tuple[str, ...] = ()
) -> Callable[[type[Any]], type[Any]]:
    """Note a provider's fault. `check` is a test's name, with its id in brackets where it has parameters."""

    def noted(provider: type[Any]) -> type[Any]:
        contract = type(provider.__name__, (InProcess,), {"plugin": plugin_of(provider, options)})
        EVERY.append(Wrong(contract, check, says, section, frozenset(also)))
        return provider

    return noted
