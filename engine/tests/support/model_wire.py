"""Encode a scripted reply in the chat-completions format, with the pauses between its events."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from pydantic import JsonValue

from tests.support.model_script import Call, Conversation, Reply, Step

__all__ = ["Pause", "complete_body", "events"]

Delta = dict[str, JsonValue]
FOREVER = 86_400.0


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of some seconds, or until the test resumes the model."""

    seconds: float = 0
    until: str | None = None


def events(reply: Reply, conversation: Conversation) -> Iterator[bytes | Pause]:
    """Yield the body's encoded events in order, and the pauses before some of them."""
    yield _event(reply, _chunk({"role": "assistant", "content": ""}))
    for step in reply.steps:
        for piece in _step(step):
            yield piece if isinstance(piece, Pause) else _framed(reply, piece)
    if reply.finish is not None:
        yield _event(reply, _chunk({}, _finish(reply)))
    if reply.usage is not None and conversation.stream_options:
        yield _event(reply, {"object": "chat.completion.chunk", "choices": [], "usage": _usage(reply, conversation)})
    if reply.done:
        yield _framed(reply, "[DONE]")


def complete_body(reply: Reply, conversation: Conversation) -> bytes:
    """Encode the reply as one JSON object, for hosts that do not stream."""
    message: Delta = {"role": "assistant", "content": "".join(step.text or "" for step in reply.steps)}
    calls = [call for step in reply.steps for call in step.calls or ()]
    if calls:
        message["tool_calls"] = [_whole_call(call, n) for n, call in enumerate(calls)]
    choice: JsonValue = {"index": 0, "message": message, "finish_reason": _finish(reply)}
    return _json({"object": "chat.completion", "choices": [choice], "usage": _usage(reply, conversation)}).encode()


def _step(step: Step) -> Iterator[str | Pause]:
    for delta in _deltas(step):
        if step.delay:
            yield Pause(step.delay)
        yield _json(_chunk(delta))
    if step.raw is not None:
        yield step.raw
    if step.error is not None:
        yield _json({"error": step.error})
    if step.hang is not None:
        yield Pause(step.hang or FOREVER)
    if step.until is not None:
        yield Pause(until=step.until)


def _deltas(step: Step) -> Iterator[Delta]:
    if step.text is not None:
        for piece in _pieces(step.text, step.pieces):
            yield {"content": piece}
    if step.thinking is not None:
        names = ("reasoning_content", "reasoning") if step.thinking_field == "both" else (step.thinking_field,)
        for piece in _pieces(step.thinking, step.pieces):
            yield dict.fromkeys(names, piece)
    if step.calls is not None:
        for call in _call_pieces(step.calls, step):
            yield {"tool_calls": [call]}


def _call_pieces(calls: Sequence[Call], step: Step) -> Iterator[Delta]:
    """Yield the pieces of tool calls in the styles of various providers."""
    if step.style == "interleaved":
        streams = [list(_one_call(call, 0, step)) for call in calls]
        for row in zip_longest(*streams):
            yield from (piece for piece in row if piece is not None)
        return
    for n, call in enumerate(calls):
        yield from _one_call(call, n if step.style in ("standard", "whole", "repeated", "split") else 0, step)


def _one_call(call: Call, index: int, step: Step) -> Iterator[Delta]:
    name, arguments = call.name, _arguments(call)
    call_id = "" if step.style == "no_ids" else call.id or f"call_{index}_{name}"
    if step.style in ("whole", "index0", "no_ids"):
        yield _piece(index, call_id, name, arguments)
        return
    names = {"split": [name[:3], name[3:]], "doubled": [name, name]}.get(step.style, [name])
    for part in names:
        yield _piece(index, call_id, part, "")
    again = {"repeated": (call_id, name), "interleaved": (call_id, "")}.get(step.style, ("", ""))
    for part in _pieces(arguments, step.pieces or 3):
        yield _piece(index, *again, part)


def _piece(index: int, call_id: str, name: str, arguments: str) -> Delta:
    function: Delta = {"arguments": arguments}
    if name:
        function["name"] = name
    piece: Delta = {"index": index, "function": function}
    if call_id:
        piece |= {"id": call_id, "type": "function"}
    return piece


def _whole_call(call: Call, n: int) -> Delta:
    function: Delta = {"name": call.name, "arguments": _arguments(call)}
    return {"id": call.id or f"call_{n}_{call.name}", "type": "function", "function": function}


def _arguments(call: Call) -> str:
    return call.arguments if isinstance(call.arguments, str) else _json(call.arguments)


def _pieces(words: str, count: int | None) -> list[str]:
    """Split the text into `count` pieces of about equal length; by default one per word."""
    if count is None:
        parts = words.split(" ")
        return [part + " " for part in parts[:-1]] + parts[-1:]
    size = max(1, -(-len(words) // count))
    return [words[start : start + size] for start in range(0, len(words), size)]


def _finish(reply: Reply) -> str | None:
    if reply.finish != "auto":
        return reply.finish
    return "tool_calls" if any(step.calls for step in reply.steps) else "stop"


def _usage(reply: Reply, conversation: Conversation) -> JsonValue:
    """Return the token counts: one per word, unless the script sets them."""
    prompt = sum(len(message.text.split()) for message in conversation.messages)
    said = sum(len((step.text or step.thinking or "").split()) + 8 * len(step.calls or ()) for step in reply.steps)
    counted: Delta = {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}
    return counted | (reply.usage or {})


def _chunk(delta: Delta, finish: str | None = None) -> Delta:
    choice: JsonValue = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "model": "scripted", "choices": [choice]}


def _event(reply: Reply, chunk: Delta) -> bytes:
    return _framed(reply, _json(chunk))


def _framed(reply: Reply, data: str) -> bytes:
    comment = f": keep-alive{reply.newline}{reply.newline}" if reply.comments else ""
    return f"{comment}data: {data}{reply.newline}{reply.newline}".encode()


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
