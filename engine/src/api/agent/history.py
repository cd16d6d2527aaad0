"""Build the model's view of a conversation from rows. Every call has a result, whatever its outcome."""

import re
from collections.abc import Callable, Sequence

from src.api.agent import prompts
from src.api.agent.content_blocks import text_of_blocks
from src.api.agent.context import History
from src.api.ports import ChatCall, ChatMessage, ProviderState
from src.api.schemas.base import JsonObject
from src.api.schemas.records import Call, Execution, Message
from src.api.utils.json_columns import load_list, load_object

__all__ = ["build_chat", "build_entries", "dump_state", "result_text"]

_SENTENCE = re.compile(r"\.\s+")


def build_chat(history: History) -> list[ChatMessage]:
    """Return messages in order, each turn's calls followed by their results."""
    return [message for _, chat in build_entries(history) for message in chat]


def build_entries(history: History) -> list[tuple[Message, list[ChatMessage]]]:
    """Return each row of a message with what the model gets for it."""
    turns: dict[tuple[str, int], dict[int, list[Call]]] = {}
    for call in sorted(history.calls, key=lambda each: (each.turn, each.position, each.version)):
        turns.setdefault((call.run_id, call.turn), {}).setdefault(call.position, []).append(call)
    entries: list[tuple[Message, list[ChatMessage]]] = []
    for message in history.messages:
        if message.role == "user":
            entries.append((message, [ChatMessage("user", message.content)]))
        else:
            calls = turns.get((message.run_id, message.turn), {})
            entries.append((message, _turn(message, list(calls.values()), history)))
    return entries


def _turn(message: Message, calls: Sequence[Sequence[Call]], history: History) -> list[ChatMessage]:
    """Return a turn. `calls` are the versions of each call, oldest first: the first is the model's own."""
    text = message.content
    state, call_states = _load_state(message)
    if not calls:
        return [ChatMessage("assistant", text, state=state)] if text else []
    requests = tuple(
        ChatCall(versions[-1].id, versions[0].tool, _own_arguments(versions[0]), call_states.get(versions[0].position))
        for versions in calls
    )
    results = [
        ChatMessage("tool", _result_of(versions, history.executions.get(versions[-1].id)), call_id=versions[-1].id)
        for versions in calls
    ]
    return [ChatMessage("assistant", text, calls=requests, state=state), *results]


def _own_arguments(call: Call) -> str:
    """Return the arguments as the model sent them, unless they hold values of a Secret."""
    return call.redacted_args if call.holds_secret else call.args


def _result_of(versions: Sequence[Call], execution: Execution | None) -> str:
    own, newest = versions[0], versions[-1]
    notes = [prompts.edited(newest.redacted_args)] if newest.args != own.args else []
    if own.holds_secret and own.redacted_args != own.args:
        notes.append(prompts.masked_arguments())
    return "\n".join([result_text(newest, execution), *notes])


def result_text(call: Call, execution: Execution | None = None) -> str:
    """Return the text that reports the outcome of a call to the model. `execution` is that of a failed change."""
    if call.status == "error":
        return _failed(call, execution)
    text_of = _RESULT_TEXTS.get(call.status)
    return prompts.unknown("it has not ended yet") if text_of is None else text_of(call)


def _completed(call: Call) -> str:
    text = text_of_blocks(load_list(call.result))
    settled_by_hand = not text and call.error is not None
    return f"{prompts.applied()} {call.error}" if settled_by_hand else prompts.frame_result(call.id, call.tool, text)


def _failed(call: Call, execution: Execution | None) -> str:
    """Report a failed call. Whether it changed anything follows from its execution."""
    if execution is not None and execution.state == "not_applied":
        return f"{prompts.not_applied()} {call.error or ''}".strip()
    error = _joined_error(call.error or "", text_of_blocks(load_list(call.result)))
    if call.kind == "read":
        return prompts.failed(call.id, call.tool, error)
    if execution is None or execution.effect == "none":
        return prompts.not_run(call.id, call.tool, error)
    return prompts.failed(call.id, call.tool, error, execution.effect or "unknown")


def _joined_error(error: str, text: str) -> str:
    """Join an error and the tool's own text; where the text holds the error's sentences already, it is enough."""
    flat = " ".join(text.split())
    sentences = [sentence.strip(". ") for sentence in _SENTENCE.split(" ".join(error.split()))]
    if all(sentence in flat for sentence in sentences):
        return text or error
    return error if flat.strip(". ") in " ".join(error.split()) else f"{error}\n{text}"


def dump_state(state: ProviderState | None, calls: Sequence[JsonObject | None]) -> JsonObject | None:
    """Return what a row keeps of a turn's state and of the states of its calls; None if there is nothing to keep."""
    if state is None:
        return None
    return {"origin": state.origin, "message": state.message, "calls": list(calls)}


def _load_state(message: Message) -> tuple[ProviderState | None, dict[int, JsonObject]]:
    if message.provider_state is None:
        return None, {}
    stored = load_object(message.provider_state)
    body, calls = stored.get("message"), stored.get("calls")
    state = ProviderState(str(stored.get("origin", "")), body if isinstance(body, dict) else {})
    positions = enumerate(calls if isinstance(calls, list) else [])
    return state, {position: each for position, each in positions if isinstance(each, dict)}


_RESULT_TEXTS: dict[str, Callable[[Call], str]] = {
    "completed": _completed,
    "denied": lambda call: prompts.denied(reason=call.error),
    "expired": lambda _: prompts.expired(),
    "superseded": lambda call: f"{prompts.superseded()} {call.error or ''}".strip(),
    "stale": lambda call: prompts.stale(call.error),
    "stopped": lambda _: prompts.stopped(),
    "unknown": lambda call: prompts.unknown(call.error),
}
