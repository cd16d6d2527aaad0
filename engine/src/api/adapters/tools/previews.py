"""Parse the answers of our tool server's hidden tools: previews, settlements, evidence."""

from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.api.adapters.tools.results import ReplyBuilder
from src.api.ports import Evidence, Preview, Settlement, ToolReply, ToolSpec
from src.api.schemas.base import JsonObject

__all__ = ["no_preview", "read_evidence", "read_preview", "read_settlement"]


class _CompanionModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _RiskBody(_CompanionModel):
    level: Literal["low", "medium", "high", "destructive"]
    reason: str = ""


class _ObjectRef(_CompanionModel):
    cluster: str = ""
    api_version: str = Field(default="", alias="apiVersion")
    kind: str = ""
    namespace: str | None = None
    name: str = ""

    def __str__(self) -> str:
        """Join five escaped parts: a cluster's name may contain slashes, too."""
        parts = (self.cluster, self.api_version, self.kind, self.namespace or "", self.name)
        return "/".join(quote(part, safe=" :@=+,") for part in parts)


class _PreviewBody(_CompanionModel):
    summary: str = Field(min_length=1, max_length=2000)
    risk: _RiskBody
    objects: list[_ObjectRef] = Field(default_factory=list, max_length=1000)
    preconditions: JsonObject | None = None


class _SettlementBody(_CompanionModel):
    state: str
    effect: str | None = None
    result: JsonObject | None = None


class _StoredResult(_CompanionModel):
    text: str = ""
    structured: JsonObject | None = Field(default=None, alias="structuredContent")


class _EvidenceBody(_CompanionModel):
    evidence: Literal["looks_applied", "looks_not_applied", "cannot_tell"]
    detail: str = ""


def no_preview(spec: ToolSpec) -> Preview:
    """Build a preview for a tool without a preview tool: it says so, and rates the risk high."""
    reason = f"The server {spec.server} offers no preview of {spec.name}."
    details: JsonObject = {"no_preview": reason, "risk": {"level": "high", "reason": reason}}
    return Preview(summary=f"Call {spec.title}", risk="destructive" if spec.destructive else "high", details=details)


def read_preview(reply: ToolReply) -> Preview | ToolReply:
    """Parse a preview; return a failed reply if the tool refused or its answer can't be read."""
    if reply.outcome != "succeeded":
        return reply
    try:
        body = _PreviewBody.model_validate(reply.structured)
    except ValidationError:
        return ToolReply("failed", error="The preview can't be read.", code="bad_preview", effect="none")
    details = {name: value for name, value in (reply.structured or {}).items() if name != "preconditions"}
    objects = tuple(str(item) for item in body.objects)
    return Preview(body.summary, body.risk.level, objects, body.preconditions, details)


async def read_settlement(reply: ToolReply, builder: ReplyBuilder) -> Settlement:
    """Parse what the grant store recorded. A recorded error settles only what its effect proves."""
    if reply.outcome != "succeeded":
        return Settlement("cannot_tell", reply)
    try:
        body = _SettlementBody.model_validate(reply.structured)
    except ValidationError:
        return Settlement("cannot_tell")
    if body.state in ("never_ran", "revoked"):
        return Settlement("never_ran")
    if body.state == "started":
        return Settlement("started")
    result = await _build_reply(body, builder)
    if body.state == "succeeded" or (body.state == "failed" and result.effect == "done"):
        return Settlement("succeeded", result)
    if body.state == "failed" and result.effect == "none":
        return Settlement("failed", result)
    return Settlement("cannot_tell", result)


def read_evidence(reply: ToolReply) -> Evidence:
    if reply.outcome != "succeeded":
        return Evidence("cannot_tell", reply.error or "The tool server did not answer.")
    try:
        body = _EvidenceBody.model_validate(reply.structured)
    except ValidationError:
        return Evidence("cannot_tell", "The tool server's answer can't be read.")
    return Evidence(body.evidence, body.detail)


async def _build_reply(body: _SettlementBody, builder: ReplyBuilder) -> ToolReply:
    """Build a reply from a stored result, like from one that has just arrived."""
    try:
        result = _StoredResult.model_validate(body.result or {})
    except ValidationError:
        result = _StoredResult()
    content: list[JsonObject] = [{"type": "text", "text": result.text}] if result.text else []
    if body.state == "succeeded":
        return await builder.from_content(content, result.structured, False, change=True)
    return await builder.from_content(content, {**(result.structured or {}), "effect": body.effect}, True, change=True)
