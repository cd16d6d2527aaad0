"""Encode and decode bus signals; processes on one bus may run different versions."""

from typing import cast

import orjson

from src.api.ports import Delta, EphemeralEvent, QueuedRun, RunChanged, Signal
from src.api.schemas.base import Json

__all__ = ["decode", "decode_all", "decode_offer", "encode", "encode_offer", "encode_sender"]


def encode_sender(sender: str) -> bytes:
    """Encode the beginning of a list of signals, which names the process that sends them."""
    return b"[" + orjson.dumps(("from", sender))


def encode(signal: Signal) -> bytes:
    return orjson.dumps(_to_list(signal))


def decode(run_id: str, data: bytes | str) -> Signal:
    """Decode one signal of the run. Return `RunChanged` for one that can't be read, so that the listener polls."""
    return _parse_signal(run_id, _parse_json(data))


def decode_all(run_id: str, data: bytes) -> list[Signal]:
    """Decode a JSON list of signals, which may begin with its sender."""
    parts = _parse_json(data)
    if not isinstance(parts, list):
        return [RunChanged(run_id)]
    return [_parse_signal(run_id, part) for part in parts if not _is_sender(part)]


def encode_offer(run: QueuedRun) -> bytes:
    return orjson.dumps((run.run_id, run.trace_parent))


def decode_offer(data: bytes) -> QueuedRun | None:
    """Decode what follows the sender in a message about a queued run; None if it can't be read."""
    match _parse_json(data):
        case [_, [str(run_id), str(trace_parent)]]:
            return QueuedRun(run_id, trace_parent)
        case _:
            return None


def _is_sender(part: Json) -> bool:
    return isinstance(part, list) and len(part) == 2 and part[0] == "from"


def _to_list(signal: Signal) -> tuple[str | int | None, ...]:
    match signal:
        case Delta():
            numbers = (signal.n, signal.start, signal.end)
            return ("delta", signal.generation_id, signal.kind, *numbers, signal.text, signal.timestamp)
        case EphemeralEvent():
            return ("notice", signal.body, signal.timestamp)
        case RunChanged():
            return ("ring", signal.unstopped_fence, signal.has_events)


def _parse_json(data: bytes | str) -> Json:
    try:
        return cast(Json, orjson.loads(data))
    except orjson.JSONDecodeError:
        return None


def _parse_signal(run_id: str, part: Json) -> Signal:
    match part:
        case [
            "delta",
            str(generation_id),
            "token" | "thinking" as kind,
            int(n),
            int(start),
            int(end),
            str(text),
            int(timestamp),
        ]:
            return Delta(run_id, generation_id, kind, n, start, end, text, timestamp)
        case ["notice", str(body), int(timestamp)]:
            return EphemeralEvent(run_id, body, timestamp)
        case ["ring", int() | None as fence, bool(has_events)]:
            return RunChanged(run_id, fence, has_events)
        case _:
            return RunChanged(run_id)
