"""Budgets: checked before each model call, on both databases; approved changes are never cut off."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.policy_file import PolicyFile
from src.api.adapters.store.store import open_store
from src.api.errors import ModelUnavailable
from src.api.ports import Policies, Usage
from src.api.schemas.base import JsonObject
from src.api.schemas.budgets import NANO, Budget
from src.api.schemas.query import Where
from src.api.schemas.records import BudgetWarning, ConversationSummary, JournalEvent, ModelCall, Run, User
from src.api.services.access import Caller, Role
from src.api.services.limits import Limits
from src.api.utils.json_columns import load_object
from tests.support.core_harness import BOB, CoreHarness, FakeToolServer, add_team_members, open_core_harness
from tests.support.rows import row
from tests.support.store_writes import change_row, insert_record

CLOCK = SystemClock()
CAL = Caller("cal", Role.MEMBER, "Cal Miller")
EVE = Caller("eve", Role.ADMIN, "Eve")
PER_RUN = Budget("run", "tokens", 1_000, "BUDGET_RUN_TOKENS")
PER_PERSON = Budget("person_day", "tokens", 1_000, "BUDGET_PERSON_DAY_TOKENS")
PER_TEAM = Budget("team_day", "usd", 2 * NANO, "BUDGET_TEAM_DAY_USD")
ON_SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For tests that run no SQL of their own."""


@asynccontextmanager
async def open_harness(
    url: str, *budgets: Budget, policies: Policies | None = None
) -> AsyncIterator[tuple[CoreHarness, FakeToolServer]]:
    async with open_store(url) as store:
        await add_team_members(store, BOB, CAL, EVE)
        tools = FakeToolServer(store)
        limits = Limits(approval_timeout=60, start_timeout=30, settle_timeout=0, budgets=budgets)
        async with open_core_harness(store, LocalBus(CLOCK), CLOCK, tools, limits=limits, policies=policies) as harness:
            yield harness, tools
        assert tools.violations == []


async def ask(harness: CoreHarness, text: str, caller: Caller = CAL) -> Run:
    run_id, _ = await harness.chat_until_rest(text, caller=caller)
    return await harness.run(run_id)


async def warnings(harness: CoreHarness, *runs: Run) -> list[JsonObject]:
    where: Where = {"run_id": tuple(run.id for run in runs), "type": "budget.warning"}
    found = await harness.store.read(lambda reader: reader.find(JournalEvent, where, "created_at,n"))
    return [load_object(each.body) for each in found]


async def spend(harness: CoreHarness, user: Caller, tokens: int, at: int | None = None) -> None:
    created_at = CLOCK.now() if at is None else at
    named = f"{user.id} {tokens} {created_at}"
    call = row(ModelCall, id=named, run_id="earlier", user_id=user.id, prompt_tokens=tokens, created_at=created_at)
    await insert_record(harness.store, call)


@ON_SQLITE
async def test_run_ends_when_a_summary_used_its_budget_up(store_url: str) -> None:
    async with open_harness(store_url, PER_RUN) as (harness, _):
        harness.model.window = 8_000
        first, _ = await harness.chat_until_rest("hello " + "x" * 14_000, caller=CAL)
        conversation_id = (await harness.run(first)).conversation_id
        harness.model.usage = Usage(900, 100)
        run_id, _ = await harness.chat_until_rest("again " + "x" * 14_000, conversation_id, caller=CAL)
        run = await harness.run(run_id)
        assert (run.state, run.error_code, run.turn) == ("failed", "budget_reached", 0)
        [made] = await harness.store.read(lambda reader: reader.find(ConversationSummary, {"run_id": run_id}))
        assert made.until_run_id == first


async def test_run_ends_before_the_model_call_that_its_budget_forbids(store_url: str) -> None:
    async with open_harness(store_url, PER_RUN) as (harness, _):
        harness.model.usage = Usage(900, 100)
        run = await ask(harness, "look")
        assert (run.state, run.error_code, len(harness.model.requests)) == ("failed", "budget_reached", 1)
        assert run.error == (
            "The budget of this run is used up: 1,000 of 1,000 tokens. An admin (Eve) can raise it: BUDGET_RUN_TOKENS."
        )
        [call] = await harness.calls(run.id)
        assert call.status == "completed", "what the model asked for before was done"
        harness.model.usage = Usage(1, 1)
        assert (await ask(harness, "hello")).state == "completed", "the next run has a budget of its own"


@pytest.mark.promise("once")
async def test_approved_change_runs_although_the_budget_is_used_up_meanwhile(store_url: str) -> None:
    async with open_harness(store_url, PER_PERSON) as (harness, tools):
        run_id, [call_id] = await harness.chat_until_rest("change it", caller=CAL)
        await spend(harness, CAL, 5_000)
        await harness.decide(call_id, caller=CAL)
        run = await harness.until(run_id, "failed", "completed")
        assert (run.state, run.error_code, tools.effects[call_id]) == ("failed", "budget_reached", 1)
        assert (await harness.approval(call_id)).status == "consumed"
        assert [call.status for call in await harness.calls(run_id)] == ["completed"]


async def test_day_budgets_count_one_person_or_the_whole_team_since_midnight(store_url: str) -> None:
    async with open_harness(store_url, PER_PERSON, PER_TEAM) as (harness, _):
        yesterday = CLOCK.now() // 86_400_000 * 86_400_000 - 1
        await spend(harness, CAL, 9_000, yesterday)
        harness.model.usage = Usage(1_000, 0, cost=0.5)
        assert (await ask(harness, "hello")).state == "completed"
        refused = await ask(harness, "hello")
        assert refused.error == (
            "The budget of one person for one day is used up: 1,000 of 1,000 tokens. An admin (Eve) can raise it: "
            "BUDGET_PERSON_DAY_TOKENS. It starts again at 00:00 UTC."
        )
        harness.model.usage = Usage(10, 0, cost=1.5)
        assert (await ask(harness, "hello", BOB)).state == "completed", "another person has a budget of their own"
        refused = await ask(harness, "hello", EVE)
        assert "the whole team for one day is used up: 2.00 of 2.00 US dollars" in (refused.error or "")
        [person, team] = (await harness.core.dependencies.budgets.view(CAL)).budgets
        assert (person.used, person.limit, team.used, team.limit) == (1_000, 1_000, 2.0, 2.0)


async def test_warning_is_given_once_at_80_percent(store_url: str) -> None:
    async with open_harness(store_url, PER_RUN, PER_PERSON) as (harness, _):
        harness.model.usage = Usage(395, 5)
        first = await ask(harness, "look")
        assert await warnings(harness, first) == [], "400 of 1,000 tokens were used before its last model call"
        harness.model.usage = Usage(0, 50)
        runs = [await ask(harness, "look") for _ in range(2)]
        assert [run.state for run in runs] == ["completed", "completed"]
        [warning] = await warnings(harness, *runs)
        assert (warning["scope"], warning["unit"], warning["used"], warning["limit"]) == (
            "person_day",
            "tokens",
            800,
            1_000,
        )
        assert warning["message"] == (
            "800 of 1,000 tokens of the budget of one person for one day are used (BUDGET_PERSON_DAY_TOKENS). "
            "At the limit, runs end before the next model call."
        )


async def test_two_runs_that_reach_80_percent_together_get_one_warning(store_url: str) -> None:
    async with open_harness(store_url, PER_PERSON) as (harness, _):
        await spend(harness, CAL, 850)
        started = [await harness.chat("hello", caller=CAL) for _ in range(4)]
        runs = [await harness.until(each.run_id) for each in started]
        assert len(await warnings(harness, *runs)) == 1


@ON_SQLITE
async def test_warnings_are_forgotten_after_a_week(store_url: str) -> None:
    async with open_harness(store_url) as (harness, _):
        now = CLOCK.now()
        for name, days in (("old", 8), ("new", 6)):
            await insert_record(harness.store, BudgetWarning(name, now - days * 86_400_000))
        await harness.core.sweep.once()
        kept = await harness.store.read(lambda reader: reader.find(BudgetWarning, {}))
        assert [each.id for each in kept] == ["new"]


@ON_SQLITE
async def test_retry_is_a_model_call_of_its_own(store_url: str) -> None:
    async with open_harness(store_url, PER_PERSON) as (harness, _):

        async def fail() -> None:
            await spend(harness, CAL, 2_000)
            raise ModelUnavailable("The provider is overloaded.", retry_after=0)

        harness.model.before_reply = fail
        run = await ask(harness, "hello")
        assert (run.error_code, len(harness.model.requests)) == ("budget_reached", 1)


@ON_SQLITE
async def test_calls_without_a_price_count_by_their_tokens(store_url: str) -> None:
    money = Budget("run", "usd", NANO, "BUDGET_RUN_USD")
    async with open_harness(store_url, PER_RUN, money) as (harness, _):
        harness.model.usage = Usage(2_000, 0, cost=None)
        assert "2,000 of 1,000 tokens" in ((await ask(harness, "look")).error or "")


def policy_of(folder: Path, *lines: str) -> PolicyFile:
    file = folder / "policy.yaml"
    file.write_text("\n".join(["rules: []", "budgets:", *(f"  - {line}" for line in lines)]))
    return PolicyFile(file, True, CLOCK)


@ON_SQLITE
@pytest.mark.parametrize(
    ("lines", "limits"),
    [
        (["{name: members, roles: member, run_tokens: 5000}"], {"cal": 5_000, "bob": 1_000}),
        (["{name: cal, users: cal, run_tokens: 10}", "{name: all, run_tokens: 20}"], {"cal": 10, "bob": 20}),
        (["{name: by-name, users: Cal Miller, run_tokens: 5000}"], {"cal": 1_000}),
        (["{name: by-name, users: Cal Miller, run_tokens: 500}"], {"cal": 500}),
    ],
    ids=["role", "first match", "free text raises nothing", "free text lowers"],
)
async def test_policy_gives_people_budgets_of_their_own(
    store_url: str, tmp_path: Path, lines: Sequence[str], limits: dict[str, int]
) -> None:
    async with open_harness(store_url, PER_RUN, policies=policy_of(tmp_path, *lines)) as (harness, _):
        for person in (CAL, BOB):
            [budget] = (await harness.core.dependencies.budgets.view(person)).budgets
            assert limits.get(person.id, budget.limit) == budget.limit


@ON_SQLITE
async def test_stop_sentence_names_the_budget_of_the_policy(store_url: str, tmp_path: Path) -> None:
    policies = policy_of(tmp_path, "{name: trial, roles: member, run_tokens: 10}")
    async with open_harness(store_url, policies=policies) as (harness, _):
        await change_row(harness.store, User, {"id": EVE.id}, is_active=False)
        harness.model.usage = Usage(10, 1)
        run = await ask(harness, "look")
        assert run.error == (
            "The budget of this run is used up: 11 of 10 tokens. An admin can raise it: the budget trial of the policy."
        )
