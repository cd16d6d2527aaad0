"""Approve with edits: a new approval with a digest of its own, to be looked at and decided on (`protocol.md` 16)."""

from dataclasses import replace

from src.api.agent.arguments import ArgumentChecker, CallRejected
from src.api.errors import AlreadyDecided, Forbidden, NotDecidable, NotFound, Unprocessable
from src.api.ports import Ids, Policies, Store, ToolSpec, Transaction
from src.api.schemas.base import JsonObject
from src.api.schemas.events import WorkflowComplete
from src.api.schemas.policy import PolicyInForce
from src.api.schemas.query import above
from src.api.schemas.records import Approval, Call, Run
from src.api.schemas.states import ACTIVE
from src.api.services.access import Caller
from src.api.services.calls import decided_event, next_version, settle
from src.api.services.journal import Journal
from src.api.services.ledger import Ledger
from src.api.services.policing import rule_on_approval
from src.api.services.proposals import Proposals, awaiting_event, ruled
from src.api.services.settings import Limits
from src.api.utils.canonical import canonical
from src.api.utils.redaction import Redactor
from src.api.utils.text import clean

__all__ = ["Editing"]

MAX_VERSIONS = 50


class Editing:
    """Puts an edited call, or a preview for somebody else, in the place of one that waits for a decision."""

    def __init__(
        self,
        store: Store,
        policies: Policies,
        ledger: Ledger,
        proposals: Proposals,
        journal: Journal,
        redactor: Redactor,
        ids: Ids,
        limits: Limits,
    ) -> None:
        self._store = store
        self._policies = policies
        self._ledger = ledger
        self._proposals = proposals
        self._journal = journal
        self._redactor = redactor
        self._ids = ids
        self._limits = limits
        self._checker = ArgumentChecker()

    async def edit(self, caller: Caller, approval: Approval, call: Call, args: JsonObject, reason: str | None) -> int:
        """Supersedes the approval by an edited one; the journal's number before that.

        Raises `Unprocessable` (also where the policy denies it), `AlreadyDecided`, `NotDecidable`.
        """
        if approval.status != "pending":
            raise AlreadyDecided("This call is no longer waiting for a decision.", decided_by=approval.decided_by)
        if call.version >= MAX_VERSIONS:
            raise NotDecidable(f"This call was put anew {MAX_VERSIONS} times. Deny it and say what you want instead.")
        text = canonical(args)
        spec = await self._spec(call)
        try:
            self._checker.check(spec, text)
        except CallRejected as rejected:
            raise Unprocessable(rejected.problem) from rejected
        shown = canonical(self._redactor.redact(args))
        fresh = next_version(call, self._ids.new(), 0, args=text, shown=shown)
        why = f"Edited by {caller.name}." if reason is None else f"Edited by {caller.name}: {clean(reason)}"
        return await self._replace(caller, approval, call, fresh, await self._previewed(caller, fresh, spec), why)

    async def show_again(self, caller: Caller, approval: Approval, call: Call) -> int:
        """Supersedes an approval whose requester may not make the change by the same one, previewed as the caller.

        Raises `Forbidden` where that is the caller.
        """
        if approval.requester_id == caller.id:
            raise Forbidden("Kubernetes does not let you make this change. Ask somebody who may to approve it.")
        fresh = next_version(call, self._ids.new(), 0)
        new = await self._previewed(caller, fresh, await self._spec(call))
        new = replace(new, author_id=approval.author_id)
        why = f"Previewed again with the rights of {caller.name}, since the requester may not make this change."
        return await self._replace(caller, approval, call, fresh, new, why)

    async def _spec(self, call: Call) -> ToolSpec:
        spec = (await self._ledger.specs()).get(call.tool)
        if spec is None:
            raise Unprocessable(f"The tool {call.tool} is not there at the moment. Try again later.")
        return spec

    async def _previewed(self, caller: Caller, fresh: Call, spec: ToolSpec) -> Approval:
        proposal = await self._proposals.prepare(caller.id, fresh, spec)
        if not isinstance(proposal.end, Approval):
            raise Unprocessable(proposal.end.error or "The change could not be previewed.")
        return proposal.end

    async def _replace(self, caller: Caller, old: Approval, call: Call, fresh: Call, new: Approval, why: str) -> int:
        force = await self._policies.current()

        async def body(tx: Transaction) -> int:
            run = await tx.change(Run, {"id": old.run_id, "state": ACTIVE}, touched_at=await tx.now())
            if run is None:
                raise NotFound("This run waits for no decision any more.")
            now = await tx.now()
            gone = await tx.change(
                Approval,
                {"id": old.id, "status": "pending", "digest": old.digest, "approve_by": above(now)},
                status="superseded",
                decided_by=caller.name,
                decided_at=now,
                reason=why,
            )
            if gone is None:
                raise NotDecidable("It is too late to edit this call: it was decided or has expired. Look at it again.")
            await settle(tx, call, "superseded", now, error=why)
            asked = await self._ruled(tx, force, new, now)
            await tx.insert(replace(fresh, status="awaiting_approval", created_at=now))
            await tx.insert(asked)
            resting = WorkflowComplete(
                type="workflow_complete", status="awaiting_approval", result="Waiting for a person to decide."
            )
            events = [
                decided_event("tool.superseded", call, by=caller.name, reason=why),
                awaiting_event(fresh, asked),
                *([resting] if run.state == "awaiting_approval" else []),
            ]
            await self._journal.record(tx, run.id, events, now, caller.actor)
            return run.journal

        return await self._store.transaction(body)

    async def _ruled(self, tx: Transaction, force: PolicyInForce, new: Approval, now: int) -> Approval:
        """A person's edit is decided by people: by as many as the policy asks, and never where it denies."""
        ruling = await rule_on_approval(tx, force, new, now)
        if ruling.decision == "deny":
            raise Unprocessable(f"Edited like this the change is denied. {ruling.sentence}")
        return replace(ruled(new, ruling), approve_by=now + self._limits.approve_ms, created_at=now)
