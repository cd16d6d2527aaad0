"""Tool calls, approvals, decisions and executions."""

from dataclasses import dataclass

from src.api.schemas.records.base import Record

__all__ = ["Approval", "Call", "Decision", "Execution"]


@dataclass(frozen=True, slots=True)
class Call(Record):
    """A tool call. `args` is the canonical JSON that runs, `redacted_args` its redacted form.

    `needs_approval` is whether a person had to decide, by the policy when the model requested it. `holds_secret` is
    whether `args` hold values of a Secret, which the model does not get back.
    """

    table = "calls"
    id: str
    run_id: str
    conversation_id: str
    turn: int
    position: int
    version: int
    provider_id: str
    server: str
    tool: str
    title: str
    kind: str
    args: str
    redacted_args: str
    schema_hash: str
    status: str
    result: str
    error: str | None
    supersedes: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    needs_approval: bool
    holds_secret: bool


@dataclass(frozen=True, slots=True)
class Approval(Record):
    """A request for approval; its id is the call's. Only status, execution deadline and decision change.

    `author_id` is the user who requested or edited it. `effect` is read, change or destructive; `rule` is the policy
    rule that requires `votes` approvals. `decided_by_policy` is the rule that decided, if no person did.
    """

    table = "approvals"
    id: str
    run_id: str
    conversation_id: str
    requester_id: str
    author_id: str
    server: str
    tool: str
    schema_hash: str
    args: str
    preview: str | None
    preconditions: str | None
    objects: str
    digest: str
    risk: str
    effect: str
    rule: str
    votes: int
    status: str
    approve_by: int
    execute_by: int | None
    decided_by: str | None
    decided_at: int | None
    reason: str | None
    supersedes: str | None
    created_at: int
    decided_by_policy: str | None = None


@dataclass(frozen=True, slots=True)
class Decision(Record):
    """A user's decision. `despite_unknown` lists changes to the same objects whose outcome was unknown to the user."""

    table = "decisions"
    id: str
    approval_id: str
    user_id: str
    approve: bool
    reason: str | None
    digest: str | None
    despite_unknown: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Execution(Record):
    """The single attempt at an approved change. Its primary key is the approval, so there can't be a second one."""

    table = "executions"
    id: str
    run_id: str
    fence: int
    nonce: str
    state: str
    effect: str | None
    code: str | None
    result: str
    error: str | None
    settled_by: str | None
    evidence: str | None
    started_at: int
    ended_at: int | None
