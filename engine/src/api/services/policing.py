"""The policy at work: what it says of the calls in the rows, and who may say yes to what it leaves to people."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.agent.policy import Asked, Requester, Ruling, decide
from src.api.agent.policy_facts import Target, targets_in_arguments, targets_of_objects, verb_of
from src.api.errors import Forbidden
from src.api.ports import Reader, ToolSpec
from src.api.schemas.policy import PolicyInForce
from src.api.schemas.query import Where, other_than
from src.api.schemas.records import Approval, Call, Decision, User
from src.api.services.access import Caller, Role
from src.api.services.accounts import LOCAL_ADMIN
from src.api.utils.shown import shown_list, shown_object

__all__ = [
    "BY_POLICY",
    "DefaultPolicy",
    "check_holds",
    "check_separation",
    "effect_of",
    "name_of",
    "needs_a_person",
    "requester",
    "rule_on_approval",
    "rule_on_read",
    "rule_on_tool",
    "votes_for",
]

BY_POLICY = "policy:"
"""What `decided_by` begins with where no person decided."""

MOST_PEOPLE = 1000


@dataclass(frozen=True, slots=True)
class DefaultPolicy:
    """`Policies` where there is no file."""

    async def current(self) -> PolicyInForce:
        return PolicyInForce()


async def rule_on_approval(reader: Reader, force: PolicyInForce, approval: Approval, now: int) -> Ruling:
    """What the policy says of a change as it was previewed, or of a read that is asked for."""
    if approval.effect == "read":
        targets = targets_in_arguments(approval.server, approval.tool, shown_object(approval.args))
    else:
        targets = targets_of_objects(shown_list(approval.objects))
    whose = await requester(reader, approval.author_id)
    return decide(force, _asked(whose, approval.server, approval.tool, approval.effect, targets, now))


def rule_on_read(force: PolicyInForce, whose: Requester, call: Call, now: int) -> Ruling:
    targets = targets_in_arguments(call.server, call.tool, shown_object(call.args))
    return decide(force, _asked(whose, call.server, call.tool, "read", targets, now))


def rule_on_tool(force: PolicyInForce, whose: Requester, spec: ToolSpec, now: int, args: str = "{}") -> Ruling:
    """The same before anything is previewed: as far as the arguments tell."""
    targets = targets_in_arguments(spec.server, spec.name, shown_object(args))
    return decide(force, _asked(whose, spec.server, spec.name, effect_of(spec), targets, now))


def needs_a_person(ruling: Ruling, *, final: bool) -> bool:
    """Whether somebody will be asked: not what is allowed, and not what is denied, which ends without them.

    `final`: no more will be known of the call when it is decided on. Else a denial that is only guessed is none yet.
    """
    if ruling.decision == "deny":
        return ruling.guessed is not None and not final
    return ruling.decision != "allow"


def effect_of(spec: ToolSpec, risk: str = "") -> str:
    """read, change or destructive. What a preview calls destructive is, whatever the tool says of itself."""
    if spec.read:
        return "read"
    return "destructive" if spec.destructive or risk == "destructive" else "change"


async def requester(reader: Reader, user_id: str) -> Requester:
    """Somebody as the rules know people. One who is no member any more has no role, and no name to be allowed by."""
    if user_id == LOCAL_ADMIN.id:
        return Requester(LOCAL_ADMIN.role.value, (LOCAL_ADMIN.name,), (LOCAL_ADMIN.name,))
    user = await reader.get(User, id=user_id)
    if user is None or not user.is_active:
        return Requester(None, None, None)
    names = (user.id, user.email, *([user.full_name] if user.full_name else []))
    return Requester(user.role, names, (user.id, user.email) if user.is_verified else (user.id,))


async def votes_for(reader: Reader, approval: Approval) -> list[Decision]:
    """The yeses to it, the first one first: one a person."""
    return await reader.find(Decision, {"approval_id": approval.id, "approve": True}, "created_at,id", MOST_PEOPLE)


async def name_of(reader: Reader, user_id: str) -> str:
    """Somebody as others see them."""
    if user_id == LOCAL_ADMIN.id:
        return LOCAL_ADMIN.name
    user = await reader.get(User, id=user_id)
    return (user.full_name or user.email) if user else user_id


async def check_holds(reader: Reader, approval: Approval, ruling: Ruling) -> None:
    """Raises `Forbidden` where what was decided under an earlier policy is not enough under this one."""
    if (approval.decided_by or "").startswith(BY_POLICY):
        if (ruling.decision, ruling.decider) != ("allow", approval.decided_by):
            raise Forbidden(f"{approval.decided_by} allowed this, and the policy has changed since.")
        return
    if ruling.decision == "allow":
        return
    if len(await votes_for(reader, approval)) < ruling.votes:
        raise Forbidden(f"The policy asks more people by now. {ruling.sentence}")


async def check_separation(reader: Reader, force: PolicyInForce, caller: Caller, approval: Approval) -> None:
    """Raises `Forbidden` for a yes to one's own destructive change where enough others may give theirs."""
    own = caller.id == approval.author_id
    if approval.effect != "destructive" or not own or force.document.requester_may_destroy:
        return
    roles = tuple(role.value for role in Role if role.at_least(Role.APPROVER))
    where: Where = {"is_active": True, "role": roles, "id": other_than(caller.id)}
    if len(await reader.find(User, where, limit=MOST_PEOPLE)) >= approval.votes:
        raise Forbidden(
            "This change destroys something and is your own, so somebody else approves it: an approver or an admin."
        )


def _asked(whose: Requester, server: str, tool: str, effect: str, targets: Sequence[Target] | None, now: int) -> Asked:
    known = None if targets is None else tuple(targets)
    return Asked(whose, server, tool, effect, verb_of(server, tool), known, now)
