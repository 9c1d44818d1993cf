"""Checks of what holds all the time: no secret gets out, nothing blocks the loop, options are documented."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from blockbuster import BlockingError, blockbuster_ctx
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from maestro_daemon.providers.secret import Secret, Sources
from maestro_daemon.testing.bench import SECRET, Bench
from maestro_daemon.testing.breach import Breach, Inapplicable
from maestro_daemon.testing.check import check
from maestro_daemon.testing.course import course

_SECRET_NAME: Final = re.compile(r"(^|_)(key|token|secret|password|passphrase|credentials?)$", re.IGNORECASE)
_UNKNOWN: Final = "x_contract_unheard"


class UpkeepChecks:
    """What holds all the time, whatever happens."""

    @check
    async def test_no_secret_gets_out(self, bench: Bench) -> None:
        """Not into logs, errors, events, reprs or URLs, also where the upstream repeats its key."""
        if SECRET not in bench.table().values():
            raise Inapplicable("its table holds no secret: give it `SECRET` where it takes one")
        async with bench.opened() as provider:
            said = {"what it gives or raises": await course(bench, provider)}
        said["the log"] = [line.said for line in bench.log.lines]
        said["the options' repr, or what is dumped of them"] = list(_shown(bench))
        with suppress(Inapplicable):
            said["a URL"] = [each.where for each in bench.stage.asked()]
        for where, texts in said.items():
            found = next((text for text in texts if SECRET in text), None)
            if found is not None:
                place = found.index(SECRET)
                shown = found[max(0, place - 60) : place] + "<the key>" + found[place + len(SECRET) :][:60]
                raise Breach("that the key appears nowhere", f"in {where}: {shown}", "secrets")

    @check
    async def test_nothing_blocks_the_loop(self, bench: Bench) -> None:
        """While one request sleeps, reads a file or connects, all others of the daemon wait."""
        blocked: list[str] = []
        with blockbuster_ctx():
            try:
                async with bench.opened() as provider:
                    said = await course(bench, provider)
            except Exception as error:
                blocked += [str(each) for each in _chain(error) if isinstance(each, BlockingError)]
                if not blocked:
                    raise
            else:
                blocked += [each for each in said if each.startswith("Blocking call to")]
        blocked += [line.said[:200] for line in bench.log.lines if "Blocking call to" in line.said]
        if blocked:
            wants = "that nothing blocks the event loop: use asyncio's own, or asyncio.to_thread"
            raise Breach(wants, blocked[0], "the-event-loop")

    @check
    async def test_options_are_documented(self, bench: Bench) -> None:
        """`config example` and `config schema` say what each key is for."""
        model = bench.kind().options_model
        if not (model.__doc__ or "").strip():
            raise Breach("a docstring of the options, which heads their example", "none", "options")
        for name, field in _fields(model):
            if not (field.description or "").strip():
                wants = "a docstring below every option (with a Table), or Field(description=…)"
                raise Breach(wants, f"{name} has none", "options")

    @check
    async def test_secrets_are_of_the_type_for_them(self, bench: Bench) -> None:
        """A `Secret` is read from a file or the environment, and never shown."""
        for name, field in _fields(bench.kind().options_model):
            leaves = list(_leaves(field.annotation))
            if _SECRET_NAME.search(name.rpartition(".")[2]) and str in leaves and Secret not in leaves:
                found = f"{name} is {field.annotation}"
                raise Breach(
                    "that options which hold a key or token are of the type Secret", found, "options"
                )

    @check
    async def test_a_misspelt_option_is_refused(self, bench: Bench) -> None:
        """A key that is silently ignored costs somebody an afternoon."""
        model = bench.kind().options_model
        try:
            model.model_validate(bench.table(**{_UNKNOWN: 1}), context=Sources(environ={}))
        except ValidationError as error:
            if SECRET in str(error):
                found = "the error shows the key: a Table hides what it was given"
                raise Breach("that errors of options repeat no input", found, "options") from None
            return
        raise Breach("that unknown keys are refused, as a Table does", "nobody minded one", "options")


def _shown(bench: Bench) -> Iterator[str]:
    options = bench.options()
    yield repr(options)
    yield str(options)
    yield str(options.model_dump())
    yield options.model_dump_json()


def _fields(
    model: type[BaseModel], above: str = "", seen: tuple[Any, ...] = ()
) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of the table and of all tables inside it, by dotted name."""
    for name, field in model.model_fields.items():
        yield above + name, field
        for each in _leaves(field.annotation):
            if isinstance(each, type) and issubclass(each, BaseModel) and each not in seen:
                yield from _fields(each, f"{above}{name}.", (*seen, model))


def _leaves(annotation: Any) -> Iterator[Any]:
    inner = typing.get_args(annotation)
    if not inner:
        yield annotation
    for each in inner:
        yield from _leaves(each)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
