"""A conversation as a document that people keep: what was asked, read, shown, decided and answered, all of it.

It is read one run at a time, so that a long one takes no more room than a short one.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime

import orjson

from src.api.schemas.base import Json, verbatim
from src.api.schemas.timeline import (
    AssistantEntry,
    ConversationDetail,
    Entry,
    Segment,
    TextSegment,
    ThinkingSegment,
    ToolExecution,
    UserEntry,
)

__all__ = ["as_json", "as_markdown"]

Entries = AsyncIterator[Sequence[Entry]]

RESULT_CHARACTERS = 20_000
_BACKTICKS = re.compile("`+")
_INLINE = re.compile(r"([\\`*_\[\]<>#|])")


async def as_json(head: ConversationDetail, runs: Entries) -> AsyncIterator[bytes]:
    """What `GET` answers, an entry a line. `head` is the conversation without its messages."""
    laid_out = orjson.dumps(orjson.loads(head.as_json()), option=orjson.OPT_INDENT_2)
    before, after = laid_out.rsplit(b"[]", 1)
    yield before + b"["
    comma = b"\n"
    async for entries in runs:
        for entry in entries:
            yield comma + orjson.dumps(entry, default=verbatim)
            comma = b",\n"
    yield b"\n]" + after


async def as_markdown(head: ConversationDetail, runs: Entries) -> AsyncIterator[bytes]:
    """The timeline as Markdown. What tools returned stands in code blocks that it can't end."""
    yield f"# {_plain(head.title or 'A conversation with Skyflo')}\n\n".encode()
    yield f"Conversation {head.id}, begun {_time(head.created_at)}.\n".encode()
    async for entries in runs:
        for entry in entries:
            parts = _asked(entry) if isinstance(entry, UserEntry) else _answered(entry)
            yield "".join(f"\n{part}\n" for part in parts).encode()


def _asked(entry: UserEntry) -> Iterator[str]:
    yield f"## Asked, {_time(entry.timestamp)}"
    yield "\n".join(f"> {line}" for line in entry.content.splitlines())


def _answered(entry: AssistantEntry) -> Iterator[str]:
    yield f"## Answered, {_time(entry.timestamp)}"
    for segment in entry.segments:
        yield from _segment(segment)
    if entry.error:
        yield f"**The run failed:** {_plain(entry.error)}"


def _segment(segment: Segment) -> Iterator[str]:
    if isinstance(segment, TextSegment):
        yield segment.text
    elif not isinstance(segment, ThinkingSegment):
        yield from _tool(segment.toolExecution)


def _tool(call: ToolExecution) -> Iterator[str]:
    asks = ", needs approval" if call.requires_approval else ""
    yield f"**{_plain(call.title)}** (`{_name(call.tool)}`{asks}): {call.status}, {_time(call.timestamp)}"
    yield _block(json.dumps(call.args.read(), indent=2, ensure_ascii=False), "json")
    if call.error:
        yield f"Error: {_plain(call.error)}"
    text = "\n".join(_text(block) for block in (call.result.read() if call.result else ()))
    if text:
        yield _block(text[:RESULT_CHARACTERS], "text")
    if len(text) > RESULT_CHARACTERS:
        yield f"_… {len(text) - RESULT_CHARACTERS} more characters; the JSON export has them._"


def _text(block: Json) -> str:
    text = block.get("text") if isinstance(block, dict) else None
    return text if isinstance(text, str) else json.dumps(block, ensure_ascii=False)


def _block(text: str, language: str) -> str:
    """A fence longer than any that is inside."""
    fence = "`" * max(3, 1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _plain(text: str) -> str:
    """One line in which nothing is a mark of Markdown."""
    return _INLINE.sub(r"\\\1", " ".join(text.split()))


def _name(text: str) -> str:
    return re.sub(r"[^\w.:/-]", "_", text)


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
