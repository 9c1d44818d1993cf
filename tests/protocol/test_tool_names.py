from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.protocol.tool_names import ToolName, ToolNames
from tests.support.chat_oracle import LEGAL_NAME

KINDS = st.sampled_from(["function", "custom", "tool_search", "local_shell", "shell", "apply_patch"])
WORDS = st.one_of(
    st.sampled_from(["add", "a.b", "a_b", "ns", "ns__add", "", "mcp__calc", "ä", "x" * 64, "x" * 65]),
    st.text(max_size=80),
)
TOOLS = st.builds(ToolName, kind=KINDS, name=WORDS, namespace=st.none() | WORDS)


def test_a_legal_name_stays_as_it_is() -> None:
    assert ToolNames().flat(ToolName("function", "exec_command")) == "exec_command"


def test_namespace_and_name_are_joined_by_two_underscores() -> None:
    assert ToolNames().flat(ToolName("function", "add", "mcp__calc")) == "mcp__calc__add"


def test_a_flat_name_leads_back_to_name_and_namespace() -> None:
    names = ToolNames()
    tool = ToolName("custom", "exec", "functions")
    assert names.restore(names.flat(tool)) == tool


def test_a_name_never_registered_is_a_function() -> None:
    assert ToolNames().restore("mcp__calc__add") == ToolName("function", "mcp__calc__add")


def test_a_tool_that_a_model_calls_without_its_namespace_is_meant_if_there_is_but_one() -> None:
    names = ToolNames()
    add, one, other = (ToolName("function", *said) for said in (("add", "calc"), ("sum", "a"), ("sum", "b")))
    for tool in (add, one, other):
        names.flat(tool)
    assert names.restore("add") == names.restore("calc.add") == add
    assert names.restore("sum") == ToolName("function", "sum")
    assert names.restore("b.sum") == other
    names.allow_only([names.flat(add)])
    assert names.allows("add")
    assert not names.allows("b.sum")


def test_the_first_of_two_that_collide_keeps_the_name_and_both_are_restored() -> None:
    names = ToolNames()
    plain, within = ToolName("function", "calc__add"), ToolName("function", "add", "calc")
    assert names.flat(plain) == "calc__add"
    assert names.flat(within) != "calc__add"
    assert names.flat(within).startswith("calc__add_")
    assert names.restore(names.flat(within)) == within
    assert names.restore("calc__add") == plain


def test_a_long_name_is_cut_and_hashed_so_that_two_with_one_beginning_differ() -> None:
    names = ToolNames()
    flats = {names.flat(ToolName("function", "x" * 70 + end, "server")) for end in "ab"}
    assert len(flats) == 2
    assert all(len(flat) == 64 for flat in flats)


@given(st.lists(TOOLS))
def test_any_tools_get_legal_unique_names_that_lead_back(tools: list[ToolName]) -> None:
    names = ToolNames()
    flats = [names.flat(tool) for tool in tools]
    assert all(LEGAL_NAME.fullmatch(flat) for flat in flats)
    assert len(set(flats)) == len(set(tools))
    assert [names.restore(flat) for flat in flats] == tools
    assert [names.flat(tool) for tool in tools] == flats


@given(st.lists(TOOLS), TOOLS)
def test_names_depend_on_nothing_but_the_tools_before(tools: list[ToolName], later: ToolName) -> None:
    first, second = ToolNames(), ToolNames()
    flats = [first.flat(tool) for tool in tools]
    assert [second.flat(tool) for tool in [*tools, later]][: len(tools)] == flats


def test_a_call_without_its_namespace_means_the_only_tool_of_that_name() -> None:
    names = ToolNames()
    flat = names.flat(ToolName("custom", "exec", "functions"))
    assert names.called(ToolName("custom", "exec")) == flat


def test_a_call_of_a_tool_that_is_declared_as_another_kind_keeps_its_name() -> None:
    names = ToolNames()
    flat = names.flat(ToolName("function", "apply_patch"))
    assert names.called(ToolName("custom", "apply_patch")) == flat


def test_a_call_by_the_flat_name_means_that_tool() -> None:
    names = ToolNames()
    flat = names.flat(ToolName("function", "add", "calc"))
    assert names.called(ToolName("function", "calc__add")) == flat


def test_a_call_that_two_namespaces_could_mean_is_neither() -> None:
    names = ToolNames()
    flats = {names.flat(ToolName("function", "add", namespace)) for namespace in ("a", "b")}
    assert names.find(ToolName("function", "add")) is None
    assert names.called(ToolName("function", "add")) not in flats


def test_a_call_within_a_namespace_is_of_that_namespace_whatever_its_kind() -> None:
    names = ToolNames()
    plain = names.flat(ToolName("function", "add"))
    flat = names.flat(ToolName("function", "add", "calc"))
    assert names.find(ToolName("custom", "add", "calc")) == flat
    assert names.find(ToolName("custom", "add")) == plain
    assert names.find(ToolName("function", "add", "elsewhere")) is None


def test_every_call_is_allowed_until_the_request_limits_them() -> None:
    names = ToolNames()
    assert names.allows("anything")
    names.allow_only(["add"])
    assert names.allows("add")
    assert not names.allows("anything")
