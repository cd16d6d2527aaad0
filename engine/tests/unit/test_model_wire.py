"""The chat-completions wire as hosts really speak it: lines, chunks, errors."""

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.adapters.model.failures import Redactor, failure, retry_after
from src.api.adapters.model.lines import MAX_LINE, EventReader
from src.api.adapters.model.wire import Answer, Dialect, error_in, request_body
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.ports import CallDelta, ChatCall, ChatMessage, ModelChunk, ModelRequest, TextDelta, ThinkingDelta


def read(*events: object) -> list[ModelChunk]:
    answer = Answer(Redactor())
    return [chunk for event in events for chunk in answer.read(json.dumps(event).encode())]


def delta(**fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": fields}]}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@given(data=st.data())
def test_lines_are_the_same_wherever_the_bytes_are_cut(newline: str, data: st.DataObject) -> None:
    events = ['{"a":"grüße 😀"}', "{}", "[DONE]"]
    body = "".join(f": comment{newline}event: x{newline}data: {event}{newline}{newline}" for event in events)
    body = (body + newline).encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=8)) | {0, len(body)})
    reader = EventReader()
    pieces = [body[start:end] for start, end in pairwise(cuts)]
    assert [line.decode() for piece in pieces for line in reader.feed(piece)] == events


def test_a_line_that_does_not_end_is_given_out_by_nobody() -> None:
    reader = EventReader()
    assert reader.feed(b'data: {"a":1}') == []
    assert reader.feed(b"\n") == [b'{"a":1}']


@pytest.mark.promise("bounded")
def test_a_line_without_end_is_given_up() -> None:
    reader = EventReader()
    assert reader.feed(b"x" * MAX_LINE) == []
    with pytest.raises(ModelCut):
        reader.feed(b"x")


def test_text_and_reasoning() -> None:
    assert read(delta(content="a"), delta(reasoning="b"), delta(reasoning_content="c", reasoning="c")) == [
        TextDelta("a"),
        ThinkingDelta("b"),
        ThinkingDelta("c"),
    ]


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        None,
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": None, "tool_calls": None}}]},
        {"choices": [{"delta": {"content": 5, "tool_calls": [None]}}]},
        {"choices": [{"index": 1, "delta": {"content": "another choice"}}]},
        {"usage": "none"},
    ],
)
def test_what_is_not_understood_is_nothing(event: object) -> None:
    assert read(event) == []


def test_call_deltas_of_odd_shapes() -> None:
    calls = [{"function": {"name": "a", "arguments": {"x": 1}}}, {"index": 3, "id": None, "function": None}]
    assert read(delta(tool_calls=calls)) == [CallDelta(0, "", "a", '{"x":1}'), CallDelta(3)]


def test_half_a_surrogate_pair_in_an_escape_is_survived() -> None:
    answer = Answer(Redactor())
    chunks = list(answer.read(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}'))
    assert chunks == [TextDelta("a\ufffd")]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("function_call", "tool_calls"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
    ],
)
def test_reasons(given: str, reason: str) -> None:
    answer = Answer(Redactor())
    list(answer.take({"choices": [{"delta": {}, "finish_reason": given}]}))
    assert answer.end() == reason


@pytest.mark.promise("whole-calls")
def test_an_end_is_only_what_the_provider_said() -> None:
    text, call, silent = Answer(Redactor()), Answer(Redactor()), Answer(Redactor())
    list(text.take({"choices": [{"delta": {"content": "a"}}]}))
    list(call.take({"choices": [{"delta": {"tool_calls": [{"id": "a"}]}}]}))
    for answer in (text, call):
        list(answer.read(b"[DONE]"))
    assert text.end() == "stop"
    for answer in (call, silent):
        with pytest.raises(ModelCut):
            answer.end()


ERRORS = [
    ({"error": {"message": "m", "type": "server_error", "code": 503}}, ModelUnavailable),
    ({"error": {"message": "m", "code": "429"}}, ModelUnavailable),
    ({"error": {"message": "m", "type": "overloaded_error"}}, ModelUnavailable),
    ({"error": "m"}, ModelUnavailable),
    ({"error": {"message": "m", "type": "invalid_request_error"}}, ModelRefused),
    ({"error": {"message": "m", "code": "invalid_api_key"}}, ModelRefused),
    ({"error": {"message": "m", "code": 400, "status": "INVALID_ARGUMENT"}}, ModelRefused),
    ({"error": {"message": "m", "code": 504}}, ModelTimeout),
]


@pytest.mark.parametrize(("event", "kind"), ERRORS, ids=[str(event) for event, _ in ERRORS])
def test_error_objects_inside_a_stream(event: dict[str, object], kind: type[ModelError]) -> None:
    with pytest.raises(ModelError) as raised:
        read(delta(content="a"), event)
    assert type(raised.value) is kind
    assert raised.value.detail.rstrip(".").split(" Check")[0].endswith("m")


def test_a_quota_that_is_used_up_is_not_worth_repeating() -> None:
    error = error_in({"error": {"message": "m", "type": "insufficient_quota"}}, 429, Redactor())
    assert type(error) is ModelRefused


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abc***********xyz1.",
        "bad header Bearer abcdef.ghi",
        "GET https://user:hunter22@host/v1",
        "https://host/v1?key=AIzaSyABCDEFGHIJKLMN&alt=sse",
        "the key my-own-key-of-no-known-shape was refused",
        "AKIAIOSFODNN7EXAMPLE is not allowed",
    ],
)
def test_keys_are_taken_out_of_what_a_provider_says(text: str) -> None:
    said = Redactor(["my-own-key-of-no-known-shape"])(text)
    assert "[redacted]" in said
    assert not any(word in said for word in ("abc***", "abcdef", "hunter22", "AIza", "AKIA", "my-own-key"))


@pytest.mark.promise("bounded")
def test_a_long_message_is_cut() -> None:
    assert len(failure(500, "", Redactor()("x" * 100_000)).detail) < 700


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "99999999"}, 3600),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, datetime(2026, 11, 22, 12, tzinfo=UTC)) == seconds


def test_long_ids_are_shortened_alike_on_both_sides_for_a_host_that_bounds_them() -> None:
    messages = [
        ChatMessage("assistant", "", (ChatCall("x" * 5000, "k8s_get", "{}"),)),
        ChatMessage("tool", "none", call_id="x" * 5000),
    ]
    body = json.loads(request_body(ModelRequest("m", messages), "m", Dialect(id_length=40), usage=False))
    call_id = body["messages"][0]["tool_calls"][0]["id"]
    assert len(call_id) <= 40
    assert body["messages"][1]["tool_call_id"] == call_id
    assert body["messages"][0]["content"] is None
