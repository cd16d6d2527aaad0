"""Record people's decisions on changes: the first valid one wins, for exactly what was shown (`protocol.md` 16)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from src.api.errors import AlreadyDecided, DigestMismatch, NotDecidable, NotFound
from src.api.ports import Ids, Policies, Reader, Store, Transaction
from src.api.schemas.agent import DecisionRequest, StreamStart
from src.api.schemas.approvals import Person
from src.api.schemas.base import Json
from src.api.schemas.events import SEQ_PER_JOURNAL_EVENT, Event
from src.api.schemas.policy import ActivePolicy
from src.api.schemas.query import Now, Where, gt
from src.api.schemas.records import Approval, Call, Decision, JournalEvent, Run
from src.api.services.access import Caller, get_visible_conversation, require_may_decide
from src.api.services.accounts.impersonation import Impersonation
from src.api.services.approvals.edits import ApprovalEdits
from src.api.services.approvals.rights import CLOSED
from src.api.services.limits import Limits
from src.api.services.policy.enforcement import (
    approving_decisions,
    identity_of,
    require_separation_of_duties,
)
from src.api.services.streaming.journal import Journal
from src.api.services.tools.calls import decided_event, find_queued_values, settle_call, vote_event
from src.api.services.tools.conflicts import unknown_conflicts
from src.api.services.tools.digests import matches_digest
from src.api.utils.canonical import canonical
from src.api.utils.json_columns import load_object
from src.api.utils.text import clean

__all__ = ["ApprovalDecisions", "find_decidable"]

_DECISION_WORDS = {"approved": "approved", "consumed": "approved", "denied": "denied"}
_FINAL_EVENTS = ("tool.approved", "tool.denied")
MAX_NAMES = 400
_NO_SUCH_CALL = "There is no such call to decide on in this conversation."


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """`before` is the journal number before the decision's event; `queued` says whether the run goes on now."""

    run_id: str
    conversation_id: str
    before: int
    queued: bool = False


@dataclass(slots=True)
class ApprovalDecisions:
    """Decide on approvals. `wake` makes this process claim a queued run."""

    store: Store
    policies: Policies
    journal: Journal
    edits: ApprovalEdits
    impersonation: Impersonation
    ids: Ids
    limits: Limits
    wake: Callable[[str], None]

    async def decide(self, caller: Caller, call_id: str, request: DecisionRequest) -> StreamStart:
        """Record the decision, and return where to follow the run from: its first event is the decision's.

        Approving a change that the API server has not checked for the requester shows it again, previewed with the
        caller's rights. If the policy asks for two people, the first approval is recorded and the call keeps waiting.

        Raises `NotFound`, `Forbidden`, `DigestMismatch`, `AlreadyDecided` (with who and when), `NotDecidable`.
        """
        conversation_id = str(request.conversation_id)
        if request.approve and (request.args is not None or await self._is_unchecked(call_id)):
            decided = await self._edit(caller, call_id, conversation_id, request)
        else:
            policy = await self.policies.current()
            decided = await self.store.transaction(
                lambda tx: self._decide(tx, policy, caller, call_id, conversation_id, request)
            )
        if decided.queued:
            self.wake(decided.run_id)
        after = decided.before * SEQ_PER_JOURNAL_EVENT
        return StreamStart(run_id=decided.run_id, conversation_id=decided.conversation_id, after=after)

    async def _is_unchecked(self, call_id: str) -> bool:
        if not self.impersonation.servers:  # nobody is impersonated, so there is nothing that a person may not do
            return False
        approval = await self.store.read(lambda reader: reader.get(Approval, id=call_id))
        return approval is not None and approval.status == "pending" and self.impersonation.is_unchecked(approval)

    async def _edit(
        self, caller: Caller, call_id: str, conversation_id: str, request: DecisionRequest
    ) -> DecisionResult:
        async def find(reader: Reader) -> tuple[Approval, Call]:
            call = await find_decidable(reader, caller, call_id, conversation_id)
            return await _read_approval(reader, call), call

        approval, call = await self.store.read(find)
        _check_digest(approval, request)
        if request.args is None:
            before = await self.edits.preview_as_approver(caller, approval, call)
        else:
            before = await self.edits.edit(caller, approval, call, request.args, request.reason)
        return DecisionResult(approval.run_id, approval.conversation_id, before)

    async def _decide(
        self,
        tx: Transaction,
        policy: ActivePolicy,
        caller: Caller,
        call_id: str,
        conversation_id: str,
        request: DecisionRequest,
    ) -> DecisionResult:
        call = await find_decidable(tx, caller, call_id, conversation_id)
        run = await tx.change(Run, {"id": call.run_id}, updated_at=Now())
        if run is None:
            raise NotFound("There is no such run.")
        now = await tx.now()
        approval = await _read_approval(tx, call)
        if approval.status != "pending":
            return await self._repeat_decision(tx, caller, approval, request)
        _check_digest(approval, request)
        # A pending approval that needs one vote has none.
        votes = await approving_decisions(tx, approval) if approval.votes > 1 else []
        own_vote = next((each for each in votes if each.user_id == caller.id), None)
        if own_vote is not None:
            return await self._repeat_vote(tx, caller, approval, request, own_vote)
        if request.approve:
            await self._check_approver(tx, policy, caller, approval)
        updated = await self._move_approval(tx, caller, approval, request, votes, now)
        return await self._record_and_queue(
            tx, run, await _move_call(tx, caller, call, updated, request, now), now, caller
        )

    async def _check_approver(self, tx: Transaction, policy: ActivePolicy, caller: Caller, approval: Approval) -> None:
        """Raise `Forbidden` if this person's approval does not count. A read runs with its requester's rights."""
        await require_separation_of_duties(tx, policy, caller, approval)
        if approval.effect != "read":
            await self.impersonation.user_for(tx, approval.server, caller.id)

    async def _move_approval(
        self,
        tx: Transaction,
        caller: Caller,
        approval: Approval,
        request: DecisionRequest,
        votes: Sequence[Decision],
        now: int,
    ) -> Approval:
        """Record the decision and return the approval, still pending if another person's approval is missing."""
        acknowledged: list[Json] = []
        if request.approve:
            acknowledged += await self._check_unknown_conflicts(tx, approval, request)
        reason = None if request.reason is None else clean(request.reason)
        guard: Where = {"id": approval.id, "status": "pending", "digest": approval.digest, "approve_by": gt(now)}
        if request.approve and len(votes) + 1 < approval.votes:
            updated = await tx.change(Approval, guard, status="pending")
        else:
            deciders = [*(each.user_id for each in votes if request.approve), caller.id]
            by = " and ".join([await identity_of(tx, each) for each in deciders])[:MAX_NAMES]
            status = "approved" if request.approve else "denied"
            updated = await tx.change(Approval, guard, status=status, decided_by=by, decided_at=now, reason=reason)
        if updated is None:
            raise NotDecidable(CLOSED["expired"])
        decision = Decision(
            id=self.ids.new(),
            approval_id=approval.id,
            user_id=caller.id,
            approve=request.approve,
            reason=reason,
            digest=request.digest,
            despite_unknown=canonical(acknowledged),
            created_at=now,
        )
        await tx.insert(decision)
        return updated

    async def _repeat_vote(
        self, tx: Transaction, caller: Caller, approval: Approval, request: DecisionRequest, own_vote: Decision
    ) -> DecisionResult:
        """Answer a repeated approval by the same person as before, without counting it twice."""
        if not request.approve:
            raise AlreadyDecided(
                "You approved this call already. Another person may still deny it, or stop the run.",
                decided_by=await identity_of(tx, caller.id),
                decided_at=own_vote.created_at,
                decision="approved",
            )
        before = await _find_event_number(tx, approval, "tool.vote") - 1
        return DecisionResult(approval.run_id, approval.conversation_id, before)

    async def _record_and_queue(
        self, tx: Transaction, run: Run, event: Event, now: int, caller: Caller
    ) -> DecisionResult:
        before = run.journal
        queued = await find_queued_values(tx, run, now, self.limits.start_timeout_ms)
        await self.journal.record(tx, run, [event], now, caller.actor, **queued)
        return DecisionResult(run.id, run.conversation_id, before, bool(queued))

    async def _repeat_decision(
        self, tx: Transaction, caller: Caller, approval: Approval, request: DecisionRequest
    ) -> DecisionResult:
        """Answer the same decision by the same person as before; otherwise raise who decided what and when."""
        if approval.status in CLOSED and approval.decided_at is None:
            raise NotDecidable(CLOSED[approval.status], approval_status=approval.status)
        own_vote = await tx.find(Decision, {"approval_id": approval.id, "user_id": caller.id}, limit=1)
        if own_vote and own_vote[0].approve == request.approve:
            _check_digest(approval, request)
            return DecisionResult(
                approval.run_id, approval.conversation_id, await _find_event_number(tx, approval, *_FINAL_EVENTS) - 1
            )
        word = _DECISION_WORDS.get(approval.status, "decided")
        decisions = await tx.find(Decision, {"approval_id": approval.id}, "-created_at,-id", 1)
        name = await identity_of(tx, decisions[0].user_id) if decisions else approval.decided_by
        raise AlreadyDecided(
            f"{name or 'Another person'} {word} this call already.",
            decided_by=approval.decided_by,
            decided_at=approval.decided_at,
            decision=word,
        )

    async def _check_unknown_conflicts(
        self, tx: Transaction, approval: Approval, request: DecisionRequest
    ) -> list[str]:
        """Check that the decision names all unknown outcomes of changes to the same objects, and return them."""
        unknown = await unknown_conflicts(tx, approval)
        unnamed = [each for each in unknown if each not in request.despite_unknown]
        if unnamed:
            raise NotDecidable(
                f"The outcome of an earlier change to the same object is unknown. Verify {unnamed[0]} first, "
                "or name it in `despite_unknown`.",
                unknown=unnamed[0],
            )
        return unknown


async def find_decidable(reader: Reader, caller: Caller, call_id: str, conversation_id: str) -> Call:
    """Return the call if this person may decide on calls of its conversation. Raises `NotFound`, `Forbidden`."""
    call = await reader.get(Call, id=call_id)
    if call is None or call.conversation_id != conversation_id:
        raise NotFound(_NO_SUCH_CALL)
    conversation = await get_visible_conversation(reader, caller, conversation_id)
    require_may_decide(caller, conversation)
    return call


async def _read_approval(reader: Reader, call: Call) -> Approval:
    """Return the call's approval. Raises `NotFound`, also if its row says that it belongs to another run."""
    approval = await reader.get(Approval, id=call.id)
    if approval is None or (approval.run_id, approval.conversation_id) != (call.run_id, call.conversation_id):
        raise NotFound(_NO_SUCH_CALL)
    return approval


async def _move_call(
    tx: Transaction, caller: Caller, call: Call, updated: Approval, request: DecisionRequest, now: int
) -> Event:
    """Update the call to match its approval, and return the event that describes the decision."""
    person = Person(id=caller.id, name=caller.name)
    if updated.status == "pending":
        reason = None if request.reason is None else clean(request.reason)
        by, votes = await identity_of(tx, caller.id), len(await approving_decisions(tx, updated))
        return vote_event(call, by, person, reason, votes, updated)
    if updated.status == "approved":
        await tx.change(Call, {"id": call.id, "status": "awaiting_approval"}, status="approved")
    else:
        await settle_call(tx, call, "denied", now, error=updated.reason)
    return decided_event(
        f"tool.{updated.status}",
        call,
        by=updated.decided_by,
        person=person,
        reason=updated.reason,
        digest=updated.digest,
    )


async def _find_event_number(tx: Transaction, approval: Approval, *kinds: str) -> int:
    """Return the number of the journal event that recorded this approval's decision, or its first vote."""
    for event in await tx.find(JournalEvent, {"run_id": approval.run_id, "type": kinds}, "n"):
        if load_object(event.body).get("call_id") == approval.id:
            return event.n
    raise NotFound("The decision's event is no longer kept.")


def _check_digest(approval: Approval, request: DecisionRequest) -> None:
    if not matches_digest(approval) or (request.digest is not None and request.digest != approval.digest):
        raise DigestMismatch("What you decided on is not what is shown now. Look at it again.", digest=approval.digest)
