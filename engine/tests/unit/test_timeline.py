"""Test that a timeline is sent as its schema says, although the response is not validated."""

import json
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from src.api.schemas.base import Json, JsonObject, Verbatim
from src.api.schemas.records import Call, Message, Run
from src.api.schemas.states import SETTLED, UNSETTLED
from src.api.schemas.timeline import ConversationDetail, ToolStatus
from src.api.services.conversations.timeline import build_entries
from src.api.utils.canonical import canonical
from tests.support.history_rows import make_call, make_message, make_run

SCHEMA = TypeAdapter(ConversationDetail)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=3)


def a_detail(messages: list[Message], calls: list[Call], runs: list[Run], metadata: str = "{}") -> ConversationDetail:
    return ConversationDetail(
        id="c",
        title="",
        is_active=True,
        created_at=1,
        conversation_metadata=Verbatim(metadata),
        messages=build_entries(messages, calls, runs, {}),
        active_run=None,
    )


def answer(run: Run, *turns: Message, calls: tuple[Call, ...] = (), metadata: str = "{}") -> Any:
    """Return the sent timeline after checking that the schema reads and writes the same bytes."""
    sent = a_detail([make_message(run, 0, "user", "Why?"), *turns], list(calls), [run], metadata).as_json()
    assert SCHEMA.dump_json(SCHEMA.validate_json(sent, strict=True)) == sent
    return json.loads(sent)


@given(
    text=WORDS,
    thinking=WORDS,
    redacted_args=OBJECTS,
    result=st.lists(VALUES, max_size=3),
    status=st.sampled_from(get_args(ToolStatus)),
    word=st.none() | WORDS,
    ended=st.none() | st.integers(1, 2**40),
)
def test_sent_timeline_matches_its_schema(
    *,
    text: str,
    thinking: str,
    redacted_args: JsonObject,
    result: list[Json],
    status: str,
    word: str | None,
    ended: int | None,
) -> None:
    usage = canonical({"model": word, "prompt_tokens": 7, "cost": 0.01 if word else None, "ttft_ms": ended})
    run = make_run("c", "u", usage=usage, error=word, ended_at=ended)
    turn = make_message(run, 1, "assistant", text, thinking=thinking, thinking_ms=4, finish_reason=word)
    what = {"redacted_args": canonical(redacted_args), "result": canonical(result), "status": status, "ended_at": ended}
    call = make_call(run, 1, 0, error=word, supersedes=word, **what)
    sent = answer(run, turn, calls=(call,), metadata=canonical(redacted_args))
    tool = sent["messages"][1]["segments"][-1]["toolExecution"]
    assert (tool["args"], tool["result"]) == (redacted_args, result if ended else None)
    assert sent["conversation_metadata"] == redacted_args


def test_timeline_uses_the_wire_names() -> None:
    run = make_run("c", "u", ended_at=9)
    turn = make_message(run, 1, "assistant", "It is up.", thinking="Hm.")
    sent = answer(run, turn, calls=(make_call(run, 1, 0, status="completed"),))
    user, assistant = sent["messages"]
    thinking, text, tool = assistant["segments"]
    assert list(sent)[:5] == ["status", "exists", "id", "title", "is_active"]
    assert list(sent)[5:] == ["created_at", "conversation_metadata", "messages", "active_run", "truncated"]
    assert list(user) == ["id", "type", "content", "timestamp", "replaces"]
    assert list(assistant)[:5] == ["id", "type", "run_id", "content", "timestamp"]
    assert list(assistant)[5:] == ["segments", "token_usage", "error", "summaries"]
    assert list(thinking) == ["kind", "id", "text", "isComplete", "durationMs", "timestamp"]
    assert list(text) == ["kind", "id", "text", "timestamp", "finish_reason"]
    assert list(tool) == ["kind", "id", "toolExecution", "timestamp"]
    assert list(tool["toolExecution"])[:5] == ["call_id", "tool", "title", "args", "status"]
    assert list(tool["toolExecution"])[5:10] == ["result", "error", "requires_approval", "supersedes", "timestamp"]
    assert set(list(tool["toolExecution"])[10:]) == {"started_at", "ended_at", "effect", "approval"}
    assert assistant["token_usage"]["ttr_ms"] == 8


def test_every_call_state_has_a_wire_name() -> None:
    assert set(get_args(ToolStatus)) == {*UNSETTLED, *SETTLED}
