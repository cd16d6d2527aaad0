"""The policy as people see it: what is in force, and what it would say."""

from src.api.errors import Forbidden, NotFound
from src.api.ports import Clock, Policies, Reader, Store
from src.api.schemas.policy import ExplainRequest, Explanation, PassedRule, PolicyView
from src.api.schemas.records import User
from src.api.services.access import Caller, Role
from src.api.services.policing import requester, rule_on_tool
from src.api.services.tools import Tools
from src.api.utils.canonical import canonical

__all__ = ["PolicyBook"]


class PolicyBook:
    """Reads only."""

    def __init__(self, store: Store, policies: Policies, tools: Tools, clock: Clock) -> None:
        self._store = store
        self._policies = policies
        self._tools = tools
        self._clock = clock

    async def view(self) -> PolicyView:
        force = await self._policies.current()
        return PolicyView(
            source=force.source,
            loaded_at=force.loaded_at,
            problem=force.problem,
            requester_may_destroy=force.document.requester_may_destroy,
            rules=list(force.document.ordered),
        )

    async def explain(self, caller: Caller, wanted: ExplainRequest) -> Explanation:
        """What the policy says of a call, as far as its arguments tell.

        Raises `Forbidden` for somebody else's calls unless an admin asks, `NotFound` for a tool or person unknown.
        """
        user_id = await self._store.read(lambda reader: _whose(reader, caller, wanted.user))
        spec = await self._tools.spec(caller, wanted.tool)
        whose = await self._store.read(lambda reader: requester(reader, user_id))
        force = await self._policies.current()
        at = self._clock.now() if wanted.at is None else wanted.at
        ruling = rule_on_tool(force, whose, spec, at, canonical(wanted.args))
        return Explanation(
            decision=ruling.decision,
            rule=ruling.rule,
            reason=ruling.reason,
            guessed=ruling.guessed,
            votes_needed=ruling.votes if ruling.decision in ("ask", "two_people") else 0,
            passed=[PassedRule(rule=each.rule, because=each.because) for each in ruling.passed],
        )


async def _whose(reader: Reader, caller: Caller, email: str | None) -> str:
    if email is None:
        return caller.id
    found = await reader.find(User, {"email": email.strip().lower()}, limit=1)
    if caller.role is not Role.ADMIN and [user.id for user in found] != [caller.id]:
        raise Forbidden("Only an admin asks about somebody else's calls.")
    if not found:
        raise NotFound("Nobody has this e-mail.")
    return found[0].id
