"""Export a conversation as JSON or Markdown.

Entries are read run by run, so memory does not grow with the conversation.
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
    SummaryNote,
    TextSegment,
    ThinkingSegment,
    ToolExecution,
    UserEntry,
)

__all__ = ["export_json", "export_markdown"]

Entries = AsyncIterator[Sequence[Entry]]

MAX_RESULT_CHARACTERS = 20_000
_BACKTICKS = re.compile("`+")
_INLINE = re.compile(r"([\\`*_\[\]<>#|])")


async def export_json(head: ConversationDetail, runs: Entries) -> AsyncIterator[bytes]:
    """Yield the same JSON as `GET`, one entry per line. `head` is the conversation without messages."""
    laid_out = orjson.dumps(orjson.loads(head.as_json()), option=orjson.OPT_INDENT_2)
    before, after = laid_out.rsplit(b"[]", 1)
    yield before + b"["
    comma = b"\n"
    async for entries in runs:
        for entry in entries:
            yield comma + orjson.dumps(entry, default=verbatim)
            comma = b",\n"
    yield b"\n]" + after


async def export_markdown(head: ConversationDetail, runs: Entries) -> AsyncIterator[bytes]:
    """Yield the timeline as Markdown. Tool results are in code blocks whose fence they can't close."""
    yield f"# {_escape(head.title or 'A conversation with Skyflo')}\n\n".encode()
    yield f"Conversation {head.id}, begun {_format_time(head.created_at)}.\n".encode()
    async for entries in runs:
        for entry in entries:
            parts = _user_parts(entry) if isinstance(entry, UserEntry) else _assistant_parts(entry)
            yield "".join(f"\n{part}\n" for part in parts).encode()


def _user_parts(entry: UserEntry) -> Iterator[str]:
    yield f"## Asked, {_format_time(entry.timestamp)}"
    yield "\n".join(f"> {line}" for line in entry.content.splitlines())


def _assistant_parts(entry: AssistantEntry) -> Iterator[str]:
    yield f"## Answered, {_format_time(entry.timestamp)}"
    for segment in entry.segments:
        yield from (_summary(each) for each in entry.summaries if each.before == segment.id)
        yield from _segment(segment)
    yield from (_summary(each) for each in entry.summaries if each.before is None)
    if entry.error:
        yield f"**The run failed:** {_escape(entry.error)}"


def _summary(note: SummaryNote) -> str:
    return f"_The oldest {note.messages} messages were summarised for the model:_ {_escape(note.text)}"


def _segment(segment: Segment) -> Iterator[str]:
    if isinstance(segment, TextSegment):
        yield segment.text
    elif not isinstance(segment, ThinkingSegment):
        yield from _tool(segment.toolExecution)


def _tool(call: ToolExecution) -> Iterator[str]:
    asks = ", needs approval" if call.requires_approval else ""
    yield f"**{_escape(call.title)}** (`{_code_name(call.tool)}`{asks}): {call.status}, {_format_time(call.timestamp)}"
    yield _code_block(json.dumps(call.args.read(), indent=2, ensure_ascii=False), "json")
    if call.error:
        yield f"Error: {_escape(call.error)}"
    text = "\n".join(_block_text(block) for block in (call.result.read() if call.result else ()))
    if text:
        yield _code_block(text[:MAX_RESULT_CHARACTERS], "text")
    if len(text) > MAX_RESULT_CHARACTERS:
        yield f"_… {len(text) - MAX_RESULT_CHARACTERS} more characters; the JSON export has them._"


def _block_text(block: Json) -> str:
    text = block.get("text") if isinstance(block, dict) else None
    return text if isinstance(text, str) else json.dumps(block, ensure_ascii=False)


def _code_block(text: str, language: str) -> str:
    """Return a code block with a fence longer than any inside the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _escape(text: str) -> str:
    """Return the text as one line with Markdown characters escaped."""
    return _INLINE.sub(r"\\\1", " ".join(text.split()))


def _code_name(text: str) -> str:
    return re.sub(r"[^\w.:/-]", "_", text)


def _format_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
