"""The audit trail: who did something, as the trail names them, and what the wire tells of it."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from src.api.schemas.base import Json, Wire
from src.api.schemas.runs import Page

__all__ = ["ENGINE", "Actor", "AuditFilter", "AuditItem", "AuditPage", "AuditReport", "Fault", "SealView"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever stands behind a change.

    `id` is `user:<id>`, `local`, `token:<name>`, `policy:<rule>` or `engine`, and `anonymous` for a failed login;
    `name` is what people call that person at the time, and for a token whose it is.
    """

    id: str
    name: str = ""


ENGINE: Final = Actor("engine")
_Millis = Annotated[int | None, Field(default=None, ge=0, le=9_999_999_999_999)]


class AuditFilter(BaseModel):
    """Which entries: all that is given must hold. Times are milliseconds, `since` included, `until` not."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stream: str | None = Field(default=None, max_length=100)
    actor: str | None = Field(default=None, max_length=320)
    action: str | None = Field(default=None, max_length=32)
    since: _Millis
    until: _Millis


class AuditItem(Wire):
    """One entry; `body` as it was told, or its text where somebody made that unreadable."""

    stream: str
    n: int
    action: str
    actor: str
    actor_name: str
    at: int
    body: Json
    previous: str
    hash: str


class AuditPage(Wire):
    data: list[AuditItem]
    pagination: Page


class SealView(Wire):
    """A seal to be kept elsewhere: `n:hash` is what `?seal=` takes."""

    n: int
    hash: str
    created_at: int


class Fault(Wire):
    """The first thing that does not fit; `n` is the entry's number in its stream, `seal` the seal that covers it."""

    kind: Literal["edited", "gap", "cut", "head", "beyond", "seal", "outside"]
    stream: str | None = None
    n: int | None = None
    seal: int | None = None
    detail: str


class AuditReport(Wire):
    """What one request of a check found; `status` is `unfinished` while there is a `next_cursor` to go on from."""

    status: Literal["intact", "unfinished", "tampered"]
    proven: SealView | None
    seals: int
    entries: int
    unsealed: int
    fault: Fault | None
    next_cursor: str | None
    note: str
