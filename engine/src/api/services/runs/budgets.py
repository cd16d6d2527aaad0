"""Check before each model call what is used of the budgets that apply to a run, and warn once at 80 %."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from src.api.agent.policy import applies_to
from src.api.errors import BudgetReached
from src.api.ports import Clock, Policies, Reader, Store, Transaction
from src.api.schemas.budgets import NANO, Budget, BudgetScope, BudgetState, BudgetsView, BudgetUse
from src.api.schemas.events import BudgetNear
from src.api.schemas.policy import ActivePolicy, BudgetRule
from src.api.schemas.query import Where, ge
from src.api.schemas.records import BudgetWarning, ModelCall, User
from src.api.services.access import Caller, Role, display_name
from src.api.services.lease import Lease
from src.api.services.policy.enforcement import find_requester
from src.api.services.streaming.journal import Journal
from src.api.utils.times import DAY_MS

__all__ = ["Budgets"]

MAX_NAMED_ADMINS = 3
_SCOPES: dict[BudgetScope, str] = {
    "run": "this run",
    "person_day": "one person for one day",
    "team_day": "the whole team for one day",
}
_RULE_FIELDS: tuple[tuple[str, BudgetScope, Literal["tokens", "usd"]], ...] = (
    ("run_tokens", "run", "tokens"),
    ("run_usd", "run", "usd"),
    ("person_day_tokens", "person_day", "tokens"),
    ("person_day_usd", "person_day", "usd"),
)


@dataclass(frozen=True, slots=True)
class Budgets:
    """The budgets of the settings (`defaults`) and of the policy.

    What is used is read from the rows of model calls, so that all replicas agree. Runs that are under way at the same
    time may each exceed a budget by one model call.
    """

    store: Store
    policies: Policies
    journal: Journal
    clock: Clock
    defaults: tuple[Budget, ...] = ()

    async def check(self, lease: Lease) -> Sequence[BudgetUse]:
        """Return the budgets of which 80 % are used. Raises `BudgetReached` if one is used up."""
        uses = await self._read_uses(lease.user_id, lease.run_id)
        reached = next((use for use in uses if use.is_reached), None)
        if reached is not None:
            raise BudgetReached(_describe_reached(reached, await self.store.read(_find_admins)))
        return [use for use in uses if use.is_near]

    async def warn(self, lease: Lease, uses: Sequence[BudgetUse]) -> None:
        """Record a warning of each budget in the run's journal, unless it was given before. Raises `RunFenced`."""

        async def body(tx: Transaction) -> None:
            run = await self.journal.lock_as_owner(tx, lease.run_id, lease.fence)
            now = await tx.now()
            ids = sorted((_warning_id(use.budget, lease, now), at) for at, use in enumerate(uses))
            fresh = [uses[at] for id_, at in ids if await tx.insert(BudgetWarning(id_, now))]
            if fresh:
                await self.journal.record_locked(tx, run, [_build_warning(use) for use in fresh], now)

        if await self.store.read(lambda reader: _lacks_warning(reader, lease, uses, self.clock.now())):
            await self.store.transaction(body)

    async def view(self, caller: Caller) -> BudgetsView:
        """Return the budgets that apply to the caller, with what is used today."""
        now = self.clock.now()
        uses = await self._read_uses(caller.id, None)
        day = datetime.fromtimestamp(now / 1000, UTC).date()
        return BudgetsView(day=day, budgets=[_build_state(use, now) for use in uses])

    async def _read_uses(self, user_id: str, run_id: str | None) -> list[BudgetUse]:
        policy = await self.policies.current()
        if not self.defaults and not policy.document.budgets:
            return []

        async def body(reader: Reader) -> list[BudgetUse]:
            budgets = await _find_budgets(reader, policy, self.defaults, user_id)
            since = ge(self.clock.now() // DAY_MS * DAY_MS)
            of: dict[BudgetScope, Where] = {
                "person_day": {"user_id": user_id, "created_at": since},
                "team_day": {"created_at": since},
            }
            if run_id is not None:
                of["run"] = {"run_id": run_id}
            used = {scope: await _sum_usage(reader, of[scope]) for scope in {one.scope for one in budgets} & of.keys()}
            return [BudgetUse(one, used[one.scope][one.unit] if one.scope in used else 0) for one in budgets]

        return await self.store.read(body)


async def _find_budgets(
    reader: Reader, policy: ActivePolicy, defaults: Sequence[Budget], user_id: str
) -> Sequence[Budget]:
    """Return the budgets that apply to this user: those of the first matching rule of the policy, then the defaults.

    A rule that matches only a name that users can give themselves, or had before, may lower a limit but not raise it.
    """
    if not policy.document.budgets:
        return defaults
    requester = await find_requester(reader, user_id)
    found = {(one.scope, one.unit): one for one in defaults}
    proven = replace(requester, names=requester.proven)
    rule = next((one for one in policy.document.budgets if applies_to(one.roles, one.users, requester)), None)
    for budget in _budgets_of(rule) if rule is not None else ():
        before = found.get((budget.scope, budget.unit))
        may_raise = rule is not None and applies_to(rule.roles, rule.users, proven)
        if before is None or may_raise or budget.limit < before.limit:
            found[budget.scope, budget.unit] = budget
    return list(found.values())


def _budgets_of(rule: BudgetRule) -> list[Budget]:
    source = f"the budget {rule.name} of the policy"
    given = [(scope, unit, getattr(rule, name)) for name, scope, unit in _RULE_FIELDS]
    return [
        Budget(scope, unit, value if unit == "tokens" else round(value * NANO), source)
        for scope, unit, value in given
        if value is not None
    ]


async def _sum_usage(reader: Reader, where: Where) -> dict[str, int]:
    [total] = await reader.aggregate(ModelCall, (), where, ("prompt_tokens", "completion_tokens", "cost_nano"))
    return {"tokens": total.sums[0] + total.sums[1], "usd": total.sums[2]}


async def _find_admins(reader: Reader) -> list[User]:
    return await reader.find(User, {"is_active": True, "role": Role.ADMIN.value}, "created_at,id", MAX_NAMED_ADMINS)


async def _lacks_warning(reader: Reader, lease: Lease, uses: Sequence[BudgetUse], now: int) -> bool:
    ids = tuple(_warning_id(use.budget, lease, now) for use in uses)
    return len(await reader.find(BudgetWarning, {"id": ids})) < len(ids)


def _warning_id(budget: Budget, lease: Lease, now: int) -> str:
    """Return the id of the warning of this budget: a raised limit has a warning of its own."""
    whom = {"run": lease.run_id, "person_day": f"{lease.user_id}:{now // DAY_MS}", "team_day": str(now // DAY_MS)}
    return f"{budget.scope}:{budget.unit}:{budget.limit}:{whom[budget.scope]}"


def _build_warning(use: BudgetUse) -> BudgetNear:
    budget = use.budget
    return BudgetNear(
        type="budget.warning",
        scope=budget.scope,
        unit=budget.unit,
        used=_amount(budget, use.used),
        limit=_amount(budget, budget.limit),
        source=budget.source,
        message=f"{_format_use(use)} of the budget of {_SCOPES[budget.scope]} are used ({budget.source}). "
        "At the limit, runs end before the next model call.",
    )


def _build_state(use: BudgetUse, now: int) -> BudgetState:
    budget = use.budget
    return BudgetState(
        scope=budget.scope,
        unit=budget.unit,
        limit=_amount(budget, budget.limit),
        used=None if budget.scope == "run" else _amount(budget, use.used),
        source=budget.source,
        resets_at=None if budget.scope == "run" else (now // DAY_MS + 1) * DAY_MS,
    )


def _describe_reached(use: BudgetUse, admins: Sequence[User]) -> str:
    """Say which limit is reached, how much was used, and who can raise it."""
    names = ", ".join(display_name(admin) for admin in admins)
    resets = "" if use.budget.scope == "run" else " It starts again at 00:00 UTC."
    return (
        f"The budget of {_SCOPES[use.budget.scope]} is used up: {_format_use(use)}. "
        f"An admin{f' ({names})' if names else ''} can raise it: {use.budget.source}.{resets}"
    )


def _format_use(use: BudgetUse) -> str:
    if use.budget.unit == "tokens":
        return f"{use.used:,} of {use.budget.limit:,} tokens"
    return f"{use.used / NANO:,.2f} of {use.budget.limit / NANO:,.2f} US dollars"


def _amount(budget: Budget, value: int) -> int | float:
    return value if budget.unit == "tokens" else value / NANO
