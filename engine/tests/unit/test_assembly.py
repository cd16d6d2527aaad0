"""Test how tool calls are assembled from the pieces that a dozen providers send."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.agent.arguments import MAX_ARGUMENTS
from src.api.agent.tool_call_assembler import MAX_CALLS, AssembledCall, CallAssembler
from src.api.ports import CallDelta, Finished, Usage

TOOLS = ("k8s_get", "k8s_logs", "k8s_list_clusters")
ENDED = Finished("tool_calls", Usage())


def assembled(*deltas: CallDelta, end: Finished = ENDED) -> list[AssembledCall]:
    assembler = CallAssembler(TOOLS)
    for delta in deltas:
        assembler.add(delta)
    return assembler.finish(end)


GET, LOGS = AssembledCall("A", "k8s_get", '{"a":1}'), AssembledCall("B", "k8s_logs", '{"b":2}')

DIALECTS = {
    "as documented": [
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, arguments='{"a"'),
        CallDelta(0, arguments=":1}"),
        CallDelta(1, "B", "k8s_logs"),
        CallDelta(1, arguments='{"b":2}'),
    ],
    "pieces of both in turn": [
        CallDelta(0, "A", "k8s_get"),
        CallDelta(1, "B", "k8s_logs"),
        CallDelta(0, arguments='{"a":1}'),
        CallDelta(1, arguments='{"b":2}'),
    ],
    "all with index 0, whole": [CallDelta(0, "A", "k8s_get", '{"a":1}'), CallDelta(0, "B", "k8s_logs", '{"b":2}')],
    "all with index 0, in pieces": [
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, arguments='{"a":1}'),
        CallDelta(0, "B", "k8s_logs"),
        CallDelta(0, arguments='{"b":2}'),
    ],
    "all with index 0, in turn, told apart by id": [
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, "B", "k8s_logs"),
        CallDelta(0, "A", arguments='{"a":1}'),
        CallDelta(0, "B", arguments='{"b":2}'),
    ],
    "id and name in every piece": [
        CallDelta(0, "A", "k8s_get", ""),
        CallDelta(0, "A", "k8s_get", '{"a"'),
        CallDelta(0, "A", "k8s_get", ":1}"),
        CallDelta(1, "B", "k8s_logs", '{"b":'),
        CallDelta(1, "B", "k8s_logs", "2}"),
    ],
    "names split": [
        CallDelta(0, "A", "k8s_"),
        CallDelta(0, "", "get", '{"a":1}'),
        CallDelta(1, "B", "k8s"),
        CallDelta(1, "", "_logs", '{"b":2}'),
    ],
    "names that grow": [
        CallDelta(0, "A", "k8s_"),
        CallDelta(0, "", "k8s_get", '{"a":1}'),
        CallDelta(1, "B", "k8s_logs", '{"b":2}'),
    ],
    "names doubled": [CallDelta(0, "A", "k8s_getk8s_get", '{"a":1}'), CallDelta(1, "B", "k8s_logs", '{"b":2}')],
    "the whole call once more at its end": [
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, arguments='{"a":1}'),
        CallDelta(0, "A", "k8s_get", '{"a":1}'),
        CallDelta(0, "B", "k8s_logs", '{"b":2}'),
    ],
    "another id in each piece": [
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, "x", "", '{"a"'),
        CallDelta(0, "y", "", ":1}"),
        CallDelta(1, "B", "k8s_logs"),
        CallDelta(1, "z", "", '{"b":2}'),
    ],
    "the id after the name": [
        CallDelta(0, "", "k8s_get"),
        CallDelta(0, "A", "", '{"a":1}'),
        CallDelta(1, "B", "k8s_logs", '{"b":2}'),
    ],
}


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize("deltas", DIALECTS.values(), ids=list(DIALECTS))
def test_every_provider_format_gives_the_same_calls(deltas: list[CallDelta]) -> None:
    assert assembled(*deltas) == [GET, LOGS]


SAME_ID = {
    "in pieces": [
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, arguments='{"a":1}'),
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, arguments='{"a"'),
        CallDelta(0, arguments=":2}"),
    ],
    "whole": [CallDelta(0, "A", "k8s_get", '{"a":1}'), CallDelta(0, "A", "k8s_get", '{"a":2}')],
    "the id in every piece": [
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, "A", "", '{"a":1}'),
        CallDelta(0, "A", "k8s_get"),
        CallDelta(0, "A", "", '{"a":2}'),
    ],
    "id and name in every piece": [
        CallDelta(0, "A", "k8s_get", ""),
        CallDelta(0, "A", "k8s_get", '{"a":'),
        CallDelta(0, "A", "k8s_get", "1}"),
        CallDelta(0, "A", "k8s_get", '{"a":2}'),
    ],
}


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize("deltas", SAME_ID.values(), ids=list(SAME_ID))
def test_calls_with_the_same_index_and_id_are_separated(deltas: list[CallDelta]) -> None:
    calls = assembled(*deltas)
    assert [(call.provider_id, call.name, call.arguments) for call in calls] == [
        ("A", "k8s_get", '{"a":1}'),
        ("A", "k8s_get", '{"a":2}'),
    ]


def test_calls_of_two_tools_with_the_same_index_and_id_are_separated() -> None:
    first, second = CallDelta(0, "A", "k8s_get"), CallDelta(0, "A", "k8s_logs")
    calls = assembled(first, CallDelta(0, arguments='{"a":1}'), second, CallDelta(0, "A", "", '{"b":2}'))
    assert [(call.name, call.arguments) for call in calls] == [("k8s_get", '{"a":1}'), ("k8s_logs", '{"b":2}')]


@pytest.mark.parametrize("again", [CallDelta(0, "A", "k8s_get"), CallDelta(0, "A", "k8s_get", '{ "a": 1 }')])
def test_call_that_is_named_again_at_its_end_stays_one(again: CallDelta) -> None:
    assert assembled(CallDelta(0, "A", "k8s_get", '{"a":1}'), again) == [GET]


def test_split_surrogate_pair_in_arguments_is_joined() -> None:
    (call,) = assembled(CallDelta(0, "A", "k8s_get", '{"a":"\ud83d'), CallDelta(0, "", "", '\udc80"}'))
    assert (call.arguments, call.problem) == ('{"a":"💀"}', None)


def test_state_of_a_call_is_kept() -> None:
    (call,) = assembled(CallDelta(0, "A", "k8s_get", "{}", {"x": 1}), CallDelta(0, state={"y": 2}))
    assert call.state == {"x": 1, "y": 2}


def test_complete_calls_without_ids_are_separated() -> None:
    calls = assembled(CallDelta(0, "", "k8s_get", '{"a":1}'), CallDelta(0, "", "k8s_get", '{"a":2}'))
    assert [call.arguments for call in calls] == ['{"a":1}', '{"a":2}']


def test_calls_without_ids_and_arguments_are_separated_by_name() -> None:
    calls = assembled(CallDelta(0, "", "k8s_list_clusters"), CallDelta(0, "", "k8s_get", '{"a":1}'))
    assert [(call.name, call.arguments) for call in calls] == [("k8s_list_clusters", "{}"), ("k8s_get", '{"a":1}')]


def test_same_id_with_two_indexes_gives_two_calls() -> None:
    calls = assembled(CallDelta(0, "A", "k8s_get", '{"a":1}'), CallDelta(1, "A", "k8s_logs", '{"b":2}'))
    assert [call.name for call in calls] == ["k8s_get", "k8s_logs"]


def test_missing_arguments_mean_an_empty_object() -> None:
    assert assembled(CallDelta(0, "A", "k8s_list_clusters")) == [AssembledCall("A", "k8s_list_clusters", "{}")]


def test_very_long_ids_are_kept() -> None:
    assert assembled(CallDelta(0, "x" * 20_000, "k8s_get", "{}"))[0].provider_id == "x" * 20_000
    assert assembled(CallDelta(0, "x" * 40_000, "k8s_get", "{}"))[0].provider_id == ""


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize(
    "arguments",
    ['{"a":', '{"a":1', '{"a":1}}', "{a:1}", "[1]", '"a"', "1", "null", "{'a':1}", '{"a":NaN}', '{"a":1,"a":2}'],
)
def test_broken_json_is_rejected_not_repaired(arguments: str) -> None:
    (call,) = assembled(CallDelta(0, "A", "k8s_get", arguments))
    assert call.arguments == arguments
    assert call.problem is not None
    assert call.problem.startswith("The call was not run")


@pytest.mark.promise("whole-calls")
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_truncated_answer_gives_no_runnable_call(reason: str) -> None:
    end = Finished(reason, Usage())  # type: ignore[arg-type]
    calls = assembled(CallDelta(0, "A", "k8s_get", '{"a":1}'), CallDelta(1, "B", "k8s_list_clusters"), end=end)
    assert all(call.problem for call in calls)


@pytest.mark.promise("bounded")
def test_calls_beyond_the_limit_are_rejected_and_counted() -> None:
    deltas = [CallDelta(n, f"id{n}", "k8s_get", "{}") for n in range(MAX_CALLS + 20)]
    *taken, refused = assembled(*deltas, CallDelta(MAX_CALLS + 19, arguments="junk"))
    assert len(taken) == MAX_CALLS
    assert not any(call.problem for call in taken)
    assert (
        refused.problem
        == "At most 32 calls are taken in one turn: this one and the 19 after it were not run. Ask again in the next."
    )


@pytest.mark.promise("bounded")
def test_oversized_arguments_are_rejected_and_dropped() -> None:
    pieces = [CallDelta(0, arguments="x" * 10_000) for _ in range(100)]
    (call,) = assembled(CallDelta(0, "A", "k8s_get", '{"a":"'), *pieces)
    assert call.arguments == "{}"
    assert call.problem is not None
    assert str(MAX_ARGUMENTS) in call.problem


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_invalid_tool_name_is_rejected(name: str) -> None:
    (call,) = assembled(CallDelta(0, "A", name, "{}"))
    assert call.problem is not None


@pytest.mark.promise("whole-calls")
@given(
    objects=st.lists(
        st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8), max_size=4), min_size=1, max_size=4
    ),
    data=st.data(),
)
def test_calls_do_not_depend_on_how_arguments_are_split(
    objects: list[dict[str, int | str]], data: st.DataObject
) -> None:
    deltas, wanted = [], []
    for index, value in enumerate(objects):
        text = json.dumps(value)
        cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=4)) | {0, len(text)})
        deltas.append(CallDelta(index, f"id{index}", "k8s_get"))
        deltas += [CallDelta(index, arguments=text[start:end]) for start, end in pairwise(cuts)]
        wanted.append(text)
    calls = assembled(*deltas)
    assert [(call.provider_id, call.arguments) for call in calls] == [(f"id{n}", text) for n, text in enumerate(wanted)]


pieces = st.builds(
    CallDelta,
    st.integers(-1, 2),
    st.sampled_from(["", "A", "B"]),
    st.sampled_from(["", "k8s_", "get", "k8s_get", "k8s_logs"]),
    st.sampled_from(["", "{", "}", '{"a":1}', '"b":', "2", "[1]"]),
)


@pytest.mark.promise("whole-calls")
@given(st.lists(pieces, max_size=30))
def test_every_call_has_object_arguments_or_a_problem(deltas: list[CallDelta]) -> None:
    calls = assembled(*deltas)
    assert len(calls) <= MAX_CALLS + 1
    for call in calls:
        assert call.problem or isinstance(json.loads(call.arguments), dict)
