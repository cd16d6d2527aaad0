"""Which tools a model is offered, and what the prompt says about the others."""

from collections.abc import Collection, Mapping

import pytest

from src.api.agent import prompts
from src.api.agent.policy_facts import OWN_SERVER
from src.api.errors import Unprocessable
from src.api.ports import OmittedTools, ToolSpec
from src.api.services.limits import ToolBudget
from src.api.services.tools.offer import check_toolsets, count_toolsets, read_toolsets, select_tools


def spec(name: str, server: str = OWN_SERVER, tokens: int = 100, tags: tuple[str, ...] = ()) -> ToolSpec:
    return ToolSpec(
        server, name, name, "", {}, "hash", read=True, destructive=False, idempotent=True, trusted=True, tags=tags,
        tokens=tokens,
    )  # fmt: skip


def named(*specs: ToolSpec) -> dict[str, ToolSpec]:
    return {each.name: each for each in specs}


TOOLS = named(
    spec("k8s_get", tags=("k8s",)),
    spec("helm_status", tags=("helm",)),
    spec("create_issue", "github"),
    spec("list_issues", "github"),
)


@pytest.mark.parametrize(
    ("toolsets", "offered"),
    [
        ((), set(TOOLS)),
        (("k8s",), {"k8s_get"}),
        (("k8s", "github"), {"k8s_get", "create_issue", "list_issues"}),
        (("helm", "github/list_issues"), {"helm_status", "list_issues"}),
        (("nothing",), set()),
    ],
)
def test_toolsets_choose_by_tag_by_server_and_by_tool(toolsets: Collection[str], offered: set[str]) -> None:
    offer = select_tools(TOOLS, (), toolsets, ToolBudget())
    assert set(offer.specs) == offered
    assert sum(each.count for each in offer.omitted) == len(TOOLS) - len(offered)


BUDGETS: list[tuple[str, Mapping[str, ToolSpec], ToolBudget, set[str], str]] = [
    (
        "a later tool fits where an earlier one does not",
        named(spec("a", "x", 60), spec("big", "x", 50), spec("b", "x", 40)),
        ToolBudget(server_tokens={"x": 100}),
        {"a", "b"},
        "max_tokens",
    ),
    (
        "all further servers share a budget",
        named(spec("own", tokens=500), spec("a", "x", 60), spec("b", "y", 60)),
        ToolBudget(further_tokens=100, server_tokens={"x": 100, "y": 100}),
        {"own", "a"},
        "MCP_SERVERS_MAX_TOKENS",
    ),
    (
        "a server without a budget has that of all",
        named(spec("a", "x", 101)),
        ToolBudget(further_tokens=100),
        set(),
        "100 tokens",
    ),
    (
        "our own tools have a budget of their own",
        named(spec("a", tokens=60), spec("b", tokens=60)),
        ToolBudget(own_tokens=100, further_tokens=0),
        {"a"},
        "Our own",
    ),
    (
        "providers take no more tools",
        named(spec("a"), spec("b"), spec("c")),
        ToolBudget(tools=2),
        {"a", "b"},
        "2 tools",
    ),
]


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(("tools", "budget", "offered", "reason"), [case[1:] for case in BUDGETS], ids=lambda _: "")
def test_what_does_not_fit_is_left_out_with_the_reason(
    tools: Mapping[str, ToolSpec], budget: ToolBudget, offered: set[str], reason: str
) -> None:
    offer = select_tools(tools, (), (), budget)
    assert set(offer.specs) == offered
    assert [(each.count, reason in each.reason) for each in offer.omitted] == [(len(tools) - len(offered), True)]


def test_toolset_that_no_tool_belongs_to_is_refused_by_name() -> None:
    check_toolsets(["k8s", "github", "github/create_issue", f"{OWN_SERVER}/k8s_get"], TOOLS.values())
    check_toolsets(["anything"], [])
    with pytest.raises(Unprocessable, match=r"no toolset k8\. There are: github, helm, k8s;"):
        check_toolsets(["k8s", "k8"], TOOLS.values())


def test_toolsets_are_counted_without_those_of_single_tools() -> None:
    assert count_toolsets(TOOLS.values()) == {"github": 2, "helm": 1, "k8s": 1}


@pytest.mark.parametrize("metadata", ["{}", '{"toolsets": "k8s"}', '{"toolsets": null}', '{"toolsets": [1]}', "[]"])
def test_metadata_without_a_list_of_names_means_all(metadata: str) -> None:
    assert read_toolsets(metadata) == frozenset()


def test_model_is_told_what_it_is_not_offered_in_bounds() -> None:
    assert prompts.tools_not_offered([]) == ()
    many = [OmittedTools(f"s{n}", "Too large.", tuple(f"t{m}" for m in range(100)), 500) for n in range(50)]
    lines = prompts.tools_not_offered(many)
    assert lines[0].startswith("Not offered to you: 500 tools of the server s0 (t0, t1, ")
    assert "and others" in lines[0]
    assert len(lines) == 11
    assert len("\n".join(lines)) < 3000
