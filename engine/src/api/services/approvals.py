"""Decisions of people on changes. The first valid one wins; what was shown is what was approved (`protocol.md` 16)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from src.api.errors import AlreadyDecided, DigestMismatch, NotDecidable, NotFound
from src.api.ports import Ids, Policies, Reader, Store, Transaction
from src.api.schemas.agent import DecisionRequest, Started
from src.api.schemas.base import Json
from src.api.schemas.events import SEQ_PER_JOURNAL_EVENT, Event
from src.api.schemas.policy import PolicyInForce
from src.api.schemas.query import Where, above
from src.api.schemas.records import Approval, Call, Decision, JournalEvent, Run
from src.api.services.access import Caller, may_decide, visible_conversation
from src.api.services.acting import Impersonation
from src.api.services.beside import unknown_beside
from src.api.services.calls import decided_event, queue_if_decided, settle, vote_event
from src.api.services.digests import untouched
from src.api.services.editing import Editing
from src.api.services.journal import Journal
from src.api.services.policing import check_separation, name_of, votes_for
from src.api.services.settings import Limits
from src.api.utils.canonical import canonical
from src.api.utils.shown import shown_object
from src.api.utils.text import clean

__all__ = ["Approvals", "decidable"]

_WORDS = {"approved": "approved", "consumed": "approved", "denied": "denied"}
_ENDS = ("tool.approved", "tool.denied")
MAX_NAMES = 400
_NO_MORE = {
    "expired": "Nobody decided in time, so this change expired. Ask for it again.",
    "superseded": "This change was superseded by something newer. Look at the conversation.",
    "stale": "What this change is about has changed since it was shown. Decide on the new preview.",
    "stopped": "The run was stopped, so this change will not run.",
}


@dataclass(frozen=True, slots=True)
class Decided:
    """Where the decision's own event stands, and whether the run goes on now."""

    run_id: str
    conversation_id: str
    before: int
    queued: bool = False


class Approvals:
    """`wake` has a queued run claimed by this process."""

    def __init__(
        self,
        store: Store,
        policies: Policies,
        journal: Journal,
        editing: Editing,
        impersonation: Impersonation,
        ids: Ids,
        limits: Limits,
        wake: Callable[[str], None],
    ) -> None:
        self._store = store
        self._policies = policies
        self._journal = journal
        self._editing = editing
        self._impersonation = impersonation
        self._ids = ids
        self._limits = limits
        self._wake = wake

    async def decide(self, caller: Caller, call_id: str, request: DecisionRequest) -> Started:
        """Records the decision; where to follow the run from, the decision's own event first.

        A yes to what the API server has not checked for the requester shows it anew, as it looks to the caller. Where
        the policy asks two people, the first yes is recorded and the call goes on waiting.

        Raises `NotFound`, `Forbidden`, `DigestMismatch`, `AlreadyDecided` (who and when), `NotDecidable`.
        """
        conversation_id = str(request.conversation_id)
        if request.approve and (request.args is not None or await self._is_unchecked(call_id)):
            decided = await self._edit(caller, call_id, conversation_id, request)
        else:
            force = await self._policies.current()
            decided = await self._store.transaction(
                lambda tx: self._decide(tx, force, caller, call_id, conversation_id, request)
            )
        if decided.queued:
            self._wake(decided.run_id)
        after = decided.before * SEQ_PER_JOURNAL_EVENT
        return Started(run_id=decided.run_id, conversation_id=decided.conversation_id, after=after)

    async def _is_unchecked(self, call_id: str) -> bool:
        approval = await self._store.read(lambda reader: reader.get(Approval, id=call_id))
        return approval is not None and approval.status == "pending" and self._impersonation.is_unchecked(approval)

    async def _edit(self, caller: Caller, call_id: str, conversation_id: str, request: DecisionRequest) -> Decided:
        async def look(reader: Reader) -> tuple[Approval, Call]:
            return await decidable(reader, caller, call_id, conversation_id)

        approval, call = await self._store.read(look)
        _check_digest(approval, request)
        if request.args is None:
            before = await self._editing.show_again(caller, approval, call)
        else:
            before = await self._editing.edit(caller, approval, call, request.args, request.reason)
        return Decided(approval.run_id, approval.conversation_id, before)

    async def _decide(
        self,
        tx: Transaction,
        force: PolicyInForce,
        caller: Caller,
        call_id: str,
        conversation_id: str,
        request: DecisionRequest,
    ) -> Decided:
        approval, call = await decidable(tx, caller, call_id, conversation_id)
        run = await tx.change(Run, {"id": approval.run_id}, touched_at=await tx.now())
        if run is None:
            raise NotFound("There is no such run.")
        now = await tx.now()
        approval = await tx.get(Approval, id=call_id) or approval
        if approval.status != "pending":
            return await self._again(tx, caller, approval, request)
        _check_digest(approval, request)
        votes = await votes_for(tx, approval)
        mine = next((each for each in votes if each.user_id == caller.id), None)
        if mine is not None:
            return await self._voted(tx, caller, approval, request, mine)
        if request.approve:
            await self._check_yes(tx, force, caller, approval)
        moved = await self._move(tx, caller, approval, request, votes, now)
        return await self._go_on(tx, run, await _told(tx, caller, call, moved, request, now), now, caller)

    async def _check_yes(self, tx: Transaction, force: PolicyInForce, caller: Caller, approval: Approval) -> None:
        """Raises `Forbidden` where this person's yes does not count. A read is made as the one who asked for it."""
        await check_separation(tx, force, caller, approval)
        if approval.effect != "read":
            await self._impersonation.person(tx, approval.server, caller.id)

    async def _move(
        self,
        tx: Transaction,
        caller: Caller,
        approval: Approval,
        request: DecisionRequest,
        votes: Sequence[Decision],
        now: int,
    ) -> Approval:
        """The approval with this decision: still pending where another person's yes is missing."""
        named: list[Json] = []
        if request.approve:
            named += await self._named_unknown(tx, approval, request)
        reason = None if request.reason is None else clean(request.reason)
        guard: Where = {"id": approval.id, "status": "pending", "digest": approval.digest, "approve_by": above(now)}
        if request.approve and len(votes) + 1 < approval.votes:
            moved = await tx.change(Approval, guard, status="pending")
        else:
            by = " and ".join([*[await name_of(tx, each.user_id) for each in votes], caller.name])
            status, by = ("approved", by[:MAX_NAMES]) if request.approve else ("denied", caller.name)
            moved = await tx.change(Approval, guard, status=status, decided_by=by, decided_at=now, reason=reason)
        if moved is None:
            raise NotDecidable(_NO_MORE["expired"])
        decision = Decision(
            id=self._ids.new(),
            approval_id=approval.id,
            user_id=caller.id,
            approve=request.approve,
            reason=reason,
            digest=request.digest,
            despite_unknown=canonical(named),
            created_at=now,
        )
        await tx.insert(decision)
        return moved

    async def _voted(
        self, tx: Transaction, caller: Caller, approval: Approval, request: DecisionRequest, mine: Decision
    ) -> Decided:
        """Nobody decides twice: the same yes again is answered alike, and counts once."""
        if not request.approve:
            raise AlreadyDecided(
                "You approved this call already. Somebody else may still deny it, or stop the run.",
                decided_by=caller.name,
                decided_at=mine.created_at,
                decision="approved",
            )
        before = await _number_of(tx, approval, "tool.vote") - 1
        return Decided(approval.run_id, approval.conversation_id, before)

    async def _go_on(self, tx: Transaction, run: Run, event: Event, now: int, caller: Caller) -> Decided:
        before = run.journal
        queued = await queue_if_decided(tx, run, now, self._limits.execute_ms)
        await self._journal.record(tx, run.id, [event], now, caller.actor)
        return Decided(run.id, run.conversation_id, before, queued)

    async def _again(self, tx: Transaction, caller: Caller, approval: Approval, request: DecisionRequest) -> Decided:
        """The same decision by the same person is answered alike; any other is told who decided what and when."""
        if approval.status in _NO_MORE and approval.decided_at is None:
            raise NotDecidable(_NO_MORE[approval.status], approval_status=approval.status)
        mine = await tx.find(Decision, {"approval_id": approval.id, "user_id": caller.id}, limit=1)
        if mine and mine[0].approve == request.approve:
            _check_digest(approval, request)
            return Decided(approval.run_id, approval.conversation_id, await _number_of(tx, approval, *_ENDS) - 1)
        word = _WORDS.get(approval.status, "decided")
        raise AlreadyDecided(
            f"{approval.decided_by or 'Somebody'} {word} this call already.",
            decided_by=approval.decided_by,
            decided_at=approval.decided_at,
            decision=word,
        )

    async def _named_unknown(self, tx: Transaction, approval: Approval, request: DecisionRequest) -> list[str]:
        """While the outcome of changes to the same object is unknown, the decision names them; those are returned."""
        unknown = await unknown_beside(tx, approval)
        unnamed = [each for each in unknown if each not in request.despite_unknown]
        if unnamed:
            raise NotDecidable(
                f"The outcome of an earlier change to the same object is unknown. Verify {unnamed[0]} first, "
                "or name it in `despite_unknown`.",
                unknown=unnamed[0],
            )
        return unknown


async def decidable(reader: Reader, caller: Caller, call_id: str, conversation_id: str) -> tuple[Approval, Call]:
    """The approval and its call, if this person may decide on it. Raises `NotFound`, `Forbidden`."""
    approval = await reader.get(Approval, id=call_id)
    call = await reader.get(Call, id=call_id)
    if approval is None or call is None or approval.conversation_id != conversation_id:
        raise NotFound("There is no such call to decide on in this conversation.")
    conversation = await visible_conversation(reader, caller, conversation_id)
    may_decide(caller, conversation)
    return approval, call


async def _told(
    tx: Transaction, caller: Caller, call: Call, moved: Approval, request: DecisionRequest, now: int
) -> Event:
    """Moves the call as its approval was moved; the event that tells of it."""
    if moved.status == "pending":
        reason = None if request.reason is None else clean(request.reason)
        return vote_event(call, caller.name, reason, len(await votes_for(tx, moved)), moved)
    if moved.status == "approved":
        await tx.change(Call, {"id": call.id, "status": "awaiting_approval"}, status="approved")
    else:
        await settle(tx, call, "denied", now, error=moved.reason)
    return decided_event(f"tool.{moved.status}", call, by=moved.decided_by, reason=moved.reason, digest=moved.digest)


async def _number_of(tx: Transaction, approval: Approval, *kinds: str) -> int:
    """The number of the journal event that told of this approval's decision, or of the first yes to it."""
    for event in await tx.find(JournalEvent, {"run_id": approval.run_id, "type": kinds}, "n"):
        if shown_object(event.body).get("call_id") == approval.id:
            return event.n
    raise NotFound("The decision's event is no longer kept.")


def _check_digest(approval: Approval, request: DecisionRequest) -> None:
    if not untouched(approval) or (request.digest is not None and request.digest != approval.digest):
        raise DigestMismatch("What you decided on is not what is shown now. Look at it again.", digest=approval.digest)
