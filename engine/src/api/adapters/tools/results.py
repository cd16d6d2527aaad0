"""Decide a call's outcome by the rules of `protocol.md` 12.

A change has `failed` only if it was never sent, its server refused it before it started, or the tool reported
`isError` with `effect: none`. Without a readable answer it is `unknown`. A read has no effect, so its failure is
`failed`.

A grant that was used before is `unknown` too. The engine sends each grant once, so something in between (a proxy, for
example) sent it twice, and this answer does not show the first one's result.
"""

import json
from dataclasses import replace
from typing import Literal

from mcp_types import CallToolResult
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from skyflo_common.redaction import Redactor, redact_large
from src.api.adapters.tools.sanitize import MAX_BLOCKS, bounded_content, bounded_object, clean_json, paragraph
from src.api.adapters.tools.transport import OutgoingCall
from src.api.ports import ToolReply
from src.api.schemas.base import Json, JsonObject

__all__ = ["ReplyBuilder", "build_refusal"]

Effect = Literal["none", "done", "partial", "unknown"]

_MAX_ERROR = 4000
_UNTRUSTED_SERVER = "It may have changed something: this server does not report effects."
_GRANT_USED = "grant_used"
_BLOCKS: TypeAdapter[list[JsonObject]] = TypeAdapter(list[JsonObject])


class _ToolError(BaseModel):
    """The structured content of an error of our own tools."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str = ""
    message: str = ""
    effect: Effect | None = None
    hint: str = ""


def build_refusal(code: str, sentence: str) -> ToolReply:
    """Build the reply to a request that the engine itself refused to send."""
    return ToolReply("failed", error=sentence, code=code, effect="none")


class ReplyBuilder:
    """Build replies of one server: cleaned, bounded and redacted.

    `internal` is for the engine's own requests, whose preconditions are digests that must stay unchanged.
    """

    def __init__(self, server: str, trusted: bool, redactor: Redactor, internal: bool = False) -> None:
        self._server = server
        self._trusted = trusted
        self._redactor = redactor
        self._keeps_preconditions = internal and trusted

    async def from_result(self, result: CallToolResult, *, change: bool) -> ToolReply:
        """Build the reply from a readable result."""
        shown = result.content[:MAX_BLOCKS]
        raw = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in shown]
        return await self.from_content(
            _BLOCKS.validate_python(raw),
            result.structured_content,
            result.is_error,
            change=change,
            left_out=len(result.content) - len(shown),
        )

    async def from_content(
        self, blocks: list[JsonObject], structured: Json, is_error: bool, *, change: bool, left_out: int = 0
    ) -> ToolReply:
        """Build the reply from the parts of a tool's result, which had `left_out` more blocks."""
        content, structured_content = await self._sanitize(blocks, structured, left_out)
        if not is_error:
            return ToolReply("succeeded", content, structured_content, effect="done" if change else "none")
        reply = self._build_failure(content, structured, change)
        return replace(reply, content=content, structured=structured_content)

    def without_reply(self, outgoing: OutgoingCall, problem: str, *, change: bool) -> ToolReply:
        """Build the reply for a call without a readable answer."""
        reason = self._clean_text((outgoing.error or problem).partition("\n")[0])
        if outgoing.state == "late":
            return build_refusal(
                "never_ran", "It was too late to send the call, so it was not sent and nothing was changed."
            )
        if outgoing.state == "waiting":
            sentence = f"The tool server {self._server} can't be reached, so the call was not sent: {reason}."
            return build_refusal("never_sent", sentence)
        if not change:
            return ToolReply(
                "failed", error=f"The tool server {self._server} did not answer: {reason}.", code="no_answer"
            )
        sentence = f"The call was sent, but no readable answer arrived, so its outcome is unknown: {reason}."
        return ToolReply("unknown", error=sentence, code="no_answer", effect="unknown")

    def _build_failure(self, content: list[Json], structured: Json, change: bool) -> ToolReply:
        tool_error = _parse_tool_error(structured) if self._trusted else _ToolError()
        parts = (part.rstrip(". ") for part in (tool_error.message or _text(content), tool_error.hint))
        message = ". ".join(part for part in parts if part)
        sentence = self._clean_text(message or "The tool reported an error and did not say which.")
        if not change:
            return ToolReply(
                "failed", error=sentence, code=tool_error.code or "tool_error", effect=tool_error.effect or "none"
            )
        if not self._trusted:
            return ToolReply("failed", error=f"{sentence} {_UNTRUSTED_SERVER}", code="tool_error", effect="unknown")
        effect = tool_error.effect if tool_error.effect and tool_error.code != _GRANT_USED else "unknown"
        outcome: Literal["failed", "unknown"] = "failed" if effect == "none" else "unknown"
        return ToolReply(outcome, error=sentence, code=tool_error.code or "tool_error", effect=effect)

    async def _sanitize(
        self, blocks: list[JsonObject], structured: Json, left_out: int
    ) -> tuple[list[Json], JsonObject | None]:
        cleaned = [block for block in map(clean_json, blocks) if isinstance(block, dict)]
        kept, note = bounded_object(structured)
        if not cleaned and kept:
            cleaned = [{"type": "text", "text": json.dumps(kept, ensure_ascii=False)}]
        content = bounded_content(cleaned, left_out=left_out)
        if note:
            content.append({"type": "text", "text": note})
        masked = await redact_large(self._redactor, content)
        hidden = await redact_large(self._redactor, kept)
        if self._keeps_preconditions and isinstance(hidden, dict) and kept is not None and "preconditions" in kept:
            hidden["preconditions"] = kept["preconditions"]
        return masked if isinstance(masked, list) else [], hidden if isinstance(hidden, dict) else None

    def _clean_text(self, text: str) -> str:
        return self._redactor.redact_text(paragraph(text, _MAX_ERROR)).rstrip(". ")


def _parse_tool_error(structured: Json) -> _ToolError:
    try:
        return _ToolError.model_validate(structured)
    except ValidationError:
        return _ToolError()


def _text(content: list[Json]) -> str:
    texts = (block.get("text") for block in content if isinstance(block, dict))
    return "\n".join(text for text in texts if isinstance(text, str))
