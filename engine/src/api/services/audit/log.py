"""Turn run events into audit entries: what was requested, shown, decided, executed, and with which result.

Content that erasure removes is recorded only as SHA-256 and length. So is JSON above `MAX_JSON` characters; an
approval's digest covers it.
"""

from collections.abc import Mapping

from src.api.ports import Transaction
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.events import (
    EVENT,
    Decided,
    Event,
    ToolAwaitingApproval,
    ToolError,
    ToolExecuting,
    ToolResult,
    ToolUnknown,
    ToolVerified,
    ToolVote,
    WorkflowComplete,
    WorkflowError,
)
from src.api.schemas.policy import BY_POLICY, ActivePolicy
from src.api.schemas.query import Scalar
from src.api.schemas.records import Message, Run, User
from src.api.services.access import audit_name
from src.api.utils.canonical import canonical, sha256
from src.api.utils.text import clean

__all__ = [
    "POLICY_STREAM",
    "actor_of",
    "audit_event",
    "audit_message",
    "audit_policy",
    "fields_of",
    "policy_body",
    "run_stream",
    "user_stream",
]

POLICY_STREAM = "policy"
MAX_JSON = 20_000
MAX_TEXT = 1_000


def run_stream(run_id: str) -> str:
    return f"run:{run_id}"


def user_stream(user_id: str) -> str:
    return f"user:{user_id}"


def actor_of(user: User) -> Actor:
    """Return the actor of a user who changes their own account."""
    return Actor(user_stream(user.id), audit_name(user))


def fields_of(values: Mapping[str, Scalar]) -> list[Json]:
    """Return the names of the changed fields. Values are left out, since one of them is a password hash."""
    return [*sorted("password" if name == "hashed_password" else name for name in values)]


def audit_event(tx: Transaction, run_id: str, event: Event, by: Actor) -> None:
    """Record the event if the audit log keeps its type."""
    entry = _entry_of(event)
    if entry is not None:
        action, body = entry
        tx.audit(
            run_stream(run_id),
            action,
            _actor(event, by),
            {name: value for name, value in body.items() if value is not None},
        )


def audit_message(tx: Transaction, run: Run, message: Message, by: Actor) -> None:
    """Record that a user sent a message. Only its hash and length are kept; erasure removes the text."""
    body: JsonObject = {
        "conversation_id": run.conversation_id,
        "message_id": message.id,
        "message_sha256": sha256(message.content),
        "message_length": len(message.content),
    }
    tx.audit(run_stream(run.id), "message.submitted", by, body)


def audit_policy(tx: Transaction, policy: ActivePolicy) -> None:
    """Record which policy became active, or the problem of its file."""
    action = "policy.loaded" if policy.problem is None else "policy.bad"
    tx.audit(POLICY_STREAM, action, ENGINE, policy_body(policy))


def policy_body(policy: ActivePolicy) -> JsonObject:
    """Return the audit body of a policy, equal for policies that decide alike."""
    rules: Json = [rule.model_dump(mode="json", exclude_none=True) for rule in policy.document.rules]
    document: JsonObject = {"rules": rules, "requester_may_destroy": policy.document.requester_may_destroy}
    if policy.document.budgets:
        document["budgets"] = [rule.model_dump(mode="json", exclude_none=True) for rule in policy.document.budgets]
    body = {"source": policy.source, "document": _bounded(document), "sha256": sha256(canonical(document))}
    return body if policy.problem is None else {**body, "problem": clean(policy.problem)[:MAX_TEXT]}


def _actor(event: Event, by: Actor) -> Actor:
    """Return the actor: the policy rule for decisions that the engine makes by a rule."""
    rule = event.decided_by_policy if isinstance(event, Decided) else None
    return Actor(f"{BY_POLICY}{rule}") if by == ENGINE and rule else by


def _entry_of(event: Event) -> tuple[str, JsonObject] | None:
    match event:
        case WorkflowComplete():
            return f"run.{event.status}", {"result_sha256": sha256(clean(event.result))}
        case WorkflowError():
            return "run.failed", {"code": event.code, "error": _truncated(event.error)}
        case _:
            body = _call_body(event)
            return None if body is None else (event.type, body)


def _call_body(event: Event) -> JsonObject | None:
    match event:
        case ToolAwaitingApproval():
            return _request_body(event)
        case Decided():
            return _decision_body(event)
        case ToolExecuting():
            return {**_call_fields(event), "args": _bounded(event.args)}
        case ToolResult():
            body = EVENT.dump_json(event, exclude_none=True)
            return {**_call_fields(event), "event_sha256": sha256(body.decode()), "event_length": len(body)}
        case ToolError() | ToolUnknown():
            return {**_call_fields(event), "error": _truncated(event.error)}
        case ToolVerified():
            return {**_call_fields(event), "outcome": event.outcome, "evidence": _truncated(event.evidence)}
        case _:
            return None


def _request_body(event: ToolAwaitingApproval) -> JsonObject:
    return {
        **_call_fields(event),
        "args": _bounded(event.args),
        "preview": (
            None if event.preview is None else _bounded(event.preview.model_dump(mode="json", exclude_none=True))
        ),
        "digest": event.digest,
        "risk": event.risk,
        "expires_at": event.expires_at,
        "supersedes": event.supersedes,
        "rule": event.rule,
        "votes_needed": event.votes_needed,
    }


def _decision_body(event: Decided) -> JsonObject:
    """Return the body of a decision.

    It includes the arguments if a policy decided, since no request entry holds them.
    """
    by_policy = event.decided_by_policy is not None
    votes = {"votes": event.votes, "votes_needed": event.votes_needed} if isinstance(event, ToolVote) else {}
    return {
        **_call_fields(event),
        "args": _bounded(event.args) if by_policy else None,
        "decided_by": event.decided_by,
        "decided_by_policy": event.decided_by_policy,
        "reason": _truncated(event.reason),
        "digest": event.digest,
        **votes,
    }


def _call_fields(
    event: Decided | ToolAwaitingApproval | ToolExecuting | ToolResult | ToolError | ToolUnknown | ToolVerified,
) -> JsonObject:
    return {"call_id": event.call_id, "tool": event.tool}


def _bounded(value: JsonObject) -> Json:
    text = canonical(value)
    if len(text) <= MAX_JSON:
        return value
    return {"cut": "too long for the audit log", "sha256": sha256(text), "length": len(text)}


def _truncated(text: str | None) -> str | None:
    """Return the text, cut to `MAX_TEXT` characters."""
    return None if text is None else clean(text[:MAX_TEXT])
