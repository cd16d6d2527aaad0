"""Test the encoding of server-sent events."""

import json

from src.api.schemas.sse import StreamItem, encode


def test_journal_event_has_an_id_and_an_envelope() -> None:
    body = '{"type":"token","generation_id":"g","text":"a\\n\\u2028é"}'
    frame = encode([StreamItem("r", "c", "token", body, 7, 20_000_003)])
    first, second, data, *end = frame.decode().split("\n")
    assert (first, second, end) == ("id: r:20000003", "event: token", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == {
        "run_id": "r",
        "conversation_id": "c",
        "timestamp": 7,
        "seq": 20_000_003,
        "type": "token",
        "generation_id": "g",
        "text": "a\n\u2028é",
    }


def test_ephemeral_event_has_no_id() -> None:
    frame = encode([StreamItem("r", None, "heartbeat", '{"type":"heartbeat"}', 7)])
    assert frame == b'event: heartbeat\ndata: {"run_id":"r","timestamp":7,"type":"heartbeat"}\n\n'


def test_encoding_concatenates_events() -> None:
    item = StreamItem("r", None, "heartbeat", '{"type":"heartbeat"}', 7)
    assert encode([item, item]) == encode([item]) * 2
    assert encode([]) == b""
