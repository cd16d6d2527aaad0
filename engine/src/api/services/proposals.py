"""From a call to something that a person can decide on: preview, digest, approval, and the run's rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from src.api.agent.policy import Ruling
from src.api.errors import RunStopped
from src.api.ports import Policies, Preview, Store, ToolReply, ToolSpec, Transaction
from src.api.schemas.events import Completed, Event, ToolAwaitingApproval, WorkflowComplete
from src.api.schemas.policy import PolicyInForce
from src.api.schemas.query import Plus
from src.api.schemas.records import Approval, Call, Conversation, Run
from src.api.services.beside import objects_of, unknown_beside
from src.api.services.calls import calls_of_turn, decided_event, first_open_change, let_next_execute, settle
from src.api.services.digests import digest_over
from src.api.services.journal import Journal
from src.api.services.leases import Lease
from src.api.services.ledger import Ledger
from src.api.services.outcomes import Outcome, Outcomes
from src.api.services.policing import effect_of, rule_on_approval
from src.api.services.settings import Limits
from src.api.utils.canonical import canonical
from src.api.utils.redaction import Redactor
from src.api.utils.shown import shown_object

__all__ = ["Proposal", "Proposals", "awaiting_event", "rest", "resting_events", "ruled"]

MAX_PREVIEW = 200_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """A call with what would come of it: an approval to be asked for, or the outcome that its preview already has."""

    call: Call
    end: Approval | Outcome

    @property
    def objects(self) -> set[str]:
        return objects_of(self.end) if isinstance(self.end, Approval) else set()


class Proposals:
    """Asks for approvals, where the policy neither gives nor refuses them."""

    def __init__(
        self,
        store: Store,
        policies: Policies,
        ledger: Ledger,
        journal: Journal,
        outcomes: Outcomes,
        redactor: Redactor,
        limits: Limits,
    ) -> None:
        self._store = store
        self._policies = policies
        self._ledger = ledger
        self._journal = journal
        self._outcomes = outcomes
        self._redactor = redactor
        self._limits = limits

    async def propose(self, lease: Lease, calls: Sequence[Call], specs: Mapping[str, ToolSpec]) -> bool:
        """Previews the pending changes and asks for them; True if the run rests now. `specs`: what its person may use.

        A change to an object that an earlier open one of the turn touches is left for later (promise `fresh`).
        """
        asked = await self._asked(calls)
        touched: set[str] = set()
        proposals: list[Proposal] = []
        for call in calls:
            if call.id in asked:
                touched |= objects_of(asked[call.id])
            if call.kind != "change" or call.status != "pending":
                continue
            lease.check()
            proposal = await self.prepare(lease.user_id, call, specs.get(call.tool))
            if not proposal.objects & touched:
                proposals.append(proposal)
            touched |= proposal.objects
        return await self._commit(lease, proposals)

    async def prepare(self, requester: str, call: Call, spec: ToolSpec | None) -> Proposal:
        """The preview and the approval as it would be; no rows are written."""
        if spec is None or (spec.server, spec.schema_hash) != (call.server, call.schema_hash):
            gone = ToolReply(
                "failed", error=f"The tool {call.tool} has changed, gone or been withdrawn since it was called."
            )
            return Proposal(call, self._outcomes.of(replace(gone, code="schema_changed", effect="none")))
        shown = _of_a_read(spec) if spec.read else await self._ledger.preview(requester, spec, call.args)
        if isinstance(shown, ToolReply):
            return Proposal(call, self._outcomes.of(shown))
        return Proposal(call, self._approval(requester, call, shown, effect_of(spec, shown.risk)))

    def _approval(self, requester: str, call: Call, preview: Preview, effect: str) -> Approval:
        shown = self._shown(preview)
        preconditions = None if preview.preconditions is None else canonical(preview.preconditions)
        approval = Approval(
            id=call.id,
            run_id=call.run_id,
            conversation_id=call.conversation_id,
            requester_id=requester,
            author_id=requester,
            server=call.server,
            tool=call.tool,
            schema_hash=call.schema_hash,
            args=call.args,
            preview=shown,
            preconditions=preconditions,
            objects=canonical(list(preview.objects)),
            digest="",
            risk=preview.risk,
            effect=effect,
            rule="",
            votes=1,
            status="pending",
            approve_by=0,
            execute_by=None,
            decided_by=None,
            decided_at=None,
            reason=None,
            supersedes=call.supersedes,
            created_at=0,
        )
        return replace(approval, digest=digest_over(approval))

    def _shown(self, preview: Preview) -> str:
        redacted = self._redactor.redact(preview.shown)
        text = canonical(redacted)
        if len(text) <= MAX_PREVIEW:
            return text
        note = f"This preview is {len(text)} characters long and is not shown whole. Ask for a smaller change."
        return canonical({"summary": preview.summary, "no_preview": note})

    async def _asked(self, calls: Sequence[Call]) -> dict[str, Approval]:
        """The approvals of calls that wait for a person, or to be run."""
        open_calls = tuple(call.id for call in calls if call.status in ("awaiting_approval", "approved"))
        found = await self._store.read(lambda reader: reader.find(Approval, {"id": open_calls}))
        return {approval.id: approval for approval in found}

    async def _commit(self, lease: Lease, proposals: Sequence[Proposal]) -> bool:
        force = await self._policies.current()

        async def body(tx: Transaction) -> bool:
            now = await tx.now()
            await tx.change(Conversation, {"id": lease.conversation_id}, touches=Plus(1), updated_at=now)
            run = await self._journal.record_as_owner(tx, lease.run_id, lease.fence, [], now)
            if run.stop_at is not None:
                raise RunStopped("Stop was asked for.")
            now = await tx.now()
            events = [await self._enter(tx, force, proposal, now) for proposal in proposals]
            await let_next_execute(tx, run, now, self._limits.execute_ms)
            first = first_open_change(await calls_of_turn(tx, run))
            rests = first is not None and first.status == "awaiting_approval"
            last = resting_events(run, now) if rests else []
            run = await self._journal.record_as_owner(tx, run.id, lease.fence, events, now, last)
            if rests:
                await rest(tx, run, now)
            return rests

        return await self._store.transaction(body)

    async def _enter(self, tx: Transaction, force: PolicyInForce, proposal: Proposal, now: int) -> Event:
        call, end = proposal.call, proposal.end
        if isinstance(end, Outcome):
            await settle(tx, call, "error", now, error=end.error, result=end.result)
            return self._outcomes.event(call, replace(end, status="error"))
        ruling = await rule_on_approval(tx, force, end, now)
        if ruling.decision == "deny":
            await settle(tx, call, "denied", now, error=ruling.sentence)
            return decided_event("tool.denied", call, by=ruling.decider, reason=ruling.sentence, digest=end.digest)
        approval = replace(ruled(end, ruling), approve_by=now + self._limits.approve_ms, created_at=now)
        if ruling.decision == "allow" and await _may_be_given(tx, call, approval):
            approval = replace(approval, status="approved", decided_by=ruling.decider, decided_at=now)
            approval = replace(approval, reason=ruling.reason)
            await tx.insert(approval)
            await tx.change(Call, {"id": call.id, "status": "pending"}, status="approved")
            return decided_event("tool.approved", call, by=ruling.decider, reason=ruling.reason, digest=end.digest)
        await tx.insert(approval)
        await tx.change(Call, {"id": call.id, "status": "pending"}, status="awaiting_approval")
        return awaiting_event(call, approval)


def ruled(approval: Approval, ruling: Ruling) -> Approval:
    """The approval with what the policy asks for it."""
    return replace(approval, rule=ruling.rule, votes=ruling.votes)


async def _may_be_given(tx: Transaction, call: Call, approval: Approval) -> bool:
    """A policy says yes to a call once. What comes back, and what is beside an unknown outcome, is for a person."""
    return call.version == 1 and not await unknown_beside(tx, approval)


def _of_a_read(spec: ToolSpec) -> Preview:
    note = "This call only reads. The policy asks a person before its result is shown to the model."
    return Preview(f"Call {spec.title}", "low", shown={"no_preview": note, "risk": {"level": "low", "reason": note}})


async def rest(tx: Transaction, run: Run, now: int) -> None:
    """The run waits for a person: nobody owns it, and a stream of it may end."""
    await tx.change(
        Run,
        {"id": run.id, "fence": run.fence, "state": "running"},
        state="awaiting_approval",
        owner=None,
        lease_until=None,
        rest=run.journal,
        touched_at=now,
    )


def resting_events(run: Run, now: int) -> list[Event]:
    waited = max(0, now - run.created_at)
    return [
        Completed(type="completed", status="awaiting_approval", duration_ms=waited),
        WorkflowComplete(
            type="workflow_complete", status="awaiting_approval", result="Waiting for a person to decide."
        ),
    ]


def awaiting_event(call: Call, approval: Approval) -> Event:
    return ToolAwaitingApproval(
        type="tool.awaiting_approval",
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        args=shown_object(call.shown),
        digest=approval.digest,
        preview=None if approval.preview is None else shown_object(approval.preview),
        risk=approval.risk,
        expires_at=approval.approve_by,
        supersedes=approval.supersedes,
        votes_needed=approval.votes,
        rule=approval.rule,
    )
