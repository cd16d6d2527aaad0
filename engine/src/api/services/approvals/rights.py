"""Say who may decide on an approval, without asking a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.errors import Forbidden
from src.api.ports import Reader
from src.api.schemas.policy import ActivePolicy
from src.api.schemas.records import Approval, Conversation, Decision, User
from src.api.services.access import Caller, Role, display_name, require_may_decide
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.services.accounts.impersonation import Impersonation
from src.api.services.policy.enforcement import find_approvers, separation_problem

__all__ = ["CLOSED", "REQUESTER_LACKS_RIGHTS", "DecisionRights", "closed_problem"]

CLOSED = {
    "expired": "No decision was made in time, so this change expired. Ask for it again.",
    "superseded": "This change was superseded by something newer. Look at the conversation.",
    "stale": "What this change is about has changed since it was shown. Decide on the new preview.",
    "stopped": "The run was stopped, so this change will not run.",
}
"""Why nothing can be decided any more, by the approval's status."""

REQUESTER_LACKS_RIGHTS = "Kubernetes does not let you make this change. Ask a member who may make it to approve it."

MAX_DECIDERS = 20


@dataclass(frozen=True, slots=True)
class DecisionRights:
    """Who may decide, by the policy and the team as they were read. Load it once per request."""

    policy: ActivePolicy
    impersonation: Impersonation
    approvers: Sequence[User]

    @classmethod
    async def load(cls, reader: Reader, policy: ActivePolicy, impersonation: Impersonation) -> "DecisionRights":
        return cls(policy, impersonation, await find_approvers(reader))

    def problem(self, caller: Caller, user: User | None, conversation: Conversation, approval: Approval) -> str | None:
        """Return why this caller may not approve this change, or None. The state of the approval does not matter here.

        `user` is the caller's row, if there is one.
        """
        try:
            require_may_decide(caller, conversation)
            if approval.effect != "read":
                self.impersonation.identity_of(approval.server, caller.id, user)
        except Forbidden as error:
            return error.detail
        if self.impersonation.is_unchecked(approval) and approval.requester_id == caller.id:
            return REQUESTER_LACKS_RIGHTS
        return separation_problem(self.policy, caller.id, approval, self.approvers)

    def deciders(
        self, conversation: Conversation, owner: User | None, approval: Approval, votes: Sequence[Decision]
    ) -> list[str]:
        """Return the names of those who may still approve, `MAX_DECIDERS` at most; the owner comes first."""
        voted = {each.user_id for each in votes}
        people = [] if owner is None else [owner]
        people += [each for each in self.approvers if owner is None or each.id != owner.id]
        candidates: list[tuple[Caller, User | None]] = [
            (Caller(each.id, Role(each.role), display_name(each)), each) for each in people if each.is_active
        ]
        if conversation.owner_id == LOCAL_ADMIN.id:
            candidates.insert(0, (LOCAL_ADMIN, None))
        names = [
            caller.name
            for caller, user in candidates
            if caller.id not in voted and self.problem(caller, user, conversation, approval) is None
        ]
        return names[:MAX_DECIDERS]


def closed_problem(approval: Approval, votes: Sequence[Decision], caller: Caller, now: int) -> str | None:
    """Return why this caller can't decide now, whatever their rights: it is decided, too late, or has their vote."""
    if approval.status in CLOSED:
        return CLOSED[approval.status]
    if approval.status != "pending":
        return f"{approval.decided_by or 'Another person'} decided on this already."
    if approval.approve_by <= now:
        return CLOSED["expired"]
    if any(each.user_id == caller.id for each in votes):
        missing = max(1, approval.votes) - len(votes)
        return (
            f"You approved this. {missing} more approval{'s are' if missing > 1 else ' is'} needed, by somebody else."
        )
    return None
