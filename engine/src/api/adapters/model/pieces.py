"""Join the pieces of a streamed text: characters that were split, and thinking that is marked by tags."""

import re
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase

from src.api.ports import ModelChunk, TextDelta, TextWasThinking, ThinkingDelta
from src.api.utils.text import clean, join_characters

__all__ = ["CharacterJoiner", "ThinkingTags"]

_TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<thoughts>": "</thoughts>",
    "<reasoning>": "</reasoning>",
    "<reflection>": "</reflection>",
    "<seed:think>": "</seed:think>",
    "<mm:think>": "</mm:think>",
    "[think]": "[/think]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel|>analysis<|message|>": "<|end|>",
    "\u25c1think\u25b7": "\u25c1/think\u25b7",
}
"""Opening tags of thinking that models write into their text, and their ends."""

_MARKERS_OF_TEXT = ("<|start|>assistant<|channel|>final<|message|>", "<|channel|>final<|message|>")
"""What some models write between their thinking and their text."""

_END_OF_THINKING = re.compile("</(?:seed:|mm:)?think(?:ing)?>|\\[/think\\]|\u25c1/think\u25b7", re.IGNORECASE)
"""Ends that are recognised without a beginning: some chat templates write the beginning into the prompt."""

_OPENINGS = (*_TAGS, *_MARKERS_OF_TEXT)
_LONGEST_END = max(map(len, _TAGS.values()))
_LOWER_CASE = str.maketrans(ascii_uppercase, ascii_lowercase)
"""Keeps the length of every text, as `str.lower` does not."""
_BEGINNING = re.compile("[<\\[\u25c1]")
"""With what every tag begins."""
_SPLIT_END = re.compile("(?:[\ud800-\udbff]|[\udc80-\udcff]{1,3})\\Z")


@dataclass(slots=True)
class CharacterJoiner:
    """Hold back the first half of a character whose other half comes with the next piece."""

    _held: str = ""

    def add(self, piece: str) -> str:
        text = join_characters(self._held + piece)
        split = None if text.isascii() else _SPLIT_END.search(text)
        self._held = text[split.start() :] if split else ""
        return clean(text[: split.start()] if split else text)

    def rest(self) -> str:
        held, self._held = self._held, ""
        return clean(held)


@dataclass(slots=True)
class ThinkingTags:
    """Split a streamed text into text and thinking by the tags at its beginning.

    Later tags are text: an answer may be about them. `seen` is whether there was thinking, and `raw` the whole text.
    """

    seen: bool = False
    _raw: list[str] = field(default_factory=list)
    _pending: str = ""
    _end: str | None = None
    _at_start: bool = True

    @property
    def raw(self) -> str:
        return "".join(self._raw)

    def add(self, piece: str) -> Iterator[ModelChunk]:
        """Yield the chunks of this piece. What may be the beginning of a tag waits for the next piece."""
        if piece:
            self._raw.append(piece)
            self._pending += piece
            yield from self._split(is_last=False)

    def rest(self) -> Iterator[ModelChunk]:
        """Yield what was held back, at the end of the text."""
        yield from self._split(is_last=True)

    def _split(self, *, is_last: bool) -> Iterator[ModelChunk]:
        progress = True
        while progress and self._pending:
            if self._end is not None:
                progress = yield from self._in_thinking(self._end, is_last)
            elif self._at_start:
                progress = self._before_text(is_last)
            else:
                progress = yield from self._in_text(is_last)

    def _before_text(self, is_last: bool) -> bool:
        """Read an opening tag, if the text begins with one. Returns False if that can't be known yet."""
        start = self._pending.lstrip()
        tag = next((tag for tag in _OPENINGS if start[: len(tag)].lower() == tag), None)
        if tag is not None:
            self._pending = start[len(tag) :]
            self._end, self.seen = _TAGS.get(tag), True
            return True
        may_be_tag = any(tag.startswith(start.lower()) for tag in _OPENINGS)
        if may_be_tag and not is_last:
            return False
        self._at_start = False
        if self.seen:
            self._pending = start
        return True

    def _in_thinking(self, end: str, is_last: bool) -> Generator[ModelChunk, None, bool]:
        at = self._pending.translate(_LOWER_CASE).find(end)
        if at >= 0:
            thinking, self._pending = self._pending[:at], self._pending[at + len(end) :]
            self._end = None
            if thinking:
                yield ThinkingDelta(thinking)
            return True
        kept = 0 if is_last else _length_of_open_end(self._pending, (end,))
        thinking, self._pending = self._pending[: len(self._pending) - kept], self._pending[len(self._pending) - kept :]
        if thinking:
            yield ThinkingDelta(thinking)
        return False

    def _in_text(self, is_last: bool) -> Generator[ModelChunk, None, bool]:
        found = None if self.seen else _END_OF_THINKING.search(self._pending)
        if found is not None and not self._pending[: found.start()].endswith(("`", '"', "'")):
            if found.start():
                yield TextDelta(self._pending[: found.start()])
            yield TextWasThinking()
            self._pending, self.seen, self._at_start = self._pending[found.end() :], True, True
            return True
        kept = 0 if is_last or self.seen else _length_of_open_end(self._pending, _TAGS.values())
        text, self._pending = self._pending[: len(self._pending) - kept], self._pending[len(self._pending) - kept :]
        if text:
            yield TextDelta(text)
        return False


def _length_of_open_end(text: str, tags: Collection[str]) -> int:
    """Return how many characters at the end of the text may be the beginning of one of these tags, in any case."""
    for beginning in _BEGINNING.finditer(text, max(0, len(text) - _LONGEST_END + 1)):
        end = text[beginning.start() :].translate(_LOWER_CASE)
        if any(tag.startswith(end) for tag in tags):
            return len(end)
    return 0
