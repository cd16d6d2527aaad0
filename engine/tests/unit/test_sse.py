"""How events are put on the wire."""

import json

from src.api.schemas.sse import StreamItem, encode


def test_an_event_of_the_run_has_an_id_and_its_envelope() -> None:
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


def test_an_event_of_the_stream_has_no_number() -> None:
    frame = encode([StreamItem("r", None, "heartbeat", '{"type":"heartbeat"}', 7)])
    assert frame == b'event: heartbeat\ndata: {"run_id":"r","timestamp":7,"type":"heartbeat"}\n\n'


def test_events_follow_each_other() -> None:
    item = StreamItem("r", None, "heartbeat", '{"type":"heartbeat"}', 7)
    assert encode([item, item]) == encode([item]) * 2
    assert encode([]) == b""
