"""What an upstream is shown to be let in, kept out of what it says: some repeat the key that they got."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Self

_HEADERS: Final = ("authorization", "proxy-authorization", "x-api-key", "api-key", "cookie")
_MASK: Final = "***"
_SHORTEST: Final = 6  # what is shorter cannot be told from words


class Credentials:
    """Those of one upstream: what stands in the request `headers` that bear such, their schemes left out."""

    __slots__ = ("_shown",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        shown = (value.rpartition(" ")[2] for name, value in headers.items() if name.lower() in _HEADERS)
        self._shown = _longest_first(each for each in shown if len(each) >= _SHORTEST)

    def and_of(self, headers: Mapping[str, str]) -> Self:
        """These, and those of other request headers."""
        both = self.__class__(headers)
        both._shown = _longest_first((*self._shown, *both._shown))
        return both

    def masked(self, said: bytes) -> bytes:
        """What the upstream says, without them."""
        for each in self._shown:
            said = said.replace(each.encode("utf-8", "surrogateescape"), _MASK.encode())
        return said

    def heard(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers of an answer by lower-case name, without them; of repeated ones the first counts."""
        found = {name.lower(): value for name, value in headers.items()}
        if len(found) != len(headers):
            for name in found:
                found[name] = headers[name]
        said = "\n".join(found.values())  # searched at once: each answer comes by here
        for each in self._shown:
            if each in said:
                found = {name: value.replace(each, _MASK) for name, value in found.items()}
        return found


def _longest_first(shown: Iterable[str]) -> tuple[str, ...]:
    """One may stand within another, of which nothing is to be left."""
    return tuple(sorted(set(shown), key=len, reverse=True))
