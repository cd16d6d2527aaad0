"""Merge journal events and deltas into one sequence by their numbers, without I/O (`protocol.md` 18 and 19)."""

from collections import deque
from collections.abc import Sequence
from typing import Literal

import orjson

from src.api.ports import Delta
from src.api.schemas.events import EVENT, SEQ_PER_JOURNAL_EVENT, GenerationComplete, ThinkingComplete, Token
from src.api.schemas.records import JournalEvent, Tail
from src.api.schemas.sse import StreamItem

__all__ = ["EventMerger"]

BOUNDARY_TYPE = "token"
"""The type of a row that only marks a text boundary. Clients get the missing text, not the row."""


class EventMerger:
    """Track what one reader has received of a run, and select what is new to it.

    The reader has all journal events up to `n`, and the first `end` characters of the text streamed since.
    """

    __slots__ = ("conversation_id", "end", "n", "run_id")

    def __init__(self, run_id: str, conversation_id: str, after: int) -> None:
        self.run_id = run_id
        self.conversation_id = conversation_id
        self.n, self.end = divmod(after, SEQ_PER_JOURNAL_EVENT)

    def fits(self, delta: Delta) -> bool:
        """Return whether the reader has everything before the delta; the delta itself may be old."""
        return delta.n < self.n or (delta.n == self.n and delta.start <= self.end)

    def delta(self, delta: Delta) -> list[StreamItem]:
        """Return the part of the delta that is new to the reader: nothing if an earlier piece is missing."""
        if delta.n != self.n or delta.end <= self.end or delta.start > self.end:
            return []
        text = delta.text[self.end - delta.start :] if delta.start < self.end else delta.text
        return [self._text_item(delta.kind, delta.generation_id, text, delta.end, delta.timestamp)]

    def merge(self, tail: Tail, buffered: Sequence[Delta], *, is_complete: bool) -> list[StreamItem]:
        """Return the journal's rows with the buffered deltas between them, in the order in which they were sent live.

        `is_complete` says that the rows reach the end of the journal.
        """
        items: list[StreamItem] = []
        deltas = deque(buffered)
        for row in tail.events:
            while deltas and deltas[0].n < row.n:
                items += self._pass_delta(deltas.popleft())
            items += self._merge_row(row)
        if is_complete:
            while deltas and deltas[0].n <= tail.journal:
                items += self._pass_delta(deltas.popleft())
            self._advance_to(tail.journal)
        return items

    def _pass_delta(self, delta: Delta) -> list[StreamItem]:
        self._advance_to(delta.n)
        return self.delta(delta)

    def _advance_to(self, n: int) -> None:
        """Advance past numbers without a row: claiming a run takes a number and writes no row."""
        if n > self.n:
            self.n, self.end = n, 0

    def _merge_row(self, row: JournalEvent) -> list[StreamItem]:
        items = [] if row.text_from is None else self._missing_text(row, row.text_from)
        self.n, self.end = row.n, 0
        if row.type != BOUNDARY_TYPE:
            seq = row.n * SEQ_PER_JOURNAL_EVENT
            items.append(StreamItem(self.run_id, self.conversation_id, row.type, row.body, row.created_at, seq))
        return items

    def _missing_text(self, row: JournalEvent, text_from: int) -> list[StreamItem]:
        """Return the text that the row completes and the reader has not received, as one item."""
        kind, generation_id, content = _finished_text(row)
        self._advance_to(row.n - 1)
        rest = content[text_from + self.end :]
        return [self._text_item(kind, generation_id, rest, len(content) - text_from, row.created_at)] if rest else []

    def _text_item(self, kind: str, generation_id: str, text: str, end: int, timestamp: int) -> StreamItem:
        self.end = end
        # As str, because orjson's bytes objects keep 4 kB each, and a slow reader may hold many tokens.
        body = orjson.dumps({"type": kind, "generation_id": generation_id, "text": text}).decode()
        seq = self.n * SEQ_PER_JOURNAL_EVENT + end
        return StreamItem(self.run_id, self.conversation_id, kind, body, timestamp, seq)


def _finished_text(row: JournalEvent) -> tuple[Literal["token", "thinking"], str, str]:
    event = EVENT.validate_json(row.body)
    match event:
        case ThinkingComplete():
            return "thinking", event.generation_id, event.content
        case GenerationComplete():
            return "token", event.generation_id, event.content
        case Token():
            return "token", event.generation_id, event.text
        case _:
            raise ValueError(f"Event {row.n} of run {row.run_id} has a text_from, but {row.type} finishes no text.")
