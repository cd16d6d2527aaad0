"""Audit log: actors, and the responses of the audit endpoints."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from src.api.schemas.base import Json, WireModel
from src.api.schemas.runs import Page

__all__ = ["ENGINE", "Actor", "AuditFilter", "AuditItem", "AuditPage", "AuditReport", "Fault", "SealView"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made a change.

    `id` is `user:<id>`, `local`, `token:<name>`, `policy:<rule>` or `engine`, and `anonymous` for a failed login.
    `name` is the user's e-mail at that time, and whether it was verified; for a token, its owner.
    """

    id: str
    name: str = ""


ENGINE: Final = Actor("engine")
_Millis = Annotated[int | None, Field(default=None, ge=0, le=9_999_999_999_999)]


class AuditFilter(BaseModel):
    """Filters; all of them must match. Times are in milliseconds; `since` is inclusive, `until` exclusive."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stream: str | None = Field(default=None, max_length=100)
    actor: str | None = Field(default=None, max_length=320)
    action: str | None = Field(default=None, max_length=32)
    since: _Millis
    until: _Millis


class AuditItem(WireModel):
    """One entry. `body` is its JSON, or its raw text if that is no longer valid JSON."""

    stream: str
    n: int
    action: str
    actor: str
    actor_name: str
    at: int
    body: Json
    previous: str
    hash: str


class AuditPage(WireModel):
    data: list[AuditItem]
    pagination: Page


class SealView(WireModel):
    """A seal to copy elsewhere: `?seal=` takes it as `n:hash`."""

    n: int
    hash: str
    created_at: int


class Fault(WireModel):
    """The first inconsistency. `n` is the entry's number in its stream, `seal` the seal that covers it."""

    kind: Literal["edited", "gap", "cut", "head", "beyond", "seal", "outside"]
    stream: str | None = None
    n: int | None = None
    seal: int | None = None
    detail: str


class AuditReport(WireModel):
    """The result of one part of a check. `status` is `unfinished` while `next_cursor` is set."""

    status: Literal["intact", "unfinished", "tampered"]
    proven: SealView | None
    seals: int
    entries: int
    unsealed: int
    fault: Fault | None
    next_cursor: str | None
    note: str
