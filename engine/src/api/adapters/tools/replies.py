"""What became of a call, to the letter of `protocol.md` 12.

`failed` of a change is only: it never left, its server refused it before it started, or the tool said `isError` with
`effect: none`. What has no readable answer is `unknown`. A read has no effect, so that its failure is just `failed`.

A grant that was used before is `unknown` too: each is sent once, so something on the way sent it again (a proxy, say),
and what we hear is not what became of the first.
"""

from dataclasses import replace
from typing import Literal

from mcp_types import CallToolResult
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from src.api.adapters.tools.cleaning import bounded_content, bounded_object, clean_json, paragraph
from src.api.adapters.tools.wire import Wire
from src.api.ports import ToolReply
from src.api.schemas.base import Json, JsonObject
from src.api.utils.redaction import Redactor

__all__ = ["Replies", "refused"]

Effect = Literal["none", "done", "partial", "unknown"]

_MAX_ERROR = 4000
_FOREIGN = "Effects are not ruled out: this server does not say whether anything was changed."
_USED_BEFORE = "grant_used"
_BLOCKS: TypeAdapter[list[JsonObject]] = TypeAdapter(list[JsonObject])


class _ToolError(BaseModel):
    """The structured content of an error of our own tools."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str = ""
    message: str = ""
    effect: Effect | None = None
    hint: str = ""


def refused(code: str, sentence: str) -> ToolReply:
    """A request that the engine itself did not send."""
    return ToolReply("failed", error=sentence, code=code, effect="none")


class Replies:
    """Makes replies of one server: cleaned, bounded and without secrets.

    `questions`: for the engine's own questions, whose preconditions are digests that must come through as they are.
    """

    def __init__(self, server: str, trusted: bool, redactor: Redactor, questions: bool = False) -> None:
        self._server = server
        self._trusted = trusted
        self._redactor = redactor
        self._verbatim = questions and trusted

    def answered(self, result: CallToolResult, *, change: bool) -> ToolReply:
        """The reply of a server that answered in a readable way."""
        raw = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
        return self.read(_BLOCKS.validate_python(raw), result.structured_content, result.is_error, change=change)

    def read(self, blocks: list[JsonObject], structured: Json, is_error: bool, *, change: bool) -> ToolReply:
        """The reply that these parts of a tool's result stand for."""
        content, shown = self._shown(blocks, structured)
        if not is_error:
            return ToolReply("succeeded", content, shown, effect="done" if change else "none")
        reply = self._failed(content, structured, change)
        return replace(reply, content=content, structured=shown)

    def unanswered(self, wire: Wire, problem: str, *, change: bool) -> ToolReply:
        """The reply where no readable answer came."""
        words = self._words((wire.trouble or problem).partition("\n")[0])
        if wire.state == "late":
            return refused("never_ran", "It was too late to send the call, so it was not sent and nothing was changed.")
        if wire.state == "waiting":
            sentence = f"The tool server {self._server} can't be reached, so the call was not sent: {words}."
            return refused("never_sent", sentence)
        if not change:
            return ToolReply(
                "failed", error=f"The tool server {self._server} did not answer: {words}.", code="no_answer"
            )
        sentence = f"The call went out and no readable answer came, so its outcome is unknown: {words}."
        return ToolReply("unknown", error=sentence, code="no_answer", effect="unknown")

    def _failed(self, content: list[Json], structured: Json, change: bool) -> ToolReply:
        said = _said(structured) if self._trusted else _ToolError()
        parts = (part.rstrip(". ") for part in (said.message or _text(content), said.hint))
        message = ". ".join(part for part in parts if part)
        sentence = self._words(message or "The tool reported an error and did not say which.")
        if not change:
            return ToolReply("failed", error=sentence, code=said.code or "tool_error", effect=said.effect or "none")
        if not self._trusted:
            return ToolReply("failed", error=f"{sentence} {_FOREIGN}", code="tool_error", effect="unknown")
        effect = said.effect if said.effect and said.code != _USED_BEFORE else "unknown"
        outcome: Literal["failed", "unknown"] = "failed" if effect == "none" else "unknown"
        return ToolReply(outcome, error=sentence, code=said.code or "tool_error", effect=effect)

    def _shown(self, blocks: list[JsonObject], structured: Json) -> tuple[list[Json], JsonObject | None]:
        cleaned = [block for block in map(clean_json, blocks) if isinstance(block, dict)]
        content = bounded_content(cleaned)
        kept, note = bounded_object(clean_json(structured))
        if note:
            content.append({"type": "text", "text": note})
        masked, hidden = self._redactor.redact(content), self._redactor.redact(kept)
        if self._verbatim and isinstance(hidden, dict) and kept is not None and "preconditions" in kept:
            hidden["preconditions"] = kept["preconditions"]
        return masked if isinstance(masked, list) else [], hidden if isinstance(hidden, dict) else None

    def _words(self, text: str) -> str:
        return self._redactor.redact_text(paragraph(text, _MAX_ERROR)).rstrip(". ")


def _said(structured: Json) -> _ToolError:
    try:
        return _ToolError.model_validate(structured)
    except ValidationError:
        return _ToolError()


def _text(content: list[Json]) -> str:
    texts = (block.get("text") for block in content if isinstance(block, dict))
    return "\n".join(text for text in texts if isinstance(text, str))
