"""What the audit trail keeps of a run's events: who asked, what was shown, who decided, what ran, what came of it.

Contents that a deletion takes away are kept as SHA-256 and length only. What is longer than a screen is kept likewise:
the digest of an approval covers it.
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
from src.api.schemas.policy import PolicyInForce
from src.api.schemas.query import Scalar
from src.api.schemas.records import Message, Run, User
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
MAX_SHOWN = 20_000
MAX_SENTENCE = 1_000
_POLICY = "policy:"


def run_stream(run_id: str) -> str:
    return f"run:{run_id}"


def user_stream(user_id: str) -> str:
    return f"user:{user_id}"


def actor_of(user: User) -> Actor:
    """A person who acts on the account that is theirs."""
    return Actor(user_stream(user.id), user.full_name or user.email)


def fields_of(values: Mapping[str, Scalar]) -> list[Json]:
    """The names of what is set, never the values: one of them is a password."""
    return [*sorted("password" if name == "hashed_password" else name for name in values)]


def audit_event(tx: Transaction, run_id: str, event: Event, by: Actor) -> None:
    """Tells of the event, if it is one of those that the trail keeps."""
    told = _told(event)
    if told is not None:
        action, body = told
        tx.audit(
            run_stream(run_id),
            action,
            _who(event, by),
            {name: value for name, value in body.items() if value is not None},
        )


def audit_message(tx: Transaction, run: Run, message: Message, by: Actor) -> None:
    """Tells that somebody asked for something: what exactly, the conversation says for as long as it is kept."""
    body: JsonObject = {
        "conversation_id": run.conversation_id,
        "message_id": message.id,
        "message_sha256": sha256(message.content),
        "message_length": len(message.content),
    }
    tx.audit(run_stream(run.id), "message.submitted", by, body)


def audit_policy(tx: Transaction, force: PolicyInForce) -> None:
    """Tells which policy is in force from now on, or what is wrong with its file."""
    action = "policy.loaded" if force.problem is None else "policy.bad"
    tx.audit(POLICY_STREAM, action, ENGINE, policy_body(force))


def policy_body(force: PolicyInForce) -> JsonObject:
    """What the trail says of a policy; the same for two that decide alike."""
    rules: Json = [rule.model_dump(mode="json", exclude_none=True) for rule in force.document.rules]
    document: JsonObject = {"rules": rules, "requester_may_destroy": force.document.requester_may_destroy}
    body = {"source": force.source, "document": _shown(document), "sha256": sha256(canonical(document))}
    return body if force.problem is None else {**body, "problem": clean(force.problem)[:MAX_SENTENCE]}


def _who(event: Event, by: Actor) -> Actor:
    """What the engine does by a rule of the policy is that rule's."""
    rule = event.decided_by if isinstance(event, Decided) else None
    return Actor(rule) if by == ENGINE and rule and rule.startswith(_POLICY) else by


def _told(event: Event) -> tuple[str, JsonObject] | None:
    match event:
        case WorkflowComplete():
            return f"run.{event.status}", {"result_sha256": sha256(clean(event.result))}
        case WorkflowError():
            return "run.failed", {"code": event.code, "error": _sentence(event.error)}
        case _:
            body = _of_call(event)
            return None if body is None else (event.type, body)


def _of_call(event: Event) -> JsonObject | None:
    match event:
        case ToolAwaitingApproval():
            return _asked(event)
        case Decided():
            return _decided(event)
        case ToolExecuting():
            return {**_call(event), "args": _shown(event.args)}
        case ToolResult():
            body = EVENT.dump_json(event, exclude_none=True)
            return {**_call(event), "event_sha256": sha256(body.decode()), "event_length": len(body)}
        case ToolError() | ToolUnknown():
            return {**_call(event), "error": _sentence(event.error)}
        case ToolVerified():
            return {**_call(event), "outcome": event.outcome, "evidence": _sentence(event.evidence)}
        case _:
            return None


def _asked(event: ToolAwaitingApproval) -> JsonObject:
    return {
        **_call(event),
        "args": _shown(event.args),
        "preview": None if event.preview is None else _shown(event.preview),
        "digest": event.digest,
        "risk": event.risk,
        "expires_at": event.expires_at,
        "supersedes": event.supersedes,
        "rule": event.rule,
        "votes_needed": event.votes_needed,
    }


def _decided(event: Decided) -> JsonObject:
    """What a policy decided on was shown to nobody before, so it is told here."""
    by_policy = (event.decided_by or "").startswith(_POLICY)
    votes = {"votes": event.votes, "votes_needed": event.votes_needed} if isinstance(event, ToolVote) else {}
    return {
        **_call(event),
        "args": _shown(event.args) if by_policy else None,
        "decided_by": event.decided_by,
        "reason": _sentence(event.reason),
        "digest": event.digest,
        **votes,
    }


def _call(
    event: Decided | ToolAwaitingApproval | ToolExecuting | ToolResult | ToolError | ToolUnknown | ToolVerified,
) -> JsonObject:
    return {"call_id": event.call_id, "tool": event.tool}


def _shown(value: JsonObject) -> Json:
    text = canonical(value)
    if len(text) <= MAX_SHOWN:
        return value
    return {"cut": "too long for the audit trail", "sha256": sha256(text), "length": len(text)}


def _sentence(text: str | None) -> str | None:
    """The beginning of what was said."""
    return None if text is None else clean(text[:MAX_SENTENCE])
