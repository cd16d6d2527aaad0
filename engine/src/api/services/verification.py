"""What became of a change whose outcome could not be known: asked, compared, or settled by a person; never guessed.

`protocol.md` 14: the tool server's word that a grant never ran is proof, since from then on it refuses that grant. An
object that looks as the change would have left it is evidence, and evidence needs a person.
"""

from src.api.errors import Conflict, NotFound
from src.api.ports import Evidence, Reader, Settlement, Store, ToolReply, Transaction
from src.api.schemas.agent import SettleRequest
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.events import Event, ToolVerified
from src.api.schemas.records import Call, Execution, Run
from src.api.schemas.runs import ApprovalView
from src.api.services.access import Caller, may_decide, visible_conversation
from src.api.services.calls import settle
from src.api.services.erasure import is_erased
from src.api.services.inbox import Inbox
from src.api.services.journal import Journal
from src.api.services.leases import Lease
from src.api.services.ledger import Ledger
from src.api.services.outcomes import Outcomes
from src.api.utils.canonical import canonical
from src.api.utils.text import clean

__all__ = ["NEVER_RAN", "Verification"]

NEVER_RAN = ToolReply(
    "failed", error="It never ran, and never will: the tool server refuses its grant.", code="never_ran", effect="none"
)
_APPLIED = "A person settled it: the change was applied."
_GONE = "This conversation was deleted in the meantime, and what was said in it is gone."
_NOT_APPLIED = "A person settled it: the change was not applied."


class Verification:
    """Verify, and the settling of a dead owner's executions."""

    def __init__(self, store: Store, ledger: Ledger, outcomes: Outcomes, journal: Journal, inbox: Inbox) -> None:
        self._store = store
        self._ledger = ledger
        self._outcomes = outcomes
        self._journal = journal
        self._inbox = inbox

    async def verify(self, caller: Caller, call_id: str, request: SettleRequest) -> ApprovalView:
        """Asks whether the change ever ran; with an `outcome` in the request, a person settles it.

        Raises `NotFound`, `Forbidden`, and `Conflict` where there is nothing to verify.
        """
        execution, call = await self._unknown(caller, call_id)
        settlement = await self._ledger.settle(execution, wait=False)
        if await self._prove(execution, call, settlement, by="the tool server"):
            return await self._inbox.get(caller, call_id)
        if request.outcome is None:
            evidence = await self._ledger.evidence(caller.id, execution)
            await self._note(execution, call, evidence, caller.actor)
        else:
            await self._settle_by_hand(caller, execution, call, request)
        return await self._inbox.get(caller, call_id)

    async def recover(self, lease: Lease) -> None:
        """For the holder of the run's fence: what a dead owner started becomes what is known of it."""

        async def body(reader: Reader) -> list[tuple[Execution, Call]]:
            started = await reader.find(Execution, {"run_id": lease.run_id, "state": "started"}, "started_at,id")
            calls = {call.id: call for call in await reader.find(Call, {"id": tuple(each.id for each in started)})}
            return [(each, calls[each.id]) for each in started if each.fence < lease.fence]

        for execution, call in await self._store.read(body):
            await self._recover(execution, call, lease.fence)

    async def _recover(self, execution: Execution, call: Call, fence: int) -> None:
        settlement = await self._ledger.settle(execution, wait=True)
        if not await self._prove(execution, call, settlement, by="recovery", fence=fence):
            said = "The engine stopped while this change was under way, and its outcome is not known."
            await self._outcomes.record_change(call, execution.nonce, ToolReply("unknown", error=said), fence=fence)

    async def _unknown(self, caller: Caller, call_id: str) -> tuple[Execution, Call]:
        async def body(tx: Transaction) -> tuple[Execution, Call]:
            call = await tx.get(Call, id=call_id)
            if call is None:
                raise NotFound("There is no such call.")
            may_decide(caller, await visible_conversation(tx, caller, call.conversation_id))
            execution = await tx.get(Execution, id=call_id)
            if execution is None:
                raise Conflict("This call has not been started, so there is no outcome to verify.")
            if execution.state != "unknown":
                raise Conflict(f"The outcome of this call is known: {execution.state}.", outcome=execution.state)
            return execution, call

        return await self._store.transaction(body)

    async def _prove(
        self, execution: Execution, call: Call, settlement: Settlement, by: str, fence: int | None = None
    ) -> bool:
        """Records what the tool server knows for certain. False where it knows nothing."""
        reply = NEVER_RAN if settlement.state == "never_ran" else settlement.reply
        if settlement.state == "never_ran" and execution.state == "unknown":
            await self._move(execution, call, "not_applied", by, NEVER_RAN.error or "", "never_ran")
        elif settlement.state in ("never_ran", "succeeded", "failed") and reply is not None:
            await self._outcomes.record_change(call, execution.nonce, reply, settled_by=by, fence=fence)
        else:
            return False
        return True

    async def _settle_by_hand(self, caller: Caller, execution: Execution, call: Call, request: SettleRequest) -> None:
        outcome = request.outcome or "not_applied"
        said = _APPLIED if outcome == "applied" else _NOT_APPLIED
        why = said if not request.reason else f"{said} {clean(request.reason)}"
        await self._move(execution, call, outcome, caller.name, why, "settled", caller.actor)

    async def _move(
        self, execution: Execution, call: Call, outcome: str, by: str, why: str, code: str, actor: Actor = ENGINE
    ) -> None:
        async def body(tx: Transaction) -> None:
            run = await tx.change(Run, {"id": call.run_id}, touched_at=await tx.now())
            now = await tx.now()
            moved = await tx.change(
                Execution,
                {"id": execution.id, "nonce": execution.nonce, "state": "unknown"},
                state=outcome,
                settled_by=by,
                code=code,
                ended_at=now,
            )
            if run is None or moved is None:
                raise Conflict("Somebody settled this outcome in the meantime. Look at it again.")
            if await is_erased(tx, run.id):
                raise NotFound(_GONE)
            status = "completed" if outcome == "applied" else "error"
            await settle(tx, call, status, now, error=why)
            await self._journal.record_or_defer(tx, run, [_verified(call, outcome, why)], now, actor)

        await self._store.transaction(body)

    async def _note(self, execution: Execution, call: Call, evidence: Evidence, actor: Actor) -> None:
        async def body(tx: Transaction) -> None:
            run = await tx.change(Run, {"id": call.run_id}, touched_at=await tx.now())
            if await is_erased(tx, call.run_id):
                raise NotFound(_GONE)
            text = canonical({"verdict": evidence.verdict, "detail": clean(evidence.detail)})
            noted = await tx.change(Execution, {"id": execution.id, "state": "unknown"}, evidence=text)
            if run is not None and noted is not None:
                event = _verified(call, evidence.verdict, clean(evidence.detail))
                await self._journal.record_or_defer(tx, run, [event], await tx.now(), actor)

        await self._store.transaction(body)


def _verified(call: Call, outcome: str, evidence: str) -> Event:
    return ToolVerified(
        type="tool.verified",
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        outcome=outcome,
        evidence=evidence,
    )
