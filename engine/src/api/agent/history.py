"""The conversation as a model sees it, from the rows: every call has its result, whatever became of it."""

from collections.abc import Callable, Sequence

from src.api.agent import prompts
from src.api.agent.context import History
from src.api.ports import ChatCall, ChatMessage
from src.api.schemas.base import Json
from src.api.schemas.records import Call
from src.api.utils.shown import shown_list

__all__ = ["as_chat", "result_text"]


def as_chat(history: History) -> list[ChatMessage]:
    """Messages in the order in which they were said; a turn's calls with what came of them right after it."""
    calls: dict[tuple[str, int], list[Call]] = {}
    for call in history.calls:
        calls.setdefault((call.run_id, call.turn), []).append(call)
    chat: list[ChatMessage] = []
    for message in history.messages:
        if message.role == "user":
            chat.append(ChatMessage("user", message.content))
        else:
            chat += _turn(message.content, calls.get((message.run_id, message.turn), []))
    return chat


def _turn(text: str, calls: Sequence[Call]) -> list[ChatMessage]:
    if not calls:
        return [ChatMessage("assistant", text)] if text else []
    asked = tuple(ChatCall(call.id, call.tool, call.shown) for call in calls)
    results = [ChatMessage("tool", result_text(call), call_id=call.id) for call in calls]
    return [ChatMessage("assistant", text, calls=asked), *results]


def result_text(call: Call) -> str:
    """What the model is told about a call's end."""
    told = _TOLD.get(call.status)
    return prompts.unknown("it has not ended yet") if told is None else told(call)


def _completed(call: Call) -> str:
    text = _text_of(shown_list(call.result))
    settled_by_hand = not text and call.error is not None
    return f"{prompts.applied()} {call.error}" if settled_by_hand else prompts.framed(call.id, call.tool, text)


def _failed(call: Call) -> str:
    error, text = call.error or "", _text_of(shown_list(call.result))
    whole = error if not text or text == error else f"{error}\n{text}"
    return prompts.failed(call.id, call.tool, whole, "none" if call.kind == "read" else "as the message says")


def _text_of(content: Sequence[Json]) -> str:
    return "\n".join(_block(block) for block in content)


def _block(block: Json) -> str:
    if isinstance(block, dict) and isinstance(text := block.get("text"), str):
        return text
    kind = block.get("type", "unknown") if isinstance(block, dict) else "unknown"
    return f"[{kind} content, not shown to the model]"


_TOLD: dict[str, Callable[[Call], str]] = {
    "completed": _completed,
    "error": _failed,
    "denied": lambda call: prompts.denied(reason=call.error),
    "expired": lambda _: prompts.expired(),
    "superseded": lambda call: f"{prompts.superseded()} {call.error or ''}".strip(),
    "stale": lambda call: prompts.stale(call.error),
    "stopped": lambda _: prompts.stopped(),
    "unknown": lambda call: prompts.unknown(call.error),
}
