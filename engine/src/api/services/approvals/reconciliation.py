"""Reconcile changes whose outcome is unknown: ask the tool server, compare the objects, or let a person settle it.

The tool server's answer that a grant never ran is proof, because the server refuses that grant from then on
(`protocol.md` 14). Objects that look as the change would have left them are evidence, which only a person may act on.
"""

from dataclasses import dataclass

from src.api.errors import Conflict, NotFound
from src.api.ports import Evidence, Reader, Settlement, Store, ToolReply, Transaction
from src.api.schemas.agent import ReconcileRequest
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.events import Event, ToolVerified
from src.api.schemas.records import Call, Execution, Run
from src.api.schemas.runs import ApprovalView
from src.api.services.access import Caller, get_visible_conversation, require_may_decide
from src.api.services.approvals.queries import ApprovalQueries
from src.api.services.lease import Lease
from src.api.services.policy.enforcement import identity_of
from src.api.services.streaming.journal import Journal
from src.api.services.tools.calls import is_erased, settle_call
from src.api.services.tools.ledger import Ledger
from src.api.services.tools.results import ResultRecorder
from src.api.utils.canonical import canonical
from src.api.utils.text import clean

__all__ = ["NEVER_RAN", "Reconciliation"]

NEVER_RAN = ToolReply(
    "failed", error="It never ran, and never will: the tool server refuses its grant.", code="never_ran", effect="none"
)
_APPLIED = "A person settled it: the change was applied."
_ERASED = "This conversation was deleted in the meantime, and its content is gone."
_NOT_APPLIED = "A person settled it: the change was not applied."


@dataclass(slots=True)
class Reconciliation:
    """Reconcile unknown outcomes on request, and the executions that a dead owner had started."""

    store: Store
    ledger: Ledger
    results: ResultRecorder
    journal: Journal
    queries: ApprovalQueries

    async def verify(self, caller: Caller, call_id: str, request: ReconcileRequest) -> ApprovalView:
        """Ask the tool server whether the change ever ran; with an `outcome` in the request, the caller settles it.

        Raises `NotFound`, `Forbidden`, and `Conflict` if there is nothing to reconcile.
        """
        execution, call = await self._find_unknown(caller, call_id)
        settlement = await self.ledger.settle(execution, wait=False)
        if await self._record_settlement(execution, call, settlement, by="the tool server"):
            return await self.queries.get(caller, call_id)
        if request.outcome is None:
            evidence = await self.ledger.evidence(caller.id, execution)
            await self._record_evidence(execution, call, evidence, caller.actor)
        else:
            await self._settle_by_person(caller, execution, call, request)
        return await self.queries.get(caller, call_id)

    async def recover(self, lease: Lease) -> None:
        """Settle the executions that a dead owner had started, for the worker that holds the run now."""

        async def body(reader: Reader) -> list[tuple[Execution, Call]]:
            started = await reader.find(Execution, {"run_id": lease.run_id, "state": "started"}, "started_at,id")
            calls = {call.id: call for call in await reader.find(Call, {"id": tuple(each.id for each in started)})}
            return [(each, calls[each.id]) for each in started if each.fence < lease.fence]

        for execution, call in await self.store.read(body):
            await self._recover(execution, call, lease.fence)

    async def _recover(self, execution: Execution, call: Call, fence: int) -> None:
        settlement = await self.ledger.settle(execution, wait=True)
        if not await self._record_settlement(execution, call, settlement, by="recovery", fence=fence):
            message = "The engine stopped while this change was under way, and its outcome is not known."
            await self.results.record_change(call, execution.nonce, ToolReply("unknown", error=message), fence=fence)

    async def _find_unknown(self, caller: Caller, call_id: str) -> tuple[Execution, Call]:
        async def body(tx: Transaction) -> tuple[Execution, Call]:
            call = await tx.get(Call, id=call_id)
            if call is None:
                raise NotFound("There is no such call.")
            require_may_decide(caller, await get_visible_conversation(tx, caller, call.conversation_id))
            execution = await tx.get(Execution, id=call_id)
            if execution is None:
                raise Conflict("This call has not been started, so there is no outcome to verify.")
            if execution.state != "unknown":
                raise Conflict(f"The outcome of this call is known: {execution.state}.", outcome=execution.state)
            return execution, call

        return await self.store.transaction(body)

    async def _record_settlement(
        self, execution: Execution, call: Call, settlement: Settlement, by: str, fence: int | None = None
    ) -> bool:
        """Record what the tool server knows for certain. Returns False if it knows nothing."""
        reply = NEVER_RAN if settlement.state == "never_ran" else settlement.reply
        if settlement.state == "never_ran" and execution.state == "unknown":
            await self._settle_unknown(execution, call, "not_applied", by, NEVER_RAN.error or "", "never_ran")
        elif settlement.state in ("never_ran", "succeeded", "failed") and reply is not None:
            await self.results.record_change(call, execution.nonce, reply, settled_by=by, fence=fence)
        else:
            return False
        return True

    async def _settle_by_person(
        self, caller: Caller, execution: Execution, call: Call, request: ReconcileRequest
    ) -> None:
        outcome = request.outcome or "not_applied"
        message = _APPLIED if outcome == "applied" else _NOT_APPLIED
        detail = message if not request.reason else f"{message} {clean(request.reason)}"
        by = await self.store.read(lambda reader: identity_of(reader, caller.id))
        await self._settle_unknown(execution, call, outcome, by, detail, "settled", caller.actor)

    async def _settle_unknown(
        self, execution: Execution, call: Call, outcome: str, by: str, detail: str, code: str, actor: Actor = ENGINE
    ) -> None:
        async def body(tx: Transaction) -> None:
            run = await tx.change(Run, {"id": call.run_id}, updated_at=await tx.now())
            now = await tx.now()
            updated = await tx.change(
                Execution,
                {"id": execution.id, "nonce": execution.nonce, "state": "unknown"},
                state=outcome,
                settled_by=by,
                code=code,
                ended_at=now,
            )
            if run is None or updated is None:
                raise Conflict("This outcome was settled in the meantime. Look at it again.")
            if await is_erased(tx, run.id):
                raise NotFound(_ERASED)
            status = "completed" if outcome == "applied" else "error"
            await settle_call(tx, call, status, now, error=detail)
            await self.journal.record_or_defer(tx, run, [_build_event(call, outcome, detail)], now, actor)

        await self.store.transaction(body)

    async def _record_evidence(self, execution: Execution, call: Call, evidence: Evidence, actor: Actor) -> None:
        async def body(tx: Transaction) -> None:
            run = await tx.change(Run, {"id": call.run_id}, updated_at=await tx.now())
            if await is_erased(tx, call.run_id):
                raise NotFound(_ERASED)
            text = canonical({"verdict": evidence.verdict, "detail": clean(evidence.detail)})
            updated = await tx.change(Execution, {"id": execution.id, "state": "unknown"}, evidence=text)
            if run is not None and updated is not None:
                event = _build_event(call, evidence.verdict, clean(evidence.detail))
                await self.journal.record_or_defer(tx, run, [event], await tx.now(), actor)

        await self.store.transaction(body)


def _build_event(call: Call, outcome: str, evidence: str) -> Event:
    return ToolVerified(
        type="tool.verified",
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        outcome=outcome,
        evidence=evidence,
    )
