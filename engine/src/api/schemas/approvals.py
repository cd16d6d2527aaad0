"""What an approval shows: people, votes, the preview, the evidence, and the words for its states."""

from typing import Literal, Self, cast, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

__all__ = [
    "ApprovalStatus",
    "Effect",
    "EvidenceView",
    "Outcome",
    "Person",
    "PreviewAccess",
    "PreviewObject",
    "PreviewRisk",
    "PreviewView",
    "Risk",
    "Vote",
    "parse_risk",
]

Risk = Literal["low", "medium", "high", "destructive"]
"""How much damage a change can do. It is the same in the event, in the preview and in the inbox."""

ApprovalStatus = Literal["pending", "approved", "denied", "expired", "superseded", "stopped", "consumed", "stale"]
Outcome = Literal["started", "succeeded", "failed", "unknown", "applied", "not_applied"]
Effect = Literal["none", "done", "partial", "unknown"]
"""What an execution did outside, as far as it is known."""


def parse_risk(stored: str) -> Risk:
    """Return a stored risk; one that is not known counts as high."""
    return cast(Risk, stored) if stored in get_args(Risk) else "high"


class Person(BaseModel):
    """A member of the team, or the local admin. `name` is for display, and may be chosen freely."""

    model_config = ConfigDict(frozen=True)
    id: str
    name: str


class Vote(Person):
    """An approval that counts. `at` is in milliseconds since the epoch."""

    at: int


class _StoredModel(BaseModel):
    """Part of a stored preview. Tool servers may add fields, which are passed on."""

    model_config = ConfigDict(extra="allow", frozen=True)

    # Without a return type: its schema would replace that of the fields.
    @model_serializer(mode="wrap")
    def _keep_nulls(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        """Keep fields that are null, also in events, which leave out their own."""
        return {**dict.fromkeys(type(self).model_fields), **handler(self)}


class PreviewRisk(_StoredModel):
    level: Risk
    reason: str = ""


class PreviewObject(_StoredModel):
    """An object that the change touches."""

    cluster: str = ""
    apiVersion: str = ""  # noqa: N815
    kind: str = ""
    namespace: str | None = None
    name: str = ""
    uid: str | None = None
    resourceVersion: str | None = None  # noqa: N815


class PreviewAccess(_StoredModel):
    """Whether the cluster's access rules allow the change; null if they were not asked."""

    allowed: bool | None = None
    reason: str | None = None


class PreviewView(_StoredModel):
    """What a change would do. `no_preview` says why nothing more is known."""

    summary: str | None = None
    objects: list[PreviewObject] = Field(default_factory=list)
    diff: str | None = None
    warnings: list[str] = Field(default_factory=list)
    allowed: PreviewAccess | None = None
    risk: PreviewRisk | None = None
    no_preview: str | None = None

    @classmethod
    def parse(cls, stored: str | None) -> Self | None:
        """Read a stored preview. One that can't be read is shown as missing, with the reason."""
        if stored is None:
            return None
        try:
            return cls.model_validate(orjson.loads(stored))
        except ValidationError:
            return cls(no_preview="The tool server's preview is not in a form that can be shown.")


class EvidenceView(_StoredModel):
    """How the objects of a change look, which proves nothing."""

    verdict: Literal["looks_applied", "looks_not_applied", "cannot_tell"]
    detail: str = ""
