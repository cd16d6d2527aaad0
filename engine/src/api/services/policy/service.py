"""Show the active policy and explain its decisions."""

from dataclasses import dataclass
from typing import Protocol

from src.api.errors import Forbidden, NotFound
from src.api.ports import Clock, Policies, Reader, Store, ToolSpec
from src.api.schemas.policy import ExplainRequest, Explanation, PassedRule, PolicyView
from src.api.schemas.records import User
from src.api.services.access import Caller, Role
from src.api.services.policy.enforcement import evaluate_tool, find_requester
from src.api.utils.canonical import canonical

__all__ = ["PolicyService"]


class ToolLookup(Protocol):
    """Looks up a tool that the caller may use; implemented by `tools.catalog.Tools`."""

    async def spec(self, caller: Caller, name: str) -> ToolSpec: ...


@dataclass(slots=True)
class PolicyService:
    """Use cases of the policy endpoints. Reads only."""

    store: Store
    policies: Policies
    tools: ToolLookup
    clock: Clock

    async def view(self) -> PolicyView:
        policy = await self.policies.current()
        return PolicyView(
            source=policy.source,
            loaded_at=policy.loaded_at,
            problem=policy.problem,
            requester_may_destroy=policy.document.requester_may_destroy,
            rules=list(policy.document.ordered),
            budgets=list(policy.document.budgets),
        )

    async def explain(self, caller: Caller, request: ExplainRequest) -> Explanation:
        """Explain what the policy would decide about a call with these arguments.

        Raises `Forbidden` if a caller who is not an admin asks for another user, and `NotFound` for an unknown tool or
        user.
        """
        user_id = await self.store.read(lambda reader: _find_user_id(reader, caller, request.user))
        spec = await self.tools.spec(caller, request.tool)
        requester = await self.store.read(lambda reader: find_requester(reader, user_id))
        policy = await self.policies.current()
        at = self.clock.now() if request.at is None else request.at
        ruling = evaluate_tool(policy, requester, spec, at, canonical(request.args))
        return Explanation(
            decision=ruling.decision,
            rule=ruling.rule,
            reason=ruling.reason,
            guessed=ruling.guessed,
            votes_needed=ruling.votes if ruling.decision in ("ask", "two_people") else 0,
            passed=[PassedRule(rule=each.rule, because=each.because) for each in ruling.passed],
        )


async def _find_user_id(reader: Reader, caller: Caller, email: str | None) -> str:
    if email is None:
        return caller.id
    found = await reader.find(User, {"email": email.strip().lower()}, limit=1)
    if caller.role is not Role.ADMIN and [user.id for user in found] != [caller.id]:
        raise Forbidden("Only admins can ask about calls of other users. Leave out `user`, or ask an admin.")
    if not found:
        raise NotFound("No account uses this e-mail.")
    return found[0].id
