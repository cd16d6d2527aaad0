"""Build what people see of approvals. Everything that several approvals need is read at once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from src.api.ports import Reader
from src.api.schemas.approvals import (
    ApprovalStatus,
    Effect,
    EvidenceView,
    Outcome,
    Person,
    PreviewView,
    Vote,
    parse_risk,
)
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.records import Approval, Call, Conversation, Decision, Execution, User
from src.api.schemas.runs import ApprovalView, HistoryEntry
from src.api.schemas.states import OPEN_APPROVAL
from src.api.services.access import Caller, display_name, recorded_name
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.services.approvals.rights import DecisionRights, closed_problem
from src.api.utils.json_columns import load_object

__all__ = ["ApprovalRows", "build_view", "describe_request", "find_problem", "read_rows"]

BATCH = 200
"""Approvals whose rows are read at once; each has at most three decisions."""


@dataclass(frozen=True, slots=True)
class ApprovalRows:
    """The rows that belong to some approvals, each by the id under which it is looked up."""

    calls: Mapping[str, Call]
    executions: Mapping[str, Execution]
    decisions: Mapping[str, Sequence[Decision]]
    conversations: Mapping[str, Conversation]
    users: Mapping[str, User]

    def person(self, user_id: str) -> Person:
        if user_id == LOCAL_ADMIN.id:
            return Person(id=user_id, name=LOCAL_ADMIN.name)
        user = self.users.get(user_id)
        return Person(id=user_id, name=display_name(user) if user else user_id)

    def email(self, user_id: str) -> str:
        user = self.users.get(user_id)
        return user.email if user else LOCAL_ADMIN.name

    def identity(self, user_id: str) -> str:
        """Return what names a user in records: the verified e-mail, else the id."""
        user = self.users.get(user_id)
        return recorded_name(user) if user else user_id

    def votes(self, approval: Approval) -> list[Decision]:
        """Return the approving decisions, oldest first."""
        return [each for each in self.decisions.get(approval.id, ()) if each.approve]


async def read_rows(
    reader: Reader,
    caller: Caller,
    approvals: Sequence[Approval],
    *,
    with_content: bool = True,
    calls: Mapping[str, Call] | None = None,
) -> ApprovalRows:
    """Read what the views of these approvals need for this caller.

    Without content, only what says who may decide: calls and executions may be large. `calls` are not read again.
    """
    read_calls: dict[str, Call] = dict(calls or {})
    executions: dict[str, Execution] = {}
    decisions: defaultdict[str, list[Decision]] = defaultdict(list)
    conversations: dict[str, Conversation] = {}
    for first in range(0, len(approvals), BATCH):
        batch = approvals[first : first + BATCH]
        ids = tuple(each.id for each in batch)
        if with_content:
            if calls is None:
                read_calls |= {each.id: each for each in await reader.find(Call, {"id": ids})}
            executions |= {each.id: each for each in await reader.find(Execution, {"id": ids})}
        for each in await reader.find(Decision, {"approval_id": ids}, "created_at,id"):
            decisions[each.approval_id].append(each)
        named = tuple({each.conversation_id for each in batch})
        conversations |= {each.id: each for each in await reader.find(Conversation, {"id": named})}
    people = {caller.id, *(each.requester_id for each in approvals), *(each.author_id for each in approvals)}
    people |= {each.user_id for of_approval in decisions.values() for each in of_approval}
    people |= {each.owner_id for each in conversations.values()}
    users = await _find_users(reader, sorted(people))
    return ApprovalRows(read_calls, executions, decisions, conversations, users)


async def _find_users(reader: Reader, ids: Sequence[str]) -> dict[str, User]:
    found: dict[str, User] = {}
    for first in range(0, len(ids), BATCH):
        batch = tuple(ids[first : first + BATCH])
        found |= {each.id: each for each in await reader.find(User, {"id": batch})}
    return found


def build_view(
    approval: Approval, rows: ApprovalRows, rights: DecisionRights, caller: Caller, now: int
) -> ApprovalView:
    call, execution = rows.calls.get(approval.id), rows.executions.get(approval.id)
    decisions, votes = rows.decisions.get(approval.id, ()), rows.votes(approval)
    decider = decisions[-1].user_id if decisions and approval.decided_at is not None else None
    why_not = find_problem(approval, rows, rights, caller, now)
    return ApprovalView(
        call_id=approval.id,
        run_id=approval.run_id,
        conversation_id=approval.conversation_id,
        tool=approval.tool,
        server=approval.server,
        title=call.title if call else approval.tool,
        args=load_object(call.redacted_args) if call else {},
        digest=approval.digest,
        preview=PreviewView.parse(approval.preview),
        risk=parse_risk(approval.risk),
        requester=rows.email(approval.requester_id),
        requester_user=rows.person(approval.requester_id),
        status=cast(ApprovalStatus, approval.status),
        outcome=cast(Outcome, execution.state) if execution else None,
        effect=_effect_of(approval, execution),
        evidence=EvidenceView.model_validate_json(execution.evidence) if execution and execution.evidence else None,
        error=execution.error if execution else None,
        decided_by=approval.decided_by,
        decided_by_user=None if decider is None else rows.person(decider),
        decided_by_policy=approval.decided_by_policy,
        decided_at=approval.decided_at,
        reason=approval.reason,
        supersedes=approval.supersedes,
        votes=[Vote(**rows.person(each.user_id).model_dump(), at=each.created_at) for each in votes],
        votes_needed=max(1, approval.votes),
        may_decide=why_not is None,
        why_not=why_not,
        deciders=[] if why_not is None else find_deciders(approval, rows, rights),
        rule=approval.rule or None,
        expires_at=approval.approve_by,
        execute_by=approval.execute_by,
        created_at=approval.created_at,
        history=_build_history(approval, rows, execution),
    )


def _effect_of(approval: Approval, execution: Execution | None) -> Effect | None:
    """Return what a change did outside, as far as it is known: nothing, if it was never started and never will be."""
    if execution is None:
        return None if approval.status in OPEN_APPROVAL else "none"
    settled: dict[str, Effect] = {"applied": "done", "not_applied": "none", "succeeded": "done"}
    return settled.get(execution.state, cast(Effect | None, execution.effect))


def describe_request(approval: Approval, rows: ApprovalRows, rights: DecisionRights, caller: Caller) -> JsonObject:
    """Return the fields of `tool.awaiting_approval` that depend on its reader."""
    conversation = rows.conversations.get(approval.conversation_id)
    user, owner = rows.users.get(caller.id), None if conversation is None else rows.users.get(conversation.owner_id)
    problem: str | None = "The conversation was deleted."
    deciders: list[Json] = []
    if conversation is not None:
        problem = rights.problem(caller, user, conversation, approval)
        deciders = [*(rights.deciders(conversation, owner, approval, ()) if problem is not None else [])]
    return {
        "requester": rows.email(approval.requester_id),
        "requester_user": rows.person(approval.requester_id).model_dump(),
        "votes": [],
        "may_decide": problem is None,
        "why_not": problem,
        "deciders": deciders,
    }


def find_problem(
    approval: Approval, rows: ApprovalRows, rights: DecisionRights, caller: Caller, now: int
) -> str | None:
    """Return why the caller's approval would not count now, or None."""
    conversation = rows.conversations.get(approval.conversation_id)
    if conversation is None:
        return "The conversation was deleted."
    closed = closed_problem(approval, rows.votes(approval), caller, now)
    return closed or rights.problem(caller, rows.users.get(caller.id), conversation, approval)


def find_deciders(approval: Approval, rows: ApprovalRows, rights: DecisionRights) -> list[str]:
    """Return the names of those who may approve a pending change; empty for any other."""
    conversation = rows.conversations.get(approval.conversation_id)
    if conversation is None or approval.status != "pending":
        return []
    return rights.deciders(conversation, rows.users.get(conversation.owner_id), approval, rows.votes(approval))


def _build_history(approval: Approval, rows: ApprovalRows, execution: Execution | None) -> list[HistoryEntry]:
    requester, decisions = rows.person(approval.requester_id), rows.decisions.get(approval.id, ())
    entries = [HistoryEntry(at=approval.created_at, what="requested", person=requester)]
    for decision in decisions:
        what, person = "approved" if decision.approve else "denied", rows.person(decision.user_id)
        entries.append(
            HistoryEntry(
                at=decision.created_at, what=what, by=rows.identity(person.id), person=person, detail=decision.reason
            )
        )
    if not decisions and approval.decided_at is not None:
        entries.append(HistoryEntry(at=approval.decided_at, what=approval.status, by=approval.decided_by))
    if execution is not None:
        entries.append(HistoryEntry(at=execution.started_at, what="started"))
        if execution.ended_at is not None:
            ended = HistoryEntry(
                at=execution.ended_at, what=execution.state, by=execution.settled_by, detail=execution.error
            )
            entries.append(ended)
    return entries
