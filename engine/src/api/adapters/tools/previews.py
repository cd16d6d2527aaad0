"""What our tool server's companions answer: previews, settlements, evidence."""

from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.api.adapters.tools.replies import Replies
from src.api.ports import Evidence, Preview, Settlement, ToolReply, ToolSpec
from src.api.schemas.base import JsonObject

__all__ = ["no_preview", "read_evidence", "read_preview", "read_settlement"]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Risk(_Lenient):
    level: Literal["low", "medium", "high", "destructive"]
    reason: str = ""


class _Object(_Lenient):
    cluster: str = ""
    api_version: str = Field(default="", alias="apiVersion")
    kind: str = ""
    namespace: str | None = None
    name: str = ""

    def __str__(self) -> str:
        """Five parts that can be told apart: names of clusters, too, may hold slashes."""
        parts = (self.cluster, self.api_version, self.kind, self.namespace or "", self.name)
        return "/".join(quote(part, safe=" :@=+,") for part in parts)


class _Preview(_Lenient):
    summary: str = Field(min_length=1, max_length=2000)
    risk: _Risk
    objects: list[_Object] = Field(default_factory=list, max_length=1000)
    preconditions: JsonObject | None = None


class _Settlement(_Lenient):
    state: str
    effect: str | None = None
    result: JsonObject | None = None


class _Result(_Lenient):
    text: str = ""
    structured: JsonObject | None = Field(default=None, alias="structuredContent")


class _Evidence(_Lenient):
    evidence: Literal["looks_applied", "looks_not_applied", "cannot_tell"]
    detail: str = ""


def no_preview(spec: ToolSpec) -> Preview:
    """For a tool that has no companion: said to be so, and risky, since nobody can say what it does."""
    reason = f"The server {spec.server} offers no preview of {spec.name}."
    shown: JsonObject = {"no_preview": reason, "risk": {"level": "high", "reason": reason}}
    return Preview(summary=f"Call {spec.title}", risk="destructive" if spec.destructive else "high", shown=shown)


def read_preview(reply: ToolReply) -> Preview | ToolReply:
    """The preview in a companion's answer; a failed reply where it refused or can't be read."""
    if reply.outcome != "succeeded":
        return reply
    try:
        said = _Preview.model_validate(reply.structured)
    except ValidationError:
        return ToolReply("failed", error="The preview can't be read.", code="bad_preview", effect="none")
    shown = {name: value for name, value in (reply.structured or {}).items() if name != "preconditions"}
    objects = tuple(str(item) for item in said.objects)
    return Preview(said.summary, said.risk.level, objects, said.preconditions, shown)


def read_settlement(reply: ToolReply, replies: Replies) -> Settlement:
    """What the store of grants says. An end that was an error settles only what its effect says for sure."""
    if reply.outcome != "succeeded":
        return Settlement("cannot_tell", reply)
    try:
        said = _Settlement.model_validate(reply.structured)
    except ValidationError:
        return Settlement("cannot_tell")
    if said.state in ("never_ran", "revoked"):
        return Settlement("never_ran")
    if said.state == "started":
        return Settlement("started")
    end = _end(said, replies)
    if said.state == "succeeded" or (said.state == "failed" and end.effect == "done"):
        return Settlement("succeeded", end)
    if said.state == "failed" and end.effect == "none":
        return Settlement("failed", end)
    return Settlement("cannot_tell", end)


def read_evidence(reply: ToolReply) -> Evidence:
    if reply.outcome != "succeeded":
        return Evidence("cannot_tell", reply.error or "The tool server did not answer.")
    try:
        said = _Evidence.model_validate(reply.structured)
    except ValidationError:
        return Evidence("cannot_tell", "The tool server's answer can't be read.")
    return Evidence(said.evidence, said.detail)


def _end(said: _Settlement, replies: Replies) -> ToolReply:
    """The stored result, read like one that has just arrived."""
    try:
        result = _Result.model_validate(said.result or {})
    except ValidationError:
        result = _Result()
    content: list[JsonObject] = [{"type": "text", "text": result.text}] if result.text else []
    if said.state == "succeeded":
        return replies.read(content, result.structured, False, change=True)
    return replies.read(content, {**(result.structured or {}), "effect": said.effect}, True, change=True)
