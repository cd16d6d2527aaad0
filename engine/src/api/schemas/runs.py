"""Responses for runs and approvals."""

from pydantic import BaseModel, Field

from src.api.schemas.approvals import (
    ApprovalStatus,
    Effect,
    EvidenceView,
    Outcome,
    Person,
    PreviewView,
    Risk,
    Vote,
)
from src.api.schemas.base import JsonObject

__all__ = ["ApprovalPage", "ApprovalView", "HistoryEntry", "Page", "RunPage", "RunView"]


class Page(BaseModel):
    """Pagination of a list."""

    limit: int
    next_cursor: str | None
    has_more: bool


class RunView(BaseModel):
    """A run. Times are milliseconds since the epoch.

    It waited `waited_ms` for people, and waits again since `rested_at`.
    """

    run_id: str
    conversation_id: str
    state: str
    trigger: str
    turns: int
    restarts: int
    usage: JsonObject
    error: str | None
    error_code: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    rested_at: int | None
    waited_ms: int


class RunPage(BaseModel):
    data: list[RunView]
    pagination: Page


class HistoryEntry(BaseModel):
    """An event in an approval's history. `by` is the identity that records name, `person` is set if it was a person."""

    at: int
    what: str
    by: str | None = None
    person: Person | None = None
    detail: str | None = None


class ApprovalView(BaseModel):
    """A request for approval and its outcome. `outcome` is the state of its execution, `effect` what it did.

    `decided_by` is the verified e-mail address or the id of who decided, or `policy:<rule>`; `decided_by_policy` names
    the rule alone. `votes` of `votes_needed` approvals were given; `rule` is the policy rule that requires them.

    `may_decide` is whether the caller's approval would count now; `why_not` says why not. `deciders` then names those
    who may approve. A caller who may not approve may still be allowed to deny. Times are milliseconds since the epoch.
    """

    call_id: str
    run_id: str
    conversation_id: str
    tool: str
    server: str
    title: str
    args: JsonObject
    digest: str
    preview: PreviewView | None
    risk: Risk
    requester: str
    requester_user: Person
    status: ApprovalStatus
    outcome: Outcome | None
    effect: Effect | None
    evidence: EvidenceView | None
    error: str | None
    decided_by: str | None
    decided_by_user: Person | None
    decided_by_policy: str | None
    decided_at: int | None
    reason: str | None
    supersedes: str | None
    votes: list[Vote] = Field(default_factory=list)
    votes_needed: int = 1
    may_decide: bool
    why_not: str | None
    deciders: list[str] = Field(default_factory=list)
    rule: str | None = None
    expires_at: int
    execute_by: int | None
    created_at: int
    history: list[HistoryEntry]


class ApprovalPage(BaseModel):
    """A page of the inbox. `now` is the engine's time, for the time left until `expires_at`.

    `count` is the number of all approvals that match; if `count_is_exact` is false, there are more than that.
    """

    data: list[ApprovalView]
    pagination: Page
    count: int
    count_is_exact: bool
    now: int
