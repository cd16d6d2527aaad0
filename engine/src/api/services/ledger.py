"""The one door to the tools: nothing else in the engine calls the tool port.

A read goes out when its run is owned and not stopped. A change goes out once: its approval is consumed and its
execution inserted in one committed transaction before anything leaves the process (`protocol.md` 10 to 14).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from src.api.agent.policy import Ruling
from src.api.errors import DigestMismatch, Forbidden, NotFound, RunStopped, StoreUnavailable
from src.api.ports import (
    Acting,
    Bus,
    Clock,
    Evidence,
    Grant,
    Ids,
    Notice,
    Policies,
    Preview,
    Progress,
    Settlement,
    Store,
    ToolReply,
    ToolRequest,
    ToolServer,
    ToolSpec,
    Transaction,
)
from src.api.schemas.events import EVENT, Event, ToolProgress
from src.api.schemas.query import Where
from src.api.schemas.records import Approval, Call, Execution, Run
from src.api.services.acting import Impersonation
from src.api.services.beside import became_unknown
from src.api.services.calls import (
    decided_event,
    executing_event,
    let_next_execute,
    next_version,
    settle,
    supersede_after,
)
from src.api.services.digests import untouched
from src.api.services.journal import Journal
from src.api.services.leases import Lease
from src.api.services.outcomes import Outcomes
from src.api.services.policing import check_holds, requester, rule_on_approval, rule_on_read
from src.api.services.settings import Limits
from src.api.services.tasks import Tasks
from src.api.utils.failpoints import Failpoints
from src.api.utils.shown import shown_object
from src.api.utils.text import clean

__all__ = ["Ledger"]

logger = logging.getLogger(__name__)

_BESIDE_UNKNOWN = "The outcome of another change to the same object became unknown after this was approved."
_EXPIRED = "Approved, but not started in time. Nothing was changed."


@dataclass(frozen=True, slots=True)
class Started:
    """An execution that may go out: what runs is what the approval's row says, and nothing else."""

    approval: Approval
    execution: Execution
    acting: Acting | None
    began: float


class Ledger:
    """Runs calls and records what came of them."""

    def __init__(
        self,
        store: Store,
        tools: ToolServer,
        policies: Policies,
        journal: Journal,
        outcomes: Outcomes,
        impersonation: Impersonation,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        limits: Limits,
        failpoints: Failpoints,
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._tools = tools
        self._policies = policies
        self._journal = journal
        self._outcomes = outcomes
        self._impersonation = impersonation
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._failpoints = failpoints
        self._tasks = tasks

    async def specs(self) -> dict[str, ToolSpec]:
        return dict(await self._tools.tools())

    # -- reads

    async def run_reads(self, lease: Lease, calls: Sequence[Call]) -> None:
        """All that the policy allows at the same time; what it asks for becomes a call to be decided on.

        Cancelling it cancels the reads; what has come by then is recorded.
        """
        lease.check()
        allowed = await self._begin_reads(lease, calls)
        lease.check()
        try:
            async with asyncio.TaskGroup() as group:
                for call in allowed:
                    _ = group.create_task(self._run_read(lease, call))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _begin_reads(self, lease: Lease, calls: Sequence[Call]) -> list[Call]:
        force = await self._policies.current()

        async def body(tx: Transaction) -> list[Call]:
            run = await self._journal.record_as_owner(tx, lease.run_id, lease.fence, [], await tx.now())
            if run.stop_at is not None:
                raise RunStopped("Stop was asked for.")
            now = await tx.now()
            whose = await requester(tx, lease.user_id)
            begun = [await self._begin_read(tx, rule_on_read(force, whose, call, now), call, now) for call in calls]
            events = [event for _, event in begun if event is not None]
            await self._journal.record_as_owner(tx, lease.run_id, lease.fence, events, now)
            return [call for call, (runs, _) in zip(calls, begun, strict=True) if runs]

        return await self._store.transaction(body)

    async def _begin_read(self, tx: Transaction, ruling: Ruling, call: Call, now: int) -> tuple[bool, Event | None]:
        """Whether it runs now, and what is to be told. One that is asked for waits like a change from now on."""
        if ruling.decision == "deny":
            await settle(tx, call, "denied", now, error=ruling.sentence)
            return False, decided_event("tool.denied", call, by=ruling.decider, reason=ruling.sentence)
        if ruling.decision != "allow":
            await tx.change(Call, {"id": call.id, "kind": "read"}, kind="change", status="pending")
            return False, None
        await tx.change(Call, {"id": call.id, "kind": "read"}, status="executing", started_at=now)
        return True, executing_event(call)

    async def _run_read(self, lease: Lease, call: Call) -> None:
        self._failpoints.pass_("ledger.read:before")
        reply = await self._read(lease.user_id, call)
        self._failpoints.pass_("ledger.read:after")
        lease.check()
        await self._outcomes.record_read(call, lease.fence, reply)

    async def _read(self, user_id: str, call: Call) -> ToolReply:
        try:
            acting = await self._person(call.server, user_id)
        except Forbidden as error:
            return _refused(error)
        limit = self._limits.read_within
        request = ToolRequest(call.server, call.tool, call.args, limit, call.schema_hash, acting)
        return await self._tools.call(request, self._progress(call))

    async def _person(self, server: str, user_id: str) -> Acting | None:
        return await self._store.read(lambda reader: self._impersonation.person(reader, server, user_id))

    # -- previews

    async def preview(self, user_id: str, spec: ToolSpec, args: str) -> Preview | ToolReply:
        """What the change would do, or why its server refuses it; a preview may say that there is none."""
        try:
            acting = await self._person(spec.server, user_id)
        except Forbidden as error:
            return _refused(error)
        self._failpoints.pass_("ledger.preview:before")
        shown = await self._tools.preview(spec, args, acting)
        self._failpoints.pass_("ledger.preview:after")
        return shown

    # -- changes

    async def run_change(self, lease: Lease, call: Call) -> None:
        """Runs an approved change, or records why it can't run. Once it is on its way, nothing here cancels it."""
        lease.check()
        started = await self._start(lease, call)
        if started is not None:
            lease.carrying = True
            await asyncio.shield(self._tasks.keep(self._carry_out(call, started), name=f"change {call.id}"))
            lease.carrying = False

    async def _start(self, lease: Lease, call: Call) -> Started | None:
        nonce = self._ids.new()
        force = await self._policies.current()
        before = self._clock.boot()

        async def body(tx: Transaction) -> Started | None:
            now = await tx.now()
            guard: Where = {"id": lease.run_id, "fence": lease.fence, "state": "running", "stop_at": None}
            run = await tx.change(Run, guard, touched_at=now)
            if run is None:
                return None
            now = await tx.now()
            approval = await self._consume(tx, call, now)
            if approval is None:
                await self._too_late(tx, run, lease, call, now)
                return None
            if await became_unknown(tx, approval):
                await self._ask_again(tx, run, lease, call, _BESIDE_UNKNOWN, now)
                return None
            ruling = await rule_on_approval(tx, force, approval, now)
            if ruling.decision == "deny":
                await self._deny(tx, run, lease, call, ruling, approval.digest, now)
                return None
            try:
                await check_holds(tx, approval, ruling)
                acting = await self._impersonation.approver(tx, approval)
            except Forbidden as error:
                await self._ask_again(tx, run, lease, call, f"{error.detail} Decide anew.", now)
                return None
            execution = _execution(approval, lease.fence, nonce, now)
            if not await tx.insert(execution):
                raise NotFound("This change has been started before; it never starts twice.")
            await tx.change(Call, {"id": call.id}, status="executing", started_at=now)
            await self._journal.record_as_owner(tx, run.id, lease.fence, [executing_event(call)], now)
            return Started(approval, execution, acting, before)

        started = await self._store.transaction(body)
        if started is None:
            await self._heed(lease)
        return started

    async def _heed(self, lease: Lease) -> None:
        """Nothing was started: raises `RunStopped` or `RunFenced` where the run itself is the reason."""
        run = await self._store.read(lambda reader: reader.get(Run, id=lease.run_id))
        if run is None or run.fence != lease.fence or run.state != "running":
            lease.lose()
        elif run.stop_at is not None:
            lease.stop()
        lease.check()

    async def _consume(self, tx: Transaction, call: Call, now: int) -> Approval | None:
        approval = await tx.get(Approval, id=call.id)
        if approval is None or approval.execute_by is None or approval.execute_by <= now:
            return None
        if not untouched(approval):
            raise DigestMismatch("What was approved is not what is stored now, so it was not run.")
        guard = {"id": approval.id, "run_id": call.run_id, "status": "approved", "digest": approval.digest}
        return await tx.change(Approval, guard, status="consumed")

    async def _ask_again(self, tx: Transaction, run: Run, lease: Lease, call: Call, why: str, now: int) -> None:
        """What the decision rested on does not hold any more: decide anew."""
        await tx.change(Approval, {"id": call.id, "status": "consumed"}, status="stale")
        await settle(tx, call, "stale", now, error=why)
        await tx.insert(next_version(call, self._ids.new(), now))
        later = await supersede_after(tx, run, call, why, now)
        events: list[Event] = [decided_event("tool.stale", call, reason=why), *later]
        await self._journal.record_as_owner(tx, run.id, lease.fence, events, now)

    async def _deny(
        self, tx: Transaction, run: Run, lease: Lease, call: Call, ruling: Ruling, digest: str, now: int
    ) -> None:
        """Decided, and denied by a policy that came since. As after a person's no, what comes next may go on."""
        await tx.change(Approval, {"id": call.id, "status": "consumed"}, status="stale")
        await settle(tx, call, "denied", now, error=ruling.sentence)
        await let_next_execute(tx, run, now, self._limits.execute_ms)
        event = decided_event("tool.denied", call, by=ruling.decider, reason=ruling.sentence, digest=digest)
        await self._journal.record_as_owner(tx, run.id, lease.fence, [event], now)

    async def _too_late(self, tx: Transaction, run: Run, lease: Lease, call: Call, now: int) -> None:
        expired = await tx.change(Approval, {"id": call.id, "status": "approved"}, status="expired")
        if expired is None:
            return
        await settle(tx, call, "expired", now, error=_EXPIRED)
        later = await supersede_after(tx, run, call, "An earlier change of the same turn expired.", now)
        events: list[Event] = [decided_event("tool.expired", call, reason=_EXPIRED), *later]
        await self._journal.record_as_owner(tx, run.id, lease.fence, events, now)

    async def _carry_out(self, call: Call, started: Started) -> None:
        """Sends what the approval's row holds, once, and records the end whoever owns the run by then."""
        approval = started.approval
        reads = approval.effect == "read"
        request = ToolRequest(
            server=approval.server,
            tool=approval.tool,
            args=approval.args,
            deadline=self._limits.read_within if reads else self._limits.execute_within,
            schema_hash=approval.schema_hash,
            acting=started.acting,
            grant=None if reads else self._grant(approval, started.began),
            send_before=started.began + self._limits.send_within,
        )
        self._failpoints.pass_("ledger.send:before")
        reply = await self._tools.call(request, self._progress(call))
        self._failpoints.pass_("ledger.send:after")
        await self._record_surely(call, started.execution.nonce, _of_a_read(reply) if reads else reply)

    async def _record_surely(self, call: Call, nonce: str, reply: ToolReply) -> None:
        """A result is evidence: while the database is away it waits, as long as the change itself might take."""
        until = self._clock.boot() + self._limits.execute_within
        while True:
            try:
                await self._outcomes.record_change(call, nonce, reply)
                return
            except StoreUnavailable as error:
                logger.warning(error.detail, extra={"action": "execution.record_failed", "run_id": call.run_id})
                if self._clock.boot() >= until:
                    raise
            await self._clock.sleep(1)

    def _grant(self, approval: Approval, began: float) -> Grant:
        return Grant(
            approval_id=approval.id,
            run_id=approval.run_id,
            approver=approval.decided_by or "unknown",
            preconditions=None if approval.preconditions is None else shown_object(approval.preconditions),
            expires_in=began + self._limits.grant_expires_in - self._clock.boot(),
        )

    def _progress(self, call: Call) -> Progress:
        async def tell(message: str | None, progress: float | None, total: float | None) -> None:
            said = None if message is None else clean(message[:1000])
            event = ToolProgress(type="tool.progress", call_id=call.id, message=said, progress=progress, total=total)
            await self._bus.publish(Notice(call.run_id, EVENT.dump_json(event).decode(), self._clock.now()))

        return tell

    # -- settling

    async def settle(self, execution: Execution, *, wait: bool) -> Settlement:
        """Asks the tool server, for good, whether the change ever ran; `wait`: for one that is coming up."""
        approval = await self._approval(execution.id)
        until = self._clock.boot() + (self._limits.settle_within if wait else 0)
        while True:
            settlement = await self._tools.settle(approval.server, approval.id)
            unreached = settlement.reply is not None and settlement.reply.code == "never_sent"
            if not unreached or self._clock.boot() >= until:
                return settlement
            await self._clock.sleep(0.5)

    async def evidence(self, viewer: str, execution: Execution) -> Evidence:
        """What the objects look like to the one who asks."""
        approval = await self._approval(execution.id)
        acting = await self._person(approval.server, viewer)
        preconditions = None if approval.preconditions is None else shown_object(approval.preconditions)
        return await self._tools.evidence(approval.server, approval.tool, approval.args, preconditions, acting)

    async def _approval(self, approval_id: str) -> Approval:
        approval = await self._store.read(lambda reader: reader.get(Approval, id=approval_id))
        if approval is None:
            raise NotFound("There is no such approval.")
        return approval


def _refused(error: Forbidden) -> ToolReply:
    """Nothing was sent, since Kubernetes can't be told for whom."""
    return ToolReply("failed", error=error.detail, code="not_impersonated", effect="none")


def _of_a_read(reply: ToolReply) -> ToolReply:
    """A read has no effect that could be in doubt: without an answer it has failed."""
    return replace(reply, outcome="failed", effect="none") if reply.outcome == "unknown" else reply


def _execution(approval: Approval, fence: int, nonce: str, now: int) -> Execution:
    return Execution(
        id=approval.id,
        run_id=approval.run_id,
        fence=fence,
        nonce=nonce,
        state="started",
        effect=None,
        code=None,
        result="[]",
        error=None,
        settled_by=None,
        evidence=None,
        started_at=now,
        ended_at=None,
    )
