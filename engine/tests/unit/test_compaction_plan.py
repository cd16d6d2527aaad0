"""Choosing what a summary covers: whole older turns, never what is open, and never anything twice."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.api.agent.compaction_plan import CompactionPlan, ContextSize, plan_compaction, summary_tokens
from src.api.agent.context import History
from src.api.agent.history import build_entries
from src.api.schemas.records import Call, ConversationSummary, Message, Run
from src.api.services.runs.summaries import drop_covered
from src.api.utils.canonical import canonical
from tests.support.examples import up_to
from tests.support.history_rows import make_call, make_message, make_run
from tests.support.rows import row

WINDOW = 12_000
SIZE = ContextSize(WINDOW, fixed=1_000, percent=80)


def history(*turns: int, size: int = 2_000, open_turns: tuple[tuple[int, int], ...] = ()) -> tuple[History, Run]:
    """Return a conversation of runs with so many turns each; every turn has one read. Returns its last run too."""
    messages: list[Message] = []
    calls: list[Call] = []
    run = make_run("c", "ada")
    for number, count in enumerate(turns):
        run = make_run("c", "ada", id=f"run-{number}")
        messages.append(make_message(run, 0, "user", f"question {number}", id=f"{number}.0"))
        for turn in range(1, count + 1):
            messages.append(make_message(run, turn, "assistant", "x" * size, id=f"{number}.{turn}"))
            status = "unknown" if (number, turn) in open_turns else "completed"
            calls.append(make_call(run, turn, 0, status=status, kind="read", args="{}", version=1))
    return History(messages, calls, {}), run


def make(of: History, run: Run, size: ContextSize = SIZE) -> CompactionPlan | None:
    return plan_compaction(of, build_entries(of), run.id, size, len)


def summarised(of: History, run: Run, plan: CompactionPlan, version: int = 1) -> History:
    """Return the conversation as it is read after the plan's summary was stored."""
    coverage = plan.coverage
    ends = {"until_run_id": coverage.until_run_id, "until_turn": coverage.until_turn}
    kept = canonical(list(coverage.kept))
    own = {"id": f"s{version}", "content": "A summary.", "version": version, "messages": coverage.messages}
    summary = row(ConversationSummary, **own, **ends, kept=kept)
    return replace(of, messages=drop_covered(of.messages, summary, run.id), summary=summary)


def ids(of: History) -> list[str]:
    return [message.id for message in of.messages]


def test_conversation_that_fits_is_not_summarised() -> None:
    assert make(*history(1, 1)) is None
    assert make(*history(1, 5), ContextSize(100_000, 1_000, 80)) is None


def test_oldest_turns_are_covered_and_the_newest_stay() -> None:
    of, run = history(2, 2, 2)
    plan = make(of, run)
    assert plan is not None
    assert ids(summarised(of, run, plan))[-1] == "2.2"
    assert "2.0" in ids(summarised(of, run, plan)), "the question that the run answers"
    assert "question 0" in plan.transcript
    assert plan.coverage.messages == len(of.messages) - len(ids(summarised(of, run, plan)))


def test_question_of_a_long_run_stays_and_counts_once() -> None:
    of, run = history(8)
    first = make(of, run)
    assert first is not None
    after = summarised(of, run, first)
    assert ids(after)[0] == "0.0"
    assert first.transcript.startswith("The person: question 0")
    longer = replace(
        after,
        messages=[
            *after.messages,
            *(make_message(run, 9 + n, "assistant", "y" * 2_000, id=f"0.{9 + n}") for n in range(4)),
        ],
    )
    second = make(longer, run)
    assert second is not None
    everything = [*of.messages, *longer.messages[len(after.messages) :]]
    left = ids(summarised(replace(of, messages=everything), run, second, 2))
    assert second.coverage.messages == len(everything) - len(left) + 1, "the question is covered, and shown as well"


@pytest.mark.promise("unknown")
def test_turn_with_an_unknown_outcome_stays_until_it_is_settled() -> None:
    of, run = history(1, 3, 2, open_turns=((1, 1),))
    plan = make(of, run)
    assert plan is not None
    assert plan.coverage.kept == ("1.1",)
    after = summarised(of, run, plan)
    assert ids(after)[0] == "1.1"
    settled = replace(after, calls=[replace(call, status="completed") for call in of.calls])
    longer, last = history(1, 3, 2, 4)
    second = make(replace(longer, messages=[*after.messages, *longer.messages[-5:]], summary=settled.summary), last)
    assert second is not None
    assert second.coverage.kept == ()


def test_one_message_larger_than_the_window_is_cut() -> None:
    of, run = history(1, 1, size=50_000)
    plan = make(of, run)
    assert plan is not None
    assert len(plan.transcript) < WINDOW
    assert "characters were cut here" in plan.transcript
    assert ids(summarised(of, run, plan)) == ["1.0", "1.1"]


def test_too_little_gain_makes_no_summary() -> None:
    of, run = history(1, size=300)
    long = [*of.messages, make_message(run, 2, "assistant", "z" * 9_500, id="last")]
    assert make(replace(of, messages=long), run) is None


@given(
    turns=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    size=st.integers(10, 3_000),
    open_turn=st.tuples(st.integers(0, 5), st.integers(1, 6)),
    percent=st.integers(30, 95),
    fixed=st.integers(0, WINDOW),
)
@settings(max_examples=up_to(200))
def test_repeated_summaries_cover_each_message_once_and_end(
    turns: list[int], size: int, open_turn: tuple[int, int], percent: int, fixed: int
) -> None:
    of, run = history(*turns, size=size, open_turns=(open_turn,))
    limits = ContextSize(WINDOW, fixed, percent)
    view, before = of, ids(of)
    for version in range(1, 30):
        plan = make(view, run, limits)
        if plan is None:
            break
        assert plan.tokens >= 2 * summary_tokens(WINDOW)
        view = summarised(of, run, plan, version)
        after = ids(view)
        assert after == [each for each in before if each in after], "order is kept"
        assert len(after) < len(before), "each summary covers more"
        before = after
    else:
        pytest.fail("summaries never end")
    assert before[-1] == ids(of)[-1]
    assert f"{len(turns) - 1}.0" in before
    if f"{open_turn[0]}.{open_turn[1]}" in ids(of):
        assert f"{open_turn[0]}.{open_turn[1]}" in before
