"""Runs and approvals as clients see them."""

from pydantic import BaseModel

from src.api.schemas.base import JsonObject

__all__ = ["ApprovalPage", "ApprovalView", "HistoryEntry", "Page", "RunPage", "RunView"]


class Page(BaseModel):
    """Where a list goes on."""

    limit: int
    next_cursor: str | None
    has_more: bool


class RunView(BaseModel):
    """One run. Times are milliseconds since the epoch."""

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


class RunPage(BaseModel):
    data: list[RunView]
    pagination: Page


class HistoryEntry(BaseModel):
    """Something that happened to an approval."""

    at: int
    what: str
    by: str | None = None
    detail: str | None = None


class ApprovalView(BaseModel):
    """What was asked, what was shown, and what became of it. `outcome` is the state of its execution.

    `votes` of `votes_needed` people have said yes; `rule` is the policy's that asks for it.
    """

    call_id: str
    run_id: str
    conversation_id: str
    tool: str
    server: str
    title: str
    args: JsonObject
    digest: str
    preview: JsonObject | None
    risk: str
    requester: str
    status: str
    outcome: str | None
    evidence: JsonObject | None
    error: str | None
    decided_by: str | None
    decided_at: int | None
    reason: str | None
    supersedes: str | None
    votes: int = 0
    votes_needed: int = 1
    rule: str | None = None
    expires_at: int
    execute_by: int | None
    created_at: int
    history: list[HistoryEntry]


class ApprovalPage(BaseModel):
    data: list[ApprovalView]
    pagination: Page
