"""A conversation as a document that people keep: what was asked, read, shown, decided and answered."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import orjson

from src.api.schemas.base import Json
from src.api.schemas.timeline import (
    AssistantEntry,
    ConversationDetail,
    Segment,
    TextSegment,
    ThinkingSegment,
    ToolExecution,
    UserEntry,
)

__all__ = ["as_json", "as_markdown"]

RESULT_CHARACTERS = 20_000
_BACKTICKS = re.compile("`+")
_INLINE = re.compile(r"([\\`*_\[\]<>#|])")


def as_json(found: ConversationDetail) -> bytes:
    """The timeline as it is sent, laid out for people."""
    return orjson.dumps(orjson.loads(found.as_json()), option=orjson.OPT_INDENT_2)


def as_markdown(found: ConversationDetail) -> str:
    """The timeline as Markdown. What tools returned stands in code blocks that it can't end."""
    return "\n\n".join(_parts(found)) + "\n"


def _parts(found: ConversationDetail) -> Iterator[str]:
    yield f"# {_plain(found.title or 'A conversation with Skyflo')}"
    yield f"Conversation {found.id}, begun {_time(found.created_at)}."
    if found.truncated:
        yield "_Only the newest messages are here: the conversation is longer than one document holds._"
    for entry in found.messages:
        yield from _asked(entry) if isinstance(entry, UserEntry) else _answered(entry)


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
