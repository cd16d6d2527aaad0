"""Call tools: the only module that uses the tool port.

A read is sent while its run is owned and not stopped. A change is sent once: one committed transaction consumes its
approval and inserts its execution before anything leaves the process (`protocol.md` 10 to 14).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from src.api.agent.policy import PolicyDecision
from src.api.errors import DigestMismatch, Forbidden, NotFound, RunStopped, StoreUnavailable
from src.api.ports import (
    Bus,
    Clock,
    EphemeralEvent,
    Evidence,
    Grant,
    Ids,
    ImpersonatedUser,
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
from src.api.schemas.policy import ActivePolicy
from src.api.schemas.query import Increment, Now, Where, gt
from src.api.schemas.records import Approval, Call, Execution, Run
from src.api.services.accounts.impersonation import Impersonation
from src.api.services.background import BackgroundTasks
from src.api.services.lease import Lease
from src.api.services.limits import Limits
from src.api.services.policy.enforcement import (
    approving_decisions,
    evaluate_approval,
    evaluate_read,
    find_requester,
    require_decision_still_valid,
)
from src.api.services.streaming.journal import Journal
from src.api.services.tools.calls import (
    create_execution,
    create_next_version,
    decided_event,
    executing_event,
    settle_call,
    start_execution_clock,
    supersede_later_changes,
)
from src.api.services.tools.conflicts import has_new_unknown_conflict
from src.api.services.tools.digests import matches_digest
from src.api.services.tools.results import ResultRecorder
from src.api.utils.failpoints import Failpoints
from src.api.utils.json_columns import load_object
from src.api.utils.text import clean

__all__ = ["Ledger"]

logger = logging.getLogger(__name__)

_CONFLICTS_WITH_UNKNOWN = "The outcome of another change to the same object became unknown after this was approved."
_EXPIRED = "Approved, but not started in time. Nothing was changed."
_EARLIER_EXPIRED = "An earlier change of the same turn expired."


@dataclass(frozen=True, slots=True)
class StartedExecution:
    """An execution that may be sent. Only the approval's row says what is executed; `start_time` is monotonic."""

    approval: Approval
    execution: Execution
    impersonate_user: ImpersonatedUser | None
    start_time: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a decided change is not started. A stale call is decided again; `policy` is the rule that denies one."""

    status: Literal["expired", "stale", "denied"]
    reason: str
    policy: str | None = None
    digest: str | None = None


@dataclass(slots=True)
class Ledger:
    """Send calls to the tool servers and record their results."""

    store: Store
    tools: ToolServer
    policies: Policies
    journal: Journal
    results: ResultRecorder
    impersonation: Impersonation
    bus: Bus
    clock: Clock
    ids: Ids
    limits: Limits
    failpoints: Failpoints
    tasks: BackgroundTasks

    async def specs(self) -> dict[str, ToolSpec]:
        return dict(await self.tools.tools())

    # -- reads and previews

    async def run_reads(self, lease: Lease, calls: Sequence[Call]) -> None:
        """Run the reads that the policy allows, concurrently. A read that needs approval is queued as a change is.

        Cancellation cancels the reads that are still running; results that have arrived are recorded.
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
        policy = await self.policies.current()

        async def body(tx: Transaction) -> list[Call]:
            run = await self.journal.lock_as_owner(tx, lease.run_id, lease.fence, reserve=len(calls))
            if run.stop_at is not None:
                raise RunStopped("A stop was requested.")
            now = await tx.now()
            person = await find_requester(tx, lease.user_id)
            decided = [
                await self._begin_read(tx, evaluate_read(policy, person, call, now), call, now) for call in calls
            ]
            events = [event for _, event in decided if event is not None]
            await self.journal.record_locked(tx, run, events, now, reserved=len(calls))
            return [call for call, (runs, _) in zip(calls, decided, strict=True) if runs]

        return await self.store.transaction(body)

    async def _begin_read(
        self, tx: Transaction, ruling: PolicyDecision, call: Call, now: int
    ) -> tuple[bool, Event | None]:
        """Return whether the read runs now, and the event to record. A read that needs approval becomes a change."""
        if ruling.decision == "deny":
            await settle_call(tx, call, "denied", now, error=ruling.sentence)
            return False, decided_event("tool.denied", call, policy=ruling.rule, reason=ruling.sentence)
        if ruling.decision != "allow":
            await tx.change(Call, {"id": call.id, "kind": "read"}, kind="change", status="pending")
            return False, None
        await tx.change(Call, {"id": call.id, "kind": "read"}, status="executing", started_at=now)
        return True, executing_event(call)

    async def _run_read(self, lease: Lease, call: Call) -> None:
        self.failpoints.pass_("ledger.read:before")
        reply = await self._read(lease.user_id, call)
        self.failpoints.pass_("ledger.read:after")
        lease.check()
        await self.results.record_read(call, lease.fence, reply)

    async def _read(self, user_id: str, call: Call) -> ToolReply:
        try:
            impersonate_user = await self._find_impersonated_user(call.server, user_id)
        except Forbidden as error:
            return _not_impersonated_reply(error)
        deadline = await self._call_timeout(call.tool, reads=True)
        request = ToolRequest(call.server, call.tool, call.args, deadline, call.schema_hash, impersonate_user)
        return await self.tools.call(request, self._progress_reporter(call))

    async def _call_timeout(self, tool: str, *, reads: bool) -> float:
        spec = (await self.specs()).get(tool)
        return self.limits.call_timeout(0 if spec is None else spec.timeout, reads=reads)

    async def _find_impersonated_user(self, server: str, user_id: str) -> ImpersonatedUser | None:
        return await self.store.read(lambda reader: self.impersonation.user_for(reader, server, user_id))

    async def preview(self, user_id: str, spec: ToolSpec, args: str) -> Preview | ToolReply:
        """Return the preview of a change, or the reply with which its server refused it."""
        try:
            impersonate_user = await self._find_impersonated_user(spec.server, user_id)
        except Forbidden as error:
            return _not_impersonated_reply(error)
        self.failpoints.pass_("ledger.preview:before")
        shown = await self.tools.preview(spec, args, impersonate_user)
        self.failpoints.pass_("ledger.preview:after")
        return shown

    # -- changes

    async def run_change(self, lease: Lease, call: Call) -> None:
        """Execute an approved change, or record why it is not executed. Once begun, it is never cancelled from here."""
        lease.check()
        change = self.tasks.spawn_protected(self._start_and_send(lease, call), name=f"change {call.id}")
        lease.change_in_flight = change
        await asyncio.shield(change)
        lease.change_in_flight = None

    async def _start_and_send(self, lease: Lease, call: Call) -> None:
        """Start the change and send it: a started change that a shutdown keeps from being sent would never run."""
        started = await self._start(lease, call)
        if started is not None:
            await self._send_change(call, started)

    async def _start(self, lease: Lease, call: Call) -> StartedExecution | None:
        nonce = self.ids.new()
        policy = await self.policies.current()
        start_time = self.clock.monotonic()

        async def body(tx: Transaction) -> StartedExecution | None:
            guard: Where = {"id": lease.run_id, "fence": lease.fence, "state": "running", "stop_at": None}
            run = await tx.change(Run, guard, journal=Increment(1), updated_at=Now())
            if run is None:
                return None
            now = await tx.now()
            checked = await self._consume_and_check(tx, policy, call, now)
            if isinstance(checked, Refusal):
                await self._refuse(tx, run, call, checked, now)
                return None
            approval, impersonate_user = checked
            execution = create_execution(approval, lease.fence, nonce, now)
            if not await tx.insert(execution):
                raise NotFound("This change has been started before; it never starts twice.")
            await tx.change(Call, {"id": call.id}, status="executing", started_at=now)
            await self.journal.record_locked(tx, run, [executing_event(call)], now, reserved=1)
            return StartedExecution(approval, execution, impersonate_user, start_time)

        started = await self.store.transaction(body)
        if started is None:
            await self._raise_if_halted(lease)
        return started

    async def _raise_if_halted(self, lease: Lease) -> None:
        """Raise `RunStopped` or `RunFenced` if the run itself is the reason why nothing was started."""
        run = await self.store.read(lambda reader: reader.get(Run, id=lease.run_id))
        if run is None or run.fence != lease.fence or run.state != "running":
            lease.lose()
        elif run.stop_at is not None:
            lease.stop()
        lease.check()

    async def _consume_and_check(
        self, tx: Transaction, policy: ActivePolicy, call: Call, now: int
    ) -> tuple[Approval, ImpersonatedUser | None] | Refusal:
        """Consume the approval and check that everything its decision was based on still holds."""
        approval = await self._consume_approval(tx, call, now)
        if approval is None:
            return Refusal("expired", _EXPIRED)
        if await has_new_unknown_conflict(tx, approval):
            return Refusal("stale", _CONFLICTS_WITH_UNKNOWN)
        ruling = await evaluate_approval(tx, policy, approval, now)
        if ruling.decision == "deny":
            return Refusal("denied", ruling.sentence, ruling.rule, approval.digest)
        votes = await approving_decisions(tx, approval) if approval.decided_by_policy is None else []
        try:
            require_decision_still_valid(approval, ruling, votes)
            return approval, await self.impersonation.approver_for(tx, approval, votes)
        except Forbidden as error:
            return Refusal("stale", f"{error.detail} Decide again.")

    async def _consume_approval(self, tx: Transaction, call: Call, now: int) -> Approval | None:
        """Consume the approval, if it is approved and may still start. Raises `DigestMismatch`, which undoes that."""
        guard: Where = {"id": call.id, "run_id": call.run_id, "status": "approved", "execute_by": gt(now)}
        approval = await tx.change(Approval, guard, status="consumed")
        if approval is not None and not matches_digest(approval):
            raise DigestMismatch("What was approved is not what is stored now, so it was not run.")
        return approval

    async def _refuse(self, tx: Transaction, run: Run, call: Call, refusal: Refusal, now: int) -> None:
        """Settle a change that is not started; does nothing if its approval is no longer open.

        After "denied" the turn's later changes may go on, as after a person's denial; otherwise they are superseded.
        """
        before, after = ("approved", "expired") if refusal.status == "expired" else ("consumed", "stale")
        if await tx.change(Approval, {"id": call.id, "status": before}, status=after) is None:
            await self.journal.record_locked(tx, run, [], now, reserved=1)  # returns the number that no event needs
            return
        await settle_call(tx, call, refusal.status, now, error=refusal.reason)
        superseded: list[Event] = []
        if refusal.status == "stale":
            await tx.insert(create_next_version(call, self.ids.new(), now))
        if refusal.status == "denied":
            await start_execution_clock(tx, run, now, self.limits.start_timeout_ms)
        else:
            reason = _EARLIER_EXPIRED if refusal.status == "expired" else refusal.reason
            superseded = await supersede_later_changes(tx, run, call, reason, now)
        event = decided_event(
            f"tool.{refusal.status}", call, policy=refusal.policy, reason=refusal.reason, digest=refusal.digest
        )
        await self.journal.record_locked(tx, run, [event, *superseded], now, reserved=1)

    async def _send_change(self, call: Call, started: StartedExecution) -> None:
        """Send what the approval's row holds, once, and record the result even if the run has a new owner by then."""
        approval = started.approval
        reads = approval.effect == "read"
        request = ToolRequest(
            server=approval.server,
            tool=approval.tool,
            args=approval.args,
            deadline=await self._call_timeout(approval.tool, reads=reads),
            schema_hash=approval.schema_hash,
            impersonate_user=started.impersonate_user,
            grant=None if reads else self._grant(approval, started.start_time),
            send_before=started.start_time + self.limits.send_timeout,
        )
        self.failpoints.pass_("ledger.send:before")
        reply = await self.tools.call(request, self._progress_reporter(call))
        self.failpoints.pass_("ledger.send:after")
        await self._record_with_retry(call, started.execution.nonce, _as_read_reply(reply) if reads else reply)

    async def _record_with_retry(self, call: Call, nonce: str, reply: ToolReply) -> None:
        """Record a result, retrying for up to `record_timeout` seconds while the database is unavailable."""
        deadline = self.clock.monotonic() + self.limits.record_timeout
        while True:
            try:
                await self.results.record_change(call, nonce, reply)
                return
            except StoreUnavailable as error:
                logger.warning(error.detail, extra={"action": "execution.record_failed", "run_id": call.run_id})
                if self.clock.monotonic() >= deadline:
                    raise
            await self.clock.sleep(1)

    def _grant(self, approval: Approval, start_time: float) -> Grant:
        return Grant(
            approval_id=approval.id,
            run_id=approval.run_id,
            approver=approval.decided_by or "unknown",
            preconditions=None if approval.preconditions is None else load_object(approval.preconditions),
            expires_in=start_time + self.limits.grant_lifetime - self.clock.monotonic(),
        )

    def _progress_reporter(self, call: Call) -> Progress:
        async def publish_progress(message: str | None, progress: float | None, total: float | None) -> None:
            text = None if message is None else clean(message[:1000])
            event = ToolProgress(type="tool.progress", call_id=call.id, message=text, progress=progress, total=total)
            await self.bus.publish(EphemeralEvent(call.run_id, EVENT.dump_json(event).decode(), self.clock.now()))

        return publish_progress

    # -- settling

    async def settle(self, execution: Execution, *, wait: bool) -> Settlement:
        """Ask the tool server whether the change ever ran. "Never ran" is final: the server then refuses the grant.

        With `wait`, a server that can't be reached or does not answer is asked again for up to `settle_timeout`
        seconds: it may be starting, as the engine is.
        """
        approval = await self._read_approval(execution.id)
        deadline = self.clock.monotonic() + (self.limits.settle_timeout if wait else 0)
        while True:
            settlement = await self.tools.settle(approval.server, approval.id)
            if not settlement.is_unanswered or self.clock.monotonic() >= deadline:
                return settlement
            await self.clock.sleep(0.5)

    async def evidence(self, viewer: str, execution: Execution) -> Evidence:
        """Ask the tool server what the objects of the change look like now, with the rights of `viewer`."""
        approval = await self._read_approval(execution.id)
        impersonate_user = await self._find_impersonated_user(approval.server, viewer)
        preconditions = None if approval.preconditions is None else load_object(approval.preconditions)
        return await self.tools.evidence(approval.server, approval.tool, approval.args, preconditions, impersonate_user)

    async def _read_approval(self, approval_id: str) -> Approval:
        approval = await self.store.read(lambda reader: reader.get(Approval, id=approval_id))
        if approval is None:
            raise NotFound("There is no such approval.")
        return approval


def _not_impersonated_reply(error: Forbidden) -> ToolReply:
    """Return the reply for a request that was not sent because its user can't be impersonated."""
    return ToolReply("failed", error=error.detail, code="not_impersonated", effect="none")


def _as_read_reply(reply: ToolReply) -> ToolReply:
    """Turn an unknown outcome into a failed one: a read without an answer has no effect that could be in doubt."""
    return replace(reply, outcome="failed", effect="none") if reply.outcome == "unknown" else reply
