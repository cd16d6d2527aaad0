"""Approve with edits: create a new approval with a new digest, to be decided again (`protocol.md` 16)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from skyflo_common.redaction import Redactor, redact_large_arguments
from src.api.agent.arguments import ArgumentChecker, CallRejected
from src.api.errors import AlreadyDecided, Forbidden, NotDecidable, NotFound, Unavailable, Unprocessable
from src.api.ports import Ids, Policies, Store, ToolSpec, Transaction
from src.api.schemas.approvals import Person
from src.api.schemas.base import JsonObject
from src.api.schemas.policy import ActivePolicy
from src.api.schemas.query import gt
from src.api.schemas.records import Approval, Call, Run
from src.api.schemas.states import ACTIVE
from src.api.services.access import Caller
from src.api.services.approvals.proposals import Proposals, apply_ruling, awaiting_event
from src.api.services.approvals.rights import REQUESTER_LACKS_RIGHTS
from src.api.services.limits import Limits
from src.api.services.policy.enforcement import evaluate_approval, identity_of
from src.api.services.streaming.journal import Journal
from src.api.services.tools.calls import create_next_version, decided_event, settle_call
from src.api.services.tools.ledger import Ledger
from src.api.utils.canonical import canonical
from src.api.utils.text import clean

__all__ = ["ApprovalEdits"]

MAX_VERSIONS = 50


@dataclass(slots=True)
class ApprovalEdits:
    """Replace a call that waits for a decision with an edited one, or with a preview for another approver."""

    store: Store
    policies: Policies
    ledger: Ledger
    proposals: Proposals
    journal: Journal
    redactor: Redactor
    ids: Ids
    limits: Limits
    _checker: ArgumentChecker = field(init=False, default_factory=ArgumentChecker)

    async def edit(self, caller: Caller, approval: Approval, call: Call, args: JsonObject, reason: str | None) -> int:
        """Supersede the approval with an edited one, and return the journal number before that.

        Raises `Unprocessable` (also if the policy denies the edit), `AlreadyDecided`, `NotDecidable`.
        """
        if approval.status != "pending":
            raise AlreadyDecided("This call is no longer waiting for a decision.", decided_by=approval.decided_by)
        if call.version >= MAX_VERSIONS:
            raise NotDecidable(f"This call was replaced {MAX_VERSIONS} times. Deny it and say what you want instead.")
        spec = await self._find_spec(call)
        try:
            args = await self._checker.check_large(spec, canonical(args))
        except CallRejected as rejected:
            raise Unprocessable(rejected.problem) from rejected
        redacted = canonical(await redact_large_arguments(self.redactor, args, spec.bodies))
        new_call = create_next_version(call, self.ids.new(), 0, args=canonical(args), redacted_args=redacted)
        why = "." if reason is None else f": {clean(reason)}"
        return await self._replace(
            caller,
            approval,
            call,
            new_call,
            await self._preview_as(caller, new_call, spec),
            lambda by: f"Edited by {by}{why}",
        )

    async def preview_as_approver(self, caller: Caller, approval: Approval, call: Call) -> int:
        """Supersede an approval with the same call previewed with the caller's rights, if its requester lacks the
        rights.

        Raises `Forbidden` if the caller is the requester.
        """
        if approval.requester_id == caller.id:
            raise Forbidden(REQUESTER_LACKS_RIGHTS)
        new_call = create_next_version(call, self.ids.new(), 0)
        new = await self._preview_as(caller, new_call, await self._find_spec(call))
        new = replace(new, author_id=approval.author_id)
        return await self._replace(
            caller,
            approval,
            call,
            new_call,
            new,
            lambda by: f"Previewed again with the rights of {by}, since the requester may not make this change.",
        )

    async def _find_spec(self, call: Call) -> ToolSpec:
        spec = (await self.ledger.specs()).get(call.tool)
        if spec is None:
            raise Unavailable(f"The server of the tool {call.tool} does not list it now. Try again in a moment.")
        return spec

    async def _preview_as(self, caller: Caller, new_call: Call, spec: ToolSpec) -> Approval:
        proposal = await self.proposals.prepare(caller.id, new_call, spec)
        if not isinstance(proposal.end, Approval):
            raise Unprocessable(proposal.end.error or "The change could not be previewed.")
        return proposal.end

    async def _replace(
        self, caller: Caller, old: Approval, call: Call, new_call: Call, new: Approval, explain: Callable[[str], str]
    ) -> int:
        """Replace the approval. `explain` gets the identity of the caller, as records name it."""
        policy = await self.policies.current()

        async def body(tx: Transaction) -> int:
            run = await tx.change(Run, {"id": old.run_id, "state": ACTIVE}, updated_at=await tx.now())
            if run is None:
                raise NotFound("This run waits for no decision any more.")
            now, by = await tx.now(), await identity_of(tx, caller.id)
            explanation = explain(by)
            superseded = await tx.change(
                Approval,
                {"id": old.id, "status": "pending", "digest": old.digest, "approve_by": gt(now)},
                status="superseded",
                decided_by=by,
                decided_at=now,
                reason=explanation,
            )
            if superseded is None:
                raise NotDecidable("It is too late to edit this call: it was decided or has expired. Look at it again.")
            await settle_call(tx, call, "superseded", now, error=explanation)
            new_approval = await self._apply_policy(tx, policy, new, now)
            await tx.insert(replace(new_call, status="awaiting_approval", created_at=now))
            await tx.insert(new_approval)
            events = [
                decided_event(
                    "tool.superseded",
                    call,
                    by=by,
                    person=Person(id=caller.id, name=caller.name),
                    reason=explanation,
                ),
                awaiting_event(new_call, new_approval),
            ]
            await self.journal.record(tx, run, events, now, caller.actor)
            return run.journal

        return await self.store.transaction(body)

    async def _apply_policy(self, tx: Transaction, policy: ActivePolicy, new: Approval, now: int) -> Approval:
        """Apply the policy to an edited approval. Only people can approve it, even where the policy would allow it.

        Raises `Unprocessable` if the policy denies it.
        """
        ruling = await evaluate_approval(tx, policy, new, now)
        if ruling.decision == "deny":
            raise Unprocessable(f"Edited like this the change is denied. {ruling.sentence}")
        return replace(apply_ruling(new, ruling), approve_by=now + self.limits.approval_timeout_ms, created_at=now)
