"""Choose which of a conversation's oldest messages a summary replaces (`docs/adr/0049-context-compaction.md`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.agent.context import History, SummaryCoverage
from src.api.agent.context_window import Count, shorten, tokens_of_message
from src.api.ports import ChatMessage
from src.api.schemas.records import Message
from src.api.schemas.states import UNSETTLED
from src.api.utils.json_columns import load_list

__all__ = ["CompactionPlan", "ContextSize", "plan_compaction", "summary_tokens"]

RESULT_LIMIT = 8_000
"""Characters of one tool result that the summary is made from."""

OPEN_OUTCOMES = frozenset({*UNSETTLED, "unknown"})
SHORTEST_TEXT = 800
_PROMPT_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class ContextSize:
    """Tokens: the model's context window, and what of it is taken besides messages (prompt, tools, the answer).

    A compaction begins when more than `percent` of the window is taken.
    """

    window: int
    fixed: int
    percent: int

    @property
    def threshold(self) -> int:
        return self.window * self.percent // 100

    @property
    def kept(self) -> int:
        """How much of the newest messages stays: half of what may be taken, without the summary."""
        room = max(0, self.window - self.fixed)
        return max(self.threshold // 2 - self.fixed - summary_tokens(self.window), room // 4)


@dataclass(frozen=True, slots=True)
class CompactionPlan:
    """What a summary will cover, the transcript to make it from, and the tokens that its messages take."""

    coverage: SummaryCoverage
    transcript: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """One message with its calls and results. `is_open`: the outcome of a call is not known for good."""

    message: Message
    chat: Sequence[ChatMessage]
    tokens: int
    is_open: bool


def summary_tokens(window: int) -> int:
    """Return how many tokens a summary may take."""
    return min(max(window // 16, 400), 4_000)


def plan_compaction(
    history: History, built: Sequence[tuple[Message, list[ChatMessage]]], run_id: str, size: ContextSize, count: Count
) -> CompactionPlan | None:
    """Return what to summarise now, or None if the conversation fits, or too little can be gained.

    `built` is what `build_entries` returns for the history.
    The newest messages stay, and so do turns with a call whose outcome is open. A message stays or goes with all its
    calls and results. The message that the run answers stays as well, and is also part of the transcript.
    """
    entries = _entries(history, built, count)
    summary = 0 if history.summary is None else count(history.summary.content)
    if size.fixed + summary + sum(entry.tokens for entry in entries) <= size.threshold:
        return None
    candidates = [entry for entry in entries[: _first_kept(entries, size.kept)] if not entry.is_open]
    room = size.window - 2 * summary_tokens(size.window) - _PROMPT_TOKENS - summary
    covered, texts = _fitting(candidates, room, 2 * summary_tokens(size.window), run_id, count)
    gain = sum(_gain(entry, run_id) for entry in covered)
    if gain < 2 * summary_tokens(size.window):
        return None
    return CompactionPlan(_coverage(history, run_id, entries, covered), "\n\n".join(texts), gain)


def _entries(history: History, built: Sequence[tuple[Message, list[ChatMessage]]], count: Count) -> list[_Entry]:
    open_turns = {(call.run_id, call.turn) for call in history.calls if call.status in OPEN_OUTCOMES}
    return [
        _Entry(
            message,
            chat,
            sum(tokens_of_message(each, count) for each in chat),
            (message.run_id, message.turn) in open_turns,
        )
        for message, chat in built
    ]


def _first_kept(entries: Sequence[_Entry], budget: int) -> int:
    """Return the position of the first of the newest entries that stay: the last one, and those that fit with it."""
    position = max(len(entries) - 1, 0)
    used = entries[position].tokens if entries else 0
    while position > 0 and used + entries[position - 1].tokens <= budget:
        position -= 1
        used += entries[position].tokens
    return position


def _fitting(
    candidates: Sequence[_Entry], room: int, enough: int, run_id: str, count: Count
) -> tuple[list[_Entry], list[str]]:
    """Return the oldest candidates whose texts fit one request, and the texts.

    One that does not fit is cut if the gain is not `enough` without it. A question at the end stays, so it is left out.
    """
    covered: list[_Entry] = []
    texts: list[str] = []
    gain = 0
    for entry in candidates:
        text = _render(entry)
        fits = count(text) <= room
        if not fits and gain >= enough:
            break
        while count(text) > room and len(text) > SHORTEST_TEXT:
            text = shorten(text, max(len(text) // 2, SHORTEST_TEXT))
        covered.append(entry)
        texts.append(text)
        gain += _gain(entry, run_id)
        room -= count(text)
        if not fits:
            break
    if covered and not _gain(covered[-1], run_id):
        return covered[:-1], texts[:-1]
    return covered, texts


def _gain(entry: _Entry, run_id: str) -> int:
    """Return the tokens that are saved if a summary covers this: none for the question that the run answers."""
    return 0 if _is_question(entry.message, run_id) else entry.tokens


def _coverage(history: History, run_id: str, entries: Sequence[_Entry], covered: Sequence[_Entry]) -> SummaryCoverage:
    before = history.summary
    kept_before = [] if before is None else [str(each) for each in load_list(before.kept)]
    was_asked = before is not None and before.until_run_id == run_id
    fresh = [
        entry.message
        for entry in covered
        if entry.message.id not in kept_before and not (was_asked and _is_question(entry.message, run_id))
    ]
    gone = {entry.message.id for entry in covered}
    kept = [each for each in kept_before if each not in gone]
    if before is not None and not fresh:
        return SummaryCoverage(before.until_run_id, before.until_turn, tuple(kept), before.messages + len(covered))
    last = fresh[-1]
    position = next(at for at, entry in enumerate(entries) if entry.message.id == last.id)
    kept += [entry.message.id for entry in entries[:position] if entry.message.id not in {*gone, *kept}]
    counted = len(gone) - (1 if was_asked and any(_is_question(entry.message, run_id) for entry in covered) else 0)
    return SummaryCoverage(last.run_id, last.turn, tuple(kept), (before.messages if before else 0) + counted)


def _is_question(message: Message, run_id: str) -> bool:
    """Whether this is the message that the run answers."""
    return message.run_id == run_id and message.turn == 0


def _render(entry: _Entry) -> str:
    parts = []
    for message in entry.chat:
        if message.role == "tool":
            parts.append(shorten(message.content, RESULT_LIMIT))
            continue
        parts.append(f"{'The person' if message.role == 'user' else 'Skyflo'}: {message.content}".strip())
        parts += [f"Called {call.name} with {shorten(call.arguments, RESULT_LIMIT)}" for call in message.calls]
    return "\n".join(parts)
