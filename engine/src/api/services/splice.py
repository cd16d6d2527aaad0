"""Joining journal events and deltas into one sequence, by their numbers alone (`protocol.md` 18 and 19). No I/O."""

from collections import deque
from collections.abc import Sequence
from typing import Literal

import orjson

from src.api.ports import Delta
from src.api.schemas.events import EVENT, SEQ_PER_JOURNAL_EVENT, GenerationComplete, ThinkingComplete, Token
from src.api.schemas.records import JournalEvent, Tail
from src.api.schemas.sse import StreamItem

__all__ = ["Splice"]

BORDER = "token"
"""The type of a row that only ends a piece of text: clients get what they miss of the text, not the row."""


class Splice:
    """What one reader has of a run, and so what of anything that comes along is new to it.

    It has the journal up to event `n` and, of the text streamed since, the first `end` characters.
    """

    __slots__ = ("conversation_id", "end", "n", "run_id")

    def __init__(self, run_id: str, conversation_id: str, after: int) -> None:
        self.run_id = run_id
        self.conversation_id = conversation_id
        self.n, self.end = divmod(after, SEQ_PER_JOURNAL_EVENT)

    def fits(self, delta: Delta) -> bool:
        """Whether nothing is missing before the delta (and be it that there is nothing new in it)."""
        return delta.n < self.n or (delta.n == self.n and delta.start <= self.end)

    def delta(self, delta: Delta) -> list[StreamItem]:
        """The part of the delta that is new to the reader: none of it where a piece before it is missing."""
        if delta.n != self.n or delta.end <= self.end or delta.start > self.end:
            return []
        text = delta.text[self.end - delta.start :] if delta.start < self.end else delta.text
        return [self._text(delta.kind, delta.generation_id, text, delta.end, delta.timestamp)]

    def merge(self, tail: Tail, buffered: Sequence[Delta], *, whole: bool) -> list[StreamItem]:
        """The journal's rows and, between them, the buffer's deltas as they were sent live.

        `whole` says that the rows reach to the journal's end.
        """
        items: list[StreamItem] = []
        deltas = deque(buffered)
        for row in tail.events:
            while deltas and deltas[0].n < row.n:
                items += self._passing(deltas.popleft())
            items += self._row(row)
        if whole:
            while deltas and deltas[0].n <= tail.journal:
                items += self._passing(deltas.popleft())
            self._reach(tail.journal)
        return items

    def _passing(self, delta: Delta) -> list[StreamItem]:
        self._reach(delta.n)
        return self.delta(delta)

    def _reach(self, n: int) -> None:
        """No row up to n is still to come: a claim takes a number and leaves no row."""
        if n > self.n:
            self.n, self.end = n, 0

    def _row(self, row: JournalEvent) -> list[StreamItem]:
        items = [] if row.text_from is None else self._rest(row, row.text_from)
        self.n, self.end = row.n, 0
        if row.type != BORDER:
            seq = row.n * SEQ_PER_JOURNAL_EVENT
            items.append(StreamItem(self.run_id, self.conversation_id, row.type, row.body, row.created_at, seq))
        return items

    def _rest(self, row: JournalEvent, text_from: int) -> list[StreamItem]:
        """What the reader has not seen of the text that the row finishes, as one piece."""
        kind, generation_id, content = _finished(row)
        self._reach(row.n - 1)
        rest = content[text_from + self.end :]
        return [self._text(kind, generation_id, rest, len(content) - text_from, row.created_at)] if rest else []

    def _text(self, kind: str, generation_id: str, text: str, end: int, timestamp: int) -> StreamItem:
        self.end = end
        # As str: the bytes that orjson gives keep 4 kB each, and a reader may be many tokens behind.
        body = orjson.dumps({"type": kind, "generation_id": generation_id, "text": text}).decode()
        seq = self.n * SEQ_PER_JOURNAL_EVENT + end
        return StreamItem(self.run_id, self.conversation_id, kind, body, timestamp, seq)


def _finished(row: JournalEvent) -> tuple[Literal["token", "thinking"], str, str]:
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
