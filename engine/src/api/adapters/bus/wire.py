"""Signals as bytes, between processes that may be of different versions."""

from typing import cast

import orjson

from src.api.ports import Delta, Notice, Ring, Signal
from src.api.schemas.base import Json

__all__ = ["decode", "decode_all", "encode"]


def encode(signal: Signal) -> bytes:
    return orjson.dumps(_parts(signal))


def decode(run_id: str, data: bytes | str) -> Signal:
    """One signal of the run; a `Ring` for one that can't be read: it is a reason to look, at least."""
    return _signal(run_id, _json(data))


def decode_all(run_id: str, data: bytes) -> list[Signal]:
    """The signals of a list of them."""
    parts = _json(data)
    return [_signal(run_id, part) for part in parts] if isinstance(parts, list) else [Ring(run_id)]


def _parts(signal: Signal) -> tuple[str | int, ...]:
    match signal:
        case Delta():
            numbers = (signal.n, signal.start, signal.end)
            return ("delta", signal.generation_id, signal.kind, *numbers, signal.text, signal.timestamp)
        case Notice():
            return ("notice", signal.body, signal.timestamp)
        case Ring():
            return ("ring",)


def _json(data: bytes | str) -> Json:
    try:
        return cast(Json, orjson.loads(data))
    except orjson.JSONDecodeError:
        return None


def _signal(run_id: str, part: Json) -> Signal:
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
            return Notice(run_id, body, timestamp)
        case _:
            return Ring(run_id)
