"""Preview changes, request their approval, and let the run rest until a person decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from skyflo_common.redaction import Redactor, redact_large
from src.api.agent.policy import PolicyDecision
from src.api.errors import RunStopped
from src.api.ports import Policies, Preview, Store, ToolReply, ToolSpec, Transaction
from src.api.schemas.approvals import PreviewView, Risk, parse_risk
from src.api.schemas.base import JsonObject
from src.api.schemas.events import Event, ToolAwaitingApproval
from src.api.schemas.policy import ActivePolicy
from src.api.schemas.query import Assign, Increment, Now
from src.api.schemas.records import Approval, Call, Conversation
from src.api.services.lease import Lease
from src.api.services.limits import Limits
from src.api.services.policy.enforcement import effect_of, evaluate_approval
from src.api.services.streaming.final_events import build_final_events
from src.api.services.streaming.journal import Journal
from src.api.services.tools.calls import (
    decided_event,
    settle_call,
    start_execution_clock,
)
from src.api.services.tools.conflicts import objects_of, unknown_conflicts
from src.api.services.tools.digests import compute_digest
from src.api.services.tools.ledger import Ledger
from src.api.services.tools.results import Outcome, ResultRecorder
from src.api.utils.canonical import canonical
from src.api.utils.json_columns import load_object

__all__ = ["Proposal", "Proposals", "apply_ruling", "awaiting_event"]

MAX_PREVIEW = 200_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """A call with its result: an approval to request, or the outcome if the preview already failed."""

    call: Call
    end: Approval | Outcome

    @property
    def objects(self) -> set[str]:
        return objects_of(self.end) if isinstance(self.end, Approval) else set()


@dataclass(slots=True)
class Proposals:
    """Request approvals, unless the policy allows or denies the call."""

    store: Store
    policies: Policies
    ledger: Ledger
    journal: Journal
    results: ResultRecorder
    redactor: Redactor
    limits: Limits

    async def propose(self, lease: Lease, calls: Sequence[Call], specs: Mapping[str, ToolSpec]) -> bool:
        """Preview the pending changes and request approval; returns True if the run rests now.

        `specs` are the tools that the run's user may use. A change to an object that an earlier open change of the turn
        touches is left for later (promise `fresh`).
        """
        open_approvals = await self._find_open_approvals(calls)
        touched: set[str] = set()
        proposals: list[Proposal] = []
        for call in calls:
            if call.id in open_approvals:
                touched |= objects_of(open_approvals[call.id])
            if call.kind != "change" or call.status != "pending":
                continue
            lease.check()
            proposal = await self.prepare(lease.user_id, call, specs.get(call.tool))
            if not proposal.objects & touched:
                proposals.append(proposal)
            touched |= proposal.objects
        return await self._commit(lease, proposals)

    async def prepare(self, requester: str, call: Call, spec: ToolSpec | None) -> Proposal:
        """Preview the call and build its approval, without writing rows."""
        if spec is None or (spec.server, spec.schema_hash) != (call.server, call.schema_hash):
            reply = ToolReply(
                "failed", error=f"The tool {call.tool} has changed, gone or been withdrawn since it was called."
            )
            return Proposal(call, await self.results.of(replace(reply, code="schema_changed", effect="none")))
        shown = _build_read_preview(spec) if spec.read else await self.ledger.preview(requester, spec, call.args)
        if isinstance(shown, ToolReply):
            return Proposal(call, await self.results.of(shown))
        return Proposal(call, await self._build_approval(requester, call, shown, effect_of(spec, shown.risk)))

    async def _build_approval(self, requester: str, call: Call, preview: Preview, effect: str) -> Approval:
        risk: Risk = "destructive" if effect == "destructive" else preview.risk
        shown = await self._redact_preview(preview, risk)
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
            risk=risk,
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
        return replace(approval, digest=compute_digest(approval))

    async def _redact_preview(self, preview: Preview, risk: Risk) -> str:
        """Return the preview as people see it. Its risk is that of the approval."""
        shown_risk = _describe_risk(preview, risk)
        redacted = await redact_large(self.redactor, {**preview.details, "risk": shown_risk})
        text = canonical(redacted)
        if len(text) <= MAX_PREVIEW:
            return text
        note = f"This preview is {len(text)} characters long and is not shown whole. Ask for a smaller change."
        return canonical({"summary": preview.summary, "no_preview": note, "risk": shown_risk})

    async def _find_open_approvals(self, calls: Sequence[Call]) -> dict[str, Approval]:
        """Return the approvals of calls that wait for a decision or for their execution."""
        open_calls = tuple(call.id for call in calls if call.status in ("awaiting_approval", "approved"))
        found = await self.store.read(lambda reader: reader.find(Approval, {"id": open_calls}))
        return {approval.id: approval for approval in found}

    async def _commit(self, lease: Lease, proposals: Sequence[Proposal]) -> bool:
        policy = await self.policies.current()

        async def body(tx: Transaction) -> bool:
            await tx.change(Conversation, {"id": lease.conversation_id}, touches=Increment(1), updated_at=Now())
            run = await self.journal.lock_as_owner(tx, lease.run_id, lease.fence, reserve=len(proposals))
            if run.stop_at is not None:
                raise RunStopped("A stop was requested.")
            now = await tx.now()
            events = [await self._insert_proposal(tx, policy, proposal, now) for proposal in proposals]
            first = await start_execution_clock(tx, run, now, self.limits.start_timeout_ms)
            is_resting = first is not None and first.status == "awaiting_approval"
            last = build_final_events(run, "awaiting_approval", now) if is_resting else []
            values = _rest_values(now) if is_resting else {}
            await self.journal.record_locked(tx, run, events, now, last, reserved=len(proposals), **values)
            return is_resting

        return await self.store.transaction(body)

    async def _insert_proposal(self, tx: Transaction, policy: ActivePolicy, proposal: Proposal, now: int) -> Event:
        call, end = proposal.call, proposal.end
        if isinstance(end, Outcome):
            await settle_call(tx, call, "error", now, error=end.error, result=end.result)
            return self.results.event(call, replace(end, status="error"))
        ruling = await evaluate_approval(tx, policy, end, now)
        if ruling.decision == "deny":
            await settle_call(tx, call, "denied", now, error=ruling.sentence)
            return decided_event("tool.denied", call, policy=ruling.rule, reason=ruling.sentence, digest=end.digest)
        approval = replace(apply_ruling(end, ruling), approve_by=now + self.limits.approval_timeout_ms, created_at=now)
        if ruling.decision == "allow" and await _may_auto_approve(tx, call, approval):
            approval = replace(approval, decided_by=ruling.decider, decided_by_policy=ruling.rule, decided_at=now)
            approval = replace(approval, status="approved", reason=ruling.reason)
            await tx.insert(approval)
            await tx.change(Call, {"id": call.id, "status": "pending"}, status="approved")
            return decided_event("tool.approved", call, policy=ruling.rule, reason=ruling.reason, digest=end.digest)
        await tx.insert(approval)
        await tx.change(Call, {"id": call.id, "status": "pending"}, status="awaiting_approval")
        return awaiting_event(call, approval)


def apply_ruling(approval: Approval, ruling: PolicyDecision) -> Approval:
    """Return the approval with the rule and the number of votes that the policy asks for."""
    return replace(approval, rule=ruling.rule, votes=ruling.votes)


async def _may_auto_approve(tx: Transaction, call: Call, approval: Approval) -> bool:
    """Return whether a policy may approve the call: no later version, and none in conflict with an unknown outcome."""
    return call.version == 1 and not await unknown_conflicts(tx, approval)


def _build_read_preview(spec: ToolSpec) -> Preview:
    note = "This call only reads. The policy asks a person before its result is shown to the model."
    return Preview(f"Call {spec.title}", "low", details={"no_preview": note, "risk": {"level": "low", "reason": note}})


def _describe_risk(preview: Preview, risk: Risk) -> JsonObject:
    """Return the risk with its reason, which says so if the tool's own annotation raises it."""
    stated = preview.details.get("risk")
    reason = str(stated.get("reason") or "") if isinstance(stated, dict) else ""
    if risk != preview.risk:
        reason = f"{reason} The tool is marked as destructive.".strip()
    return {"level": risk, "reason": reason}


def _rest_values(now: int) -> dict[str, Assign]:
    """Return the columns of a run that waits for a person: it has no owner, and its streams may end."""
    return {"state": "awaiting_approval", "owner": None, "lease_until": None, "updated_at": now, "rested_at": now}


def awaiting_event(call: Call, approval: Approval) -> Event:
    return ToolAwaitingApproval(
        type="tool.awaiting_approval",
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        args=load_object(call.redacted_args),
        digest=approval.digest,
        preview=PreviewView.parse(approval.preview),
        risk=parse_risk(approval.risk),
        expires_at=approval.approve_by,
        supersedes=approval.supersedes,
        votes_needed=approval.votes,
        rule=approval.rule,
    )
