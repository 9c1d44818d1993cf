"""Checks of what a provider is: its registration, its account, its list of models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from maestro_daemon.errors import MaestroError, UpstreamError
from maestro_daemon.providers.provider import Diagnosed, Identified, Model
from maestro_daemon.testing.bench import NAME, SECRET, Bench
from maestro_daemon.testing.bounded import soon
from maestro_daemon.testing.breach import Breach, Inapplicable
from maestro_daemon.testing.check import check
from maestro_daemon.testing.scenarios import Babbles, Listing, Lists, Refuses

_TOKENS = ("context_window", "max_output_tokens")
_ABLE = ("tools", "vision")


class IdentityChecks:
    """What a provider is: its registration, its account, its list of models."""

    @check
    async def test_the_plugin_registers_a_provider_that_can_be_made(self, bench: Bench) -> None:
        """The factory gives an object with the four methods and the name of its table."""
        wants = f"a provider under the name of its table, {NAME!r}"
        try:
            async with bench.opened() as provider:
                name = getattr(provider, "name", None)
        except MaestroError as error:
            raise Breach("that its factory makes a provider", str(error), "a-provider") from error
        if name != NAME:
            raise Breach(wants, f"its name is {name!r}", "a-provider")

    @check
    async def test_the_account_stays_the_same(self, bench: Bench) -> None:
        """By it clients get back what an upstream sealed, also after a restart."""
        wants = "that account() gives the same text each time, also of a provider that is made anew"
        said: list[Any] = []
        for _ in range(2):
            async with bench.opened() as provider:
                if not isinstance(provider, Identified):
                    raise Inapplicable("it has no method account: it counts as an account of its own")
                said += [provider.account(), provider.account()]
        if not all(isinstance(each, str) for each in said) or len(set(said)) != 1:
            raise Breach(wants, repr(said), "accounts")

    @check
    async def test_a_problem_is_a_sentence(self, bench: Bench) -> None:
        """`problem()` tells a person what to do, or that all is well."""
        async with bench.opened() as provider:
            if not isinstance(provider, Diagnosed):
                raise Inapplicable("it has no method problem")
            said: Any = provider.problem()
        if said is not None and (not isinstance(said, str) or not said.strip() or "\n" in said):
            raise Breach("problem() to give None or one sentence", repr(said), "a-provider")

    @check
    async def test_models_are_listed(self, bench: Bench) -> None:
        """Every model that the upstream lists, once, with what it says of it."""
        wanted = ("gpt-test", "other/model:7b")
        models = await self._listed(bench, Lists(wanted))
        if missing := [id for id in wanted if id not in models]:
            raise Breach("that models() gives every model of the list", f"{missing} are missing", "models")

    @check
    async def test_an_odd_entry_hides_no_other_model(self, bench: Bench) -> None:
        """Lists of models hold what their makers like."""
        models = await self._listed(bench, Lists(("gpt-test", "later-model"), odd=True))
        if missing := [id for id in ("gpt-test", "later-model") if id not in models]:
            wants = "that an entry which cannot be read is left out, and no other with it"
            raise Breach(wants, f"{missing} are missing, of {list(models)} is told", "models")

    @check
    async def test_a_list_that_cannot_be_had_is_a_failure(self, bench: Bench) -> None:
        """The daemon keeps its last list then; an empty one would replace it."""
        wants = "that a list of models which cannot be had raises UpstreamError, and never is an empty one"
        for listing in (Refuses(500, "Not now."), Babbles("page")):
            bench.play_listing(listing)
            async with bench.opened() as provider:
                try:
                    given = await soon(provider.models(), "that models() returns, or raises", "models")
                except UpstreamError:
                    continue
                except Breach:
                    raise
                except Exception as error:
                    raise Breach(wants, f"{error!r} for {listing}", "models") from error
            raise Breach(wants, f"{given!r} for {listing}", "models")

    async def _listed(self, bench: Bench, listing: Listing) -> Sequence[str]:
        bench.play_listing(listing)
        async with bench.opened() as provider:
            try:
                models = await soon(provider.models(), "that models() returns", "models")
            except Breach:
                raise
            except Exception as error:
                raise Breach("that models() can read the list", repr(error), "models") from error
        for model in models:
            _check_model(model)
        ids = [model.id for model in models]
        if len(set(ids)) != len(ids):
            raise Breach("every model once", f"the ids are {ids}", "models")
        return ids


def _check_model(model: Any) -> None:
    wants = "models() to give Model objects whose fields have the types that they say"
    if not isinstance(model, Model):
        raise Breach(wants, f"a {type(model).__name__}", "models")
    id: Any = model.id
    if not isinstance(id, str) or not id or SECRET in repr(model):
        raise Breach(wants, f"the id {id!r}", "models")
    wrong = [
        name
        for name in _TOKENS
        if (value := getattr(model, name)) is not None
        and (type(value) is not int or not 0 < value < math.inf)
    ]
    wrong += [name for name in _ABLE if getattr(model, name) not in (None, True, False)]
    kinds = {"name": str, "reasoning_efforts": tuple}
    wrong += [name for name, kind in kinds.items() if not isinstance(getattr(model, name), kind)]
    if wrong:
        raise Breach(wants, f"{', '.join(wrong)} of {model!r}", "models")
