"""Test the chat-completions format as real hosts send it: lines, chunks and errors."""

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.adapters.model.chat_completions import RequestFormat, StreamParser, build_request_body
from src.api.adapters.model.errors import ErrorRedactor, build_error, parse_error, retry_after
from src.api.adapters.model.host_quirks import HostQuirks
from src.api.adapters.model.sse import MAX_LINE, EventReader
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.ports import (
    CallDelta,
    ChatCall,
    ChatMessage,
    ModelChunk,
    ModelRequest,
    ProviderState,
    TextDelta,
    ThinkingDelta,
)


def read(*events: object) -> list[ModelChunk]:
    answer = StreamParser(ErrorRedactor())
    return [chunk for event in events for chunk in answer.parse_data(json.dumps(event).encode())]


def delta(**fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": fields}]}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@given(data=st.data())
def test_lines_do_not_depend_on_chunk_boundaries(newline: str, data: st.DataObject) -> None:
    events = ['{"a":"grüße 😀"}', "{}", "[DONE]"]
    body = "".join(f": comment{newline}event: x{newline}data: {event}{newline}{newline}" for event in events)
    body = (body + newline).encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=8)) | {0, len(body)})
    reader = EventReader()
    pieces = [body[start:end] for start, end in pairwise(cuts)]
    assert [line.decode() for piece in pieces for line in reader.feed(piece)] == events


def test_unterminated_line_is_not_returned() -> None:
    reader = EventReader()
    assert reader.feed(b'data: {"a":1}') == []
    assert reader.feed(b"\n") == [b'{"a":1}']


@pytest.mark.promise("bounded")
def test_line_above_the_limit_raises_an_error() -> None:
    reader = EventReader()
    assert reader.feed(b"x" * MAX_LINE) == []
    with pytest.raises(ModelCut):
        reader.feed(b"x")


def test_text_and_reasoning_are_parsed() -> None:
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
def test_unknown_chunks_are_ignored(event: object) -> None:
    assert read(event) == []


def test_unusual_call_deltas_are_parsed() -> None:
    calls = [{"function": {"name": "a", "arguments": {"x": 1}}}, {"index": 3, "id": None, "function": None}]
    assert read(delta(tool_calls=calls)) == [CallDelta(0, "", "a", '{"x":1}'), CallDelta(3)]


def test_lone_surrogate_escape_is_accepted() -> None:
    answer = StreamParser(ErrorRedactor())
    chunks = list(answer.parse_data(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}'))
    assert [*chunks, *answer.rest()] == [TextDelta("a"), TextDelta("\ufffd")]


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
def test_finish_reasons_are_mapped(given: str, reason: str) -> None:
    answer = StreamParser(ErrorRedactor())
    list(answer.parse_event({"choices": [{"delta": {}, "finish_reason": given}]}))
    assert answer.finish() == reason


@pytest.mark.promise("whole-calls")
def test_finish_reason_comes_only_from_the_provider() -> None:
    text, call, silent = StreamParser(ErrorRedactor()), StreamParser(ErrorRedactor()), StreamParser(ErrorRedactor())
    list(text.parse_event({"choices": [{"delta": {"content": "a"}}]}))
    list(call.parse_event({"choices": [{"delta": {"tool_calls": [{"id": "a"}]}}]}))
    for answer in (text, call):
        list(answer.parse_data(b"[DONE]"))
    assert text.finish() == "stop"
    for answer in (call, silent):
        with pytest.raises(ModelCut):
            answer.finish()


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
def test_error_objects_inside_a_stream_are_raised(event: dict[str, object], kind: type[ModelError]) -> None:
    with pytest.raises(ModelError) as raised:
        read(delta(content="a"), event)
    assert type(raised.value) is kind
    assert raised.value.detail.rstrip(".").split(" Check")[0].endswith("m")


def test_exhausted_quota_is_not_retried() -> None:
    error = parse_error({"error": {"message": "m", "type": "insufficient_quota"}}, 429, ErrorRedactor())
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
def test_keys_are_redacted_from_provider_errors(text: str) -> None:
    said = ErrorRedactor(["my-own-key-of-no-known-shape"])(text)
    assert "[redacted]" in said
    assert not any(word in said for word in ("abc***", "abcdef", "hunter22", "AIza", "AKIA", "my-own-key"))


@pytest.mark.promise("bounded")
def test_long_error_message_is_truncated() -> None:
    assert len(build_error(500, "", ErrorRedactor()("x" * 100_000)).detail) < 700


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
def test_retry_after_is_parsed(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, datetime(2026, 11, 22, 12, tzinfo=UTC)) == seconds


def test_long_ids_are_shortened_consistently_for_hosts_with_a_limit() -> None:
    messages = [
        ChatMessage("assistant", "", (ChatCall("x" * 5000, "k8s_get", "{}"),)),
        ChatMessage("tool", "none", call_id="x" * 5000),
    ]
    body = json.loads(build_request_body(ModelRequest("m", messages), "m", RequestFormat(id_length=40), usage=False))
    call_id = body["messages"][0]["tool_calls"][0]["id"]
    assert len(call_id) <= 40
    assert body["messages"][1]["tool_call_id"] == call_id
    assert body["messages"][0]["content"] is None


TAGGED = "  <think>First İ, the 💀 events</THINK>\n\n<Think>, then 😀</think>Fine <think> a < b </think>."


@given(data=st.data())
def test_thinking_does_not_depend_on_how_the_text_is_split(data: st.DataObject) -> None:
    """The text is split between UTF-16 units, so halves of characters come in different pieces."""
    units = [TAGGED.encode("utf-16-le")[at : at + 2] for at in range(0, len(TAGGED.encode("utf-16-le")), 2)]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(units)), max_size=12)) | {0, len(units)})
    pieces = [b"".join(units[start:end]).decode("utf-16-le", "surrogatepass") for start, end in pairwise(cuts)]
    answer = StreamParser(ErrorRedactor())
    chunks = [chunk for piece in pieces for chunk in answer.parse_data(json.dumps(delta(content=piece)).encode())]
    chunks += answer.rest()
    thought = "".join(chunk.text for chunk in chunks if isinstance(chunk, ThinkingDelta))
    said = "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))
    assert (thought, said) == ("First İ, the 💀 events, then 😀", "Fine <think> a < b </think>.")
    state = answer.state("host/model")
    assert state is not None
    assert state.message == {"content": TAGGED}


def test_bytes_of_a_character_split_between_events_are_joined() -> None:
    body = json.dumps(delta(content="grü")).encode().replace(b"\\u00fc", "ü".encode())
    first, second = body.replace("ü".encode(), b"\xc3"), body.replace("grü".encode(), b"\xbc\xc3\x9fe")
    answer = StreamParser(ErrorRedactor())
    chunks = [*answer.parse_data(first), *answer.parse_data(second), *answer.rest()]
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)) == "grüße"


@pytest.mark.parametrize(
    ("message", "chunks"),
    [
        ({"function_call": {"name": "a", "arguments": '{"x":1}'}}, [CallDelta(0, "", "a", '{"x":1}')]),
        ({"tool_calls": {"id": "1", "name": "a", "arguments": {"x": 1}}}, [CallDelta(0, "1", "a", '{"x":1}')]),
        (
            {"content": [{"type": "tool_use", "id": "1", "name": "a", "input": {"x": 1}}]},
            [CallDelta(0, "1", "a", '{"x":1}')],
        ),
        ({"audio": {"transcript": "hello"}}, [TextDelta("hello")]),
        ({"thinking": "hm"}, [ThinkingDelta("hm")]),
    ],
)
def test_other_forms_of_calls_and_text_are_parsed(message: dict[str, object], chunks: list[ModelChunk]) -> None:
    assert read(delta(**message)) == chunks


@pytest.mark.promise("bounded")
def test_oversized_state_is_dropped_as_a_whole(caplog: pytest.LogCaptureFixture) -> None:
    answer = StreamParser(ErrorRedactor())
    for _ in range(130):
        list(answer.parse_event(delta(opaque="x" * 10_000)))  # type: ignore[arg-type]
    assert answer.state("host/model") is None
    assert "state" in caplog.text


def test_state_goes_only_to_its_own_provider_and_model() -> None:
    state = ProviderState("host/model", {"reasoning_content": "hm"})
    messages = [ChatMessage("assistant", "", (ChatCall("c", "a", "{}", {"signature": "s"}),), state=state)]
    own, other, omitted, filled = (
        json.loads(build_request_body(ModelRequest("m", messages), "m", dialect, usage=False))["messages"][0]
        for dialect in (
            RequestFormat(origin="host/model"),
            RequestFormat(origin="host/another"),
            RequestFormat(origin="host/model", state="omit"),
            RequestFormat(origin="host/another", state="fill"),
        )
    )
    assert (own["reasoning_content"], own["tool_calls"][0]["signature"]) == ("hm", "s")
    for message in (other, omitted):
        assert "reasoning_content" not in message
        assert "signature" not in message["tool_calls"][0]
    assert filled["reasoning_content"] == " "


QUIRKS = [
    # the host's refusal, whether the turn had thinking, what is learned of its state
    ("reasoning_content is missing in assistant tool call message at index 2", False, "fill"),
    ("The reasoning_content in the thinking mode must be passed back to the API.", False, "fill"),
    ("'messages.2' : property 'reasoning_content' is unsupported", True, "omit"),
    ("messages.2: Extra inputs are not permitted", True, "omit"),
    ("temperature is not supported with this model", True, "return"),
    ("The model does not exist", True, "return"),
]


@pytest.mark.parametrize(("refusal", "has_thinking", "state"), QUIRKS)
def test_what_a_host_does_with_state_is_learned(refusal: str, has_thinking: bool, state: str) -> None:
    kept = ProviderState("host/model", {"reasoning_content": "hm"}) if has_thinking else None
    messages = [ChatMessage("assistant", "", (ChatCall("c", "a", "{}"),), state=kept)]
    quirks = HostQuirks()
    assert quirks.learn(refusal, messages, "host/model") is (state != "return")
    assert quirks.state == state
    assert not quirks.learn(refusal, messages, "host/model"), "the same refusal teaches nothing twice"


def test_host_that_refuses_state_and_then_requires_it_gets_it() -> None:
    messages = [ChatMessage("assistant", "", (ChatCall("c", "a", "{}"),), state=ProviderState("o", {"reasoning": "x"}))]
    quirks = HostQuirks(state="omit")
    assert quirks.learn(QUIRKS[0][0], messages, "o")
    assert quirks.state == "fill"
