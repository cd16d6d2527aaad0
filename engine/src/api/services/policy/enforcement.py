"""Apply the policy to stored calls and approvals, and check who may approve."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.agent.policy import PolicyDecision, PolicyQuery, Requester, decide
from src.api.agent.policy_facts import Target, targets_in_arguments, targets_of_objects, verb_of
from src.api.errors import Forbidden
from src.api.ports import Reader, ToolSpec
from src.api.schemas.policy import ActivePolicy
from src.api.schemas.records import Approval, Call, Decision, FormerName, User
from src.api.services.access import Caller, Role, recorded_name
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.utils.json_columns import load_list, load_object

__all__ = [
    "DefaultPolicy",
    "approving_decisions",
    "effect_of",
    "evaluate_approval",
    "evaluate_read",
    "evaluate_tool",
    "find_approvers",
    "find_requester",
    "identity_of",
    "needs_human_approval",
    "require_decision_still_valid",
    "require_separation_of_duties",
    "separation_problem",
]

MAX_USERS = 1000
MAX_FORMER_NAMES = 200
"""A user with more former names than this matches every restricting rule that names users."""


@dataclass(frozen=True, slots=True)
class DefaultPolicy:
    """`Policies` without a policy file: the default rules."""

    async def current(self) -> ActivePolicy:
        return ActivePolicy()


async def evaluate_approval(reader: Reader, policy: ActivePolicy, approval: Approval, now: int) -> PolicyDecision:
    """Evaluate the policy for a previewed change, or for a read that needs approval."""
    if approval.effect == "read":
        targets = targets_in_arguments(approval.server, approval.tool, load_object(approval.args))
    else:
        targets = targets_of_objects(load_list(approval.objects))
    requester = await find_requester(reader, approval.author_id)
    return decide(policy, _policy_query(requester, approval.server, approval.tool, approval.effect, targets, now))


def evaluate_read(policy: ActivePolicy, requester: Requester, call: Call, now: int) -> PolicyDecision:
    targets = targets_in_arguments(call.server, call.tool, load_object(call.args))
    return decide(policy, _policy_query(requester, call.server, call.tool, "read", targets, now))


def evaluate_tool(
    policy: ActivePolicy, requester: Requester, spec: ToolSpec, now: int, args: str = "{}"
) -> PolicyDecision:
    """Evaluate the policy before a preview, from the arguments alone."""
    targets = targets_in_arguments(spec.server, spec.name, load_object(args))
    return decide(policy, _policy_query(requester, spec.server, spec.name, effect_of(spec), targets, now))


def needs_human_approval(ruling: PolicyDecision, *, final: bool) -> bool:
    """Whether a person has to decide. False for calls that are allowed, and for denied ones, which end at once.

    `final` means that nothing more will be learned about the call before the decision. Without it, a denial that rests
    on a guess does not count yet.
    """
    if ruling.decision == "deny":
        return ruling.guessed is not None and not final
    return ruling.decision != "allow"


def effect_of(spec: ToolSpec, risk: str = "") -> str:
    """Return read, change or destructive. A preview that reports destructive overrides the tool's own annotation."""
    if spec.read:
        return "read"
    return "destructive" if spec.destructive or risk == "destructive" else "change"


async def find_requester(reader: Reader, user_id: str) -> Requester:
    """Return a user as policy rules see them. A removed user has no role and no names, so no `allow` rule matches.

    Restricting rules also match every e-mail and name that the account had before. Otherwise users could escape a rule
    by changing theirs.
    """
    if user_id == LOCAL_ADMIN.id:
        return Requester(LOCAL_ADMIN.role.value, (LOCAL_ADMIN.name,), (LOCAL_ADMIN.name,))
    user = await reader.get(User, id=user_id)
    if user is None or not user.is_active:
        return Requester(None, None, None)
    former = await reader.find(FormerName, {"user_id": user_id}, limit=MAX_FORMER_NAMES + 1)
    names = (user.id, user.email, *([user.full_name] if user.full_name else []), *(each.name for each in former))
    proven = (user.id, user.email) if user.is_verified else (user.id,)
    return Requester(user.role, names if len(former) <= MAX_FORMER_NAMES else None, proven)


async def approving_decisions(reader: Reader, approval: Approval) -> list[Decision]:
    """Return the approving decisions, oldest first, one per user."""
    return await reader.find(Decision, {"approval_id": approval.id, "approve": True}, "created_at,id", MAX_USERS)


async def identity_of(reader: Reader, user_id: str) -> str:
    """Return what identifies a user in a record: the verified e-mail address, or else the id."""
    user = None if user_id == LOCAL_ADMIN.id else await reader.get(User, id=user_id)
    return user_id if user is None else recorded_name(user)


def require_decision_still_valid(approval: Approval, ruling: PolicyDecision, votes: Sequence[Decision]) -> None:
    """Raise `Forbidden` if a decision made under an earlier policy does not satisfy the current one.

    `votes` are its approving decisions.
    """
    if approval.decided_by_policy is not None:
        if (ruling.decision, ruling.rule) != ("allow", approval.decided_by_policy):
            raise Forbidden(f"The rule {approval.decided_by_policy} allowed this, and the policy has changed since.")
        return
    if ruling.decision == "allow":
        return
    if len(votes) < ruling.votes:
        raise Forbidden(f"The policy now requires more approvals. {ruling.sentence}")


async def require_separation_of_duties(
    reader: Reader, policy: ActivePolicy, caller: Caller, approval: Approval
) -> None:
    """Raise `Forbidden` if the caller approves their own destructive change although enough others could approve it."""
    if not _is_own_destruction(policy, caller.id, approval):
        return
    problem = separation_problem(policy, caller.id, approval, await find_approvers(reader))
    if problem is not None:
        raise Forbidden(problem)


async def find_approvers(reader: Reader) -> list[User]:
    """Return the active approvers and admins, `MAX_USERS` at most."""
    roles = tuple(role.value for role in Role if role.at_least(Role.APPROVER))
    return await reader.find(User, {"is_active": True, "role": roles}, "created_at,id", MAX_USERS)


def separation_problem(policy: ActivePolicy, user_id: str, approval: Approval, approvers: Sequence[User]) -> str | None:
    """Return why this user's approval would break the separation of duties, or None."""
    if not _is_own_destruction(policy, user_id, approval):
        return None
    if sum(each.id != user_id for each in approvers) < approval.votes:
        return None
    return "This is your own destructive change, so another person has to approve it: an approver or an admin."


def _is_own_destruction(policy: ActivePolicy, user_id: str, approval: Approval) -> bool:
    """Return whether the user would approve their own destructive change, and the policy does not allow that."""
    own = user_id == approval.author_id
    return approval.effect == "destructive" and own and not policy.document.requester_may_destroy


def _policy_query(
    requester: Requester, server: str, tool: str, effect: str, targets: Sequence[Target] | None, now: int
) -> PolicyQuery:
    known = None if targets is None else tuple(targets)
    return PolicyQuery(requester, server, tool, effect, verb_of(server, tool), known, now)
