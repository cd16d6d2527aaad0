"""What a timeline looks like on the wire is what its schema says, though nothing checks it on the way out."""

import json
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from src.api.schemas.base import Json, JsonObject, Verbatim
from src.api.schemas.records import Call, Message, Run
from src.api.schemas.states import SETTLED, UNSETTLED
from src.api.schemas.timeline import ConversationDetail, ToolStatus
from src.api.services.timeline import entries
from src.api.utils.canonical import canonical
from tests.support.talk import a_call, a_message, a_run

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
        title=None,
        is_active=True,
        created_at=1,
        conversation_metadata=Verbatim(metadata),
        messages=entries(messages, calls, runs),
        active_run=None,
    )


def answer(run: Run, *turns: Message, calls: tuple[Call, ...] = (), metadata: str = "{}") -> Any:
    """The timeline as it is sent, which the schema reads and writes as the same bytes."""
    sent = a_detail([a_message(run, 0, "user", "Why?"), *turns], list(calls), [run], metadata).as_json()
    assert SCHEMA.dump_json(SCHEMA.validate_json(sent, strict=True)) == sent
    return json.loads(sent)


@given(
    text=WORDS,
    thinking=WORDS,
    shown=OBJECTS,
    result=st.lists(VALUES, max_size=3),
    status=st.sampled_from(get_args(ToolStatus)),
    word=st.none() | WORDS,
    ended=st.none() | st.integers(1, 2**40),
)
def test_what_is_sent_is_what_the_schema_writes(
    *, text: str, thinking: str, shown: JsonObject, result: list[Json], status: str, word: str | None, ended: int | None
) -> None:
    usage = canonical({"model": word, "prompt_tokens": 7, "cost": 0.01 if word else None, "ttft_ms": ended})
    run = a_run("c", "u", usage=usage, error=word, ended_at=ended)
    turn = a_message(run, 1, "assistant", text, thinking=thinking, thinking_ms=4, finish_reason=word)
    what = {"shown": canonical(shown), "result": canonical(result), "status": status, "ended_at": ended}
    call = a_call(run, 1, 0, error=word, supersedes=word, **what)
    sent = answer(run, turn, calls=(call,), metadata=canonical(shown))
    tool = sent["messages"][1]["segments"][-1]["toolExecution"]
    assert (tool["args"], tool["result"]) == (shown, result if ended else None)
    assert sent["conversation_metadata"] == shown


def test_the_names_of_the_wire() -> None:
    run = a_run("c", "u", ended_at=9)
    turn = a_message(run, 1, "assistant", "It is up.", thinking="Hm.")
    sent = answer(run, turn, calls=(a_call(run, 1, 0, status="completed"),))
    user, assistant = sent["messages"]
    thinking, text, tool = assistant["segments"]
    assert list(sent)[:5] == ["status", "exists", "id", "title", "is_active"]
    assert list(sent)[5:] == ["created_at", "conversation_metadata", "messages", "active_run", "truncated"]
    assert list(user) == ["id", "type", "content", "timestamp", "replaces"]
    assert list(assistant)[:5] == ["id", "type", "run_id", "content", "timestamp"]
    assert list(assistant)[5:] == ["segments", "token_usage", "error"]
    assert list(thinking) == ["kind", "id", "text", "isComplete", "durationMs", "timestamp"]
    assert list(text) == ["kind", "id", "text", "timestamp", "finish_reason"]
    assert list(tool) == ["kind", "id", "toolExecution", "timestamp"]
    assert list(tool["toolExecution"])[:5] == ["call_id", "tool", "title", "args", "status"]
    assert list(tool["toolExecution"])[5:] == ["result", "error", "requires_approval", "supersedes", "timestamp"]
    assert assistant["token_usage"]["ttr_ms"] == 8


def test_every_state_of_a_call_is_one_of_the_wire() -> None:
    assert set(get_args(ToolStatus)) == {*UNSETTLED, *SETTLED}
