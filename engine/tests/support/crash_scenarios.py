"""Run the scenarios of the crash suite through an engine that may die at any failpoint, and check the outcome.

Scenarios use a `RetryingClient`, which repeats a request that the crash cut off. A scenario does not know where the
engine will be killed, so its checks accept every outcome that the guarantees allow.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from src.api.adapters.store.store import open_store
from src.api.ports import Transaction
from src.api.schemas.records import Run
from tests.support.client import FollowedRun, RetryingClient
from tests.support.conversation_scenarios import conversations, run_compacted
from tests.support.counting_process import CountingProcess
from tests.support.crash_script import ANSWER, SLOW_REQUEST, TITLE, change_request
from tests.support.host_scenario import by_host, pruned
from tests.support.integration_scenario import integrations
from tests.support.policy_scenario import is_policy_approval, run_allowed_changes
from tests.support.provider_scenario import by_provider
from tests.support.reducer import reduce
from tests.support.sweep_scenario import expire_key, make_old, run_near_budget, wait_until_erased
from tests.support.waiting import eventually

__all__ = ["SCENARIOS", "ScenarioContext", "check_invariants"]

EFFECTS = {"succeeded": (1,), "applied": (1,), "unknown": (0, 1)}
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class ScenarioContext:
    """A client of an engine, and the names of this case's things: they begin with `thing`."""

    client: RetryingClient
    counting: CountingProcess
    thing: str

    def new_run(self, *, both: bool = True, **body: object) -> FollowedRun:
        return FollowedRun(self.client, change_request(self.thing, both=both), body)

    def effects(self) -> list[dict[str, Any]]:
        """Return the changes that really happened, in order."""
        status = self.client.http.get(f"http://127.0.0.1:{self.counting.port}/control").json()
        return [effect for effect in status["effects"] if effect["name"].startswith(self.thing)]


def check_invariants(context: ScenarioContext, *followed_runs: FollowedRun) -> None:
    """Check what must hold whenever all runs rest. `followed_runs` belong to one conversation."""
    _check_effects(context, followed_runs)
    for followed in followed_runs:
        _check_texts(context, followed)
    runs = context.client.get(f"/agent/runs?conversation_id={followed_runs[0].conversation_id}&limit=50")["data"]
    assert {run["run_id"] for run in runs} == {followed.run_id for followed in followed_runs}, "one run for each key"
    assert len(runs) == len(followed_runs)


def _check_effects(context: ScenarioContext, followed_runs: Sequence[FollowedRun]) -> None:
    """Check the effects per approval: one for a success, at most one for `unknown`, none for any other outcome."""
    counted = Counter(effect["approval"] for effect in context.effects())
    events = [event for followed in followed_runs for event in followed.replay()]
    asked = [
        event["call_id"] for event in events if event["type"] == "tool.awaiting_approval" or is_policy_approval(event)
    ]
    assert set(counted) <= set(asked), "a change ran without an approval or a policy that allows it"
    for call_id in asked:
        view = followed_runs[0].approval(call_id)
        wanted = EFFECTS.get(view["outcome"], (0,))
        assert counted[call_id] in wanted, f"{counted[call_id]} effects of {view}"
        assert view["outcome"] is None or view["status"] == "consumed", view


def _check_texts(context: ScenarioContext, followed: FollowedRun) -> None:
    """Check that a live follower, a late follower and the conversation show the same texts, each once and complete."""
    stayed, late = reduce(followed.events), reduce(followed.replay())
    texts = [generation.text for generation in late.generations.values()]
    assert [generation.text for generation in stayed.generations.values()] == texts
    assert stayed.calls == late.calls
    conversation = context.client.get(f"/conversations/{followed.conversation_id}")
    messages = [entry for entry in conversation["messages"] if entry.get("run_id") == followed.run_id]
    assert [part["text"] for entry in messages for part in entry["segments"] if part["kind"] == "text"] == [
        text for text in texts if text
    ]


def _decide_all(followed: FollowedRun) -> None:
    """Approve the waiting calls, the last one first, until the run ends."""
    followed.follow()
    while followed.run()["state"] == "awaiting_approval":
        for call_id in reversed(followed.open_calls):
            assert followed.decide(call_id).status_code == 200
        followed.follow()


def both(context: ScenarioContext) -> None:
    """Run a read and two changes, approved in reverse order, and a final text."""
    followed = context.new_run()
    followed.chat()
    _decide_all(followed)
    followed.until()
    followed.follow()
    assert followed.run()["state"] == "completed"
    assert reduce(followed.events).text.endswith(ANSWER)
    order = [effect["name"].removeprefix(context.thing) for effect in context.effects()]
    assert order in (["-a", "-b"], ["-a"], []), "changes run in the model's order"
    check_invariants(context, followed)


def allowed(context: ScenarioContext) -> None:
    """Run the same requests with a policy that allows the changes."""
    check_invariants(context, run_allowed_changes(context))


def expire(context: ScenarioContext) -> None:
    """Let an approval expire without a decision."""
    followed = context.new_run()
    followed.chat()
    followed.until()
    followed.follow()
    assert context.effects() == []
    assert {
        followed.approval(call)["status"] for call in (followed.call(f"{context.thing}-{end}") for end in "ab")
    } == {"expired"}
    check_invariants(context, followed)


def stop(context: ScenarioContext) -> None:
    """Stop the run while two changes wait, one of them approved."""
    followed = context.new_run()
    followed.chat()
    assert followed.decide(followed.open_calls[-1]).status_code == 200
    followed.stop()
    followed.until("stopped")
    followed.follow()
    assert context.effects() == []
    check_invariants(context, followed)


def shutdown(context: ScenarioContext) -> None:
    """Shut the engine down while the model streams; another engine continues the run."""
    followed = replace(context.new_run(), text=SLOW_REQUEST)
    followed.post()
    followed.until("running")
    context.client.engine.signal(signal.SIGTERM)
    context.client.engine.wait_until_gone()
    followed.chat()
    followed.until("completed")
    followed.follow()
    check_invariants(context, followed)


def named(context: ScenarioContext) -> None:
    """Request a title during a long first answer: exactly one is stored and announced, or the shortened message is
    used.
    """
    followed = replace(context.new_run(), text=SLOW_REQUEST)
    followed.chat()
    followed.until("completed")
    followed.follow()
    check_invariants(context, followed)
    title = context.client.get(f"/conversations/{followed.conversation_id}")["title"]
    announced = [event["title"] for event in followed.replay() if event["type"] == "conversation.title.generated"]
    assert (title, announced) in (
        (TITLE, [TITLE]),
        (TITLE, []),
        (SLOW_REQUEST, []),
    ), "announced once, unless the title came after the end"
    assert reduce(followed.events).others == reduce(followed.replay()).others


def near_budget(context: ScenarioContext) -> None:
    """Use 90 % of the run's budget, then go on: one warning is announced."""
    check_invariants(context, run_near_budget(context))


def compacted(context: ScenarioContext) -> None:
    """Ask more than fits the model's context window: older messages are summarised once."""
    check_invariants(context, *run_compacted(context))


def edit(context: ScenarioContext) -> None:
    """Approve with edits, then approve the edited call."""
    followed = context.new_run(both=False)
    followed.chat()
    old = followed.call(context.thing)
    edited = followed.decide(old, args={"name": context.thing, "value": "7"})
    assert edited.status_code in (200, 409), f"neither taken nor taken before the crash: {edited.text}"
    followed.follow()
    assert followed.call(context.thing) != old
    _decide_all(followed)
    followed.until("completed")
    followed.follow()
    assert followed.approval(old)["status"] == "superseded"
    assert [effect["value"] for effect in context.effects()] in (["7"], [])
    check_invariants(context, followed)


def settle_by_hand(context: ScenarioContext) -> None:
    """Run a change whose result is lost; a person checks it and settles it by hand."""
    context.counting.control(fault="input_required", tool="change_thing")
    followed, call = _unknown(context)
    assert context.client.post(f"/agent/approvals/{call}/verify").status_code == 200
    view = followed.approval(call)
    assert (view["outcome"], view["evidence"]["verdict"]) == ("unknown", "looks_applied")
    body = {"outcome": "applied", "reason": "I looked at it."}
    assert context.client.post(f"/agent/approvals/{call}/verify", body).status_code in (200, 409)
    assert followed.approval(call)["outcome"] == "applied"
    followed.follow()
    check_invariants(context, followed)


def prove_never_ran(context: ScenarioContext) -> None:
    """Lose a change before it reaches the tool server; Verify proves that it never ran and never will."""
    context.counting.control(fault="drop_before", tool="change_thing")
    followed, call = _unknown(context)
    assert context.client.post(f"/agent/approvals/{call}/verify").status_code in (200, 409)
    assert followed.approval(call)["outcome"] == "not_applied"
    assert context.effects() == []
    followed.follow()
    check_invariants(context, followed)


def _unknown(context: ScenarioContext) -> tuple[FollowedRun, str]:
    followed = context.new_run(both=False)
    followed.chat()
    call = followed.call(context.thing)
    assert followed.decide(call).status_code == 200
    followed.until("completed")
    followed.follow()
    assert followed.approval(call)["outcome"] == "unknown"
    check_invariants(context, followed)
    return followed, call


def queue(context: ScenarioContext) -> None:
    """Queue a second message behind a run that awaits decisions, then let the sweep handle both a minute later."""
    first = context.new_run()
    first.chat()
    second = replace(context.new_run(), text="Say something.", body={"conversation_id": first.conversation_id})
    second.body["on_busy"] = "enqueue"
    second.post()
    assert second.run()["state"] == "waiting"
    asyncio.run(_sweep(context, first.run_id, second.run_id))
    assert (first.run()["state"], second.run()["state"]) == ("awaiting_approval", "waiting")
    _decide_all(first)
    second.until("completed")
    second.follow()
    assert reduce(second.events).text == ANSWER
    check_invariants(context, first, second)


async def _sweep(context: ScenarioContext, *runs: str) -> None:
    """Backdate the runs' last activity by a minute and wait until the sweep has handled them."""

    async def age(tx: Transaction) -> None:
        for run_id in runs:
            await tx.change(Run, {"id": run_id}, updated_at=await tx.now() - 60_000)

    async def touched(tx: Transaction) -> bool:
        found = await tx.find(Run, {"id": runs})
        now = await tx.now()
        return all(run.updated_at > now - 30_000 for run in found)

    async def swept() -> bool:
        await asyncio.to_thread(context.client.get, "/health")
        return await store.transaction(touched)

    async with open_store(context.client.engine.database, pool_size=1) as store:
        await store.transaction(age)
        await eventually(swept, what="the sweep")


def forget(context: ScenarioContext) -> None:
    """Let an idempotency key expire after a week, then reuse it for a new run."""
    followed = replace(context.new_run(), text="Say something.")
    asyncio.run(expire_key(context, followed.key))
    followed.chat()
    followed.until("completed")
    followed.follow()
    check_invariants(context, followed)


def expired(context: ScenarioContext) -> None:
    """Let a conversation with a change grow old: it is erased, and the record of the change remains."""
    followed = context.new_run(both=False)
    followed.chat()
    _decide_all(followed)
    asyncio.run(make_old(context, followed))
    assert len(context.effects()) in EFFECTS.get(asyncio.run(wait_until_erased(context, followed)), (0,))


def erased(context: ScenarioContext) -> None:
    """Delete a conversation with a change: its messages are erased, the record of the change remains."""
    followed = context.new_run(both=False)
    followed.chat()
    _decide_all(followed)
    assert context.client.request("DELETE", f"/conversations/{followed.conversation_id}").status_code in (200, 404)
    assert len(context.effects()) in EFFECTS.get(asyncio.run(wait_until_erased(context, followed)), (0,))


def accounts(context: ScenarioContext) -> None:
    """Register the first user, change the name, use a refresh token, and delete the account."""
    user = {"email": "ada@example.org", "password": PASSWORD}
    made = context.client.post("/auth/register/register", user)
    assert made.status_code in (201, 403), "made now, or before the crash: then registration is closed"
    wrong = {"username": user["email"], "password": "wrong"}
    refused = context.client.retry(lambda: context.client.http.post(f"{context.client.url}/auth/jwt/login", data=wrong))
    assert refused.status_code == 400, refused.text
    bearer = _sign_in(context)
    changed = context.client.request("PATCH", "/auth/me", {"full_name": "Ada"}, bearer)
    assert changed.status_code == 200, changed.text
    me = context.client.request("GET", "/auth/me", headers=bearer).json()
    assert (me["email"], me["full_name"], me["role"]) == (user["email"], "Ada", "admin")
    _manage_team(context, bearer)
    _use_api_token(context, bearer)
    assert context.client.request("POST", "/auth/refresh/issue", headers=bearer).status_code == 200
    refreshed = context.client.post("/auth/refresh")
    if refreshed.status_code != 200:
        assert refreshed.status_code == 401, "only the answer was lost: the token is used, and came back"
        bearer = _sign_in(context)
    context.client.request("POST", "/auth/logout", headers=bearer)
    assert context.client.request("GET", "/auth/me", headers=bearer).status_code == 401


def _manage_team(context: ScenarioContext, bearer: dict[str, str]) -> None:
    """Add a member, promote the member, make a link for a new password, and remove the member."""
    wanted = {"email": "bob@example.org", "password": PASSWORD}
    made = context.client.request("POST", "/team/members", wanted, bearer)
    assert made.status_code in (201, 409), "409: made already"
    members = context.client.request("GET", "/team/members?status=all", headers=bearer).json()
    assert sorted(member["email"] for member in members) == ["ada@example.org", "bob@example.org"]
    bob = next(member for member in members if member["email"] == "bob@example.org")
    promoted = context.client.request("PATCH", f"/team/members/{bob['id']}", {"role": "approver"}, bearer).json()
    assert (promoted["role"], promoted["status"]) == ("approver", "active")
    linked = context.client.request("POST", f"/auth/users/{bob['id']}/reset-link", headers=bearer)
    assert linked.status_code == 200, linked.text
    removed = context.client.request("DELETE", f"/team/members/{bob['id']}", headers=bearer).json()
    assert (removed["role"], removed["status"]) == ("approver", "inactive")


def removal(context: ScenarioContext) -> None:
    """Remove a member whose change awaits a decision: the run is stopped, by any engine that gets to it."""
    member = {"email": "eve@example.org", "password": PASSWORD, "role": "member"}
    made = context.client.post("/team/members", member).json()
    followed, headers = context.new_run(), context.client.http.headers
    headers.update(_sign_in(context, member["email"]))
    followed.chat()
    del headers["Authorization"]
    context.client.http.cookies.clear()
    assert context.client.request("DELETE", f"/team/members/{made['id']}").json()["status"] == "inactive"
    followed.until("stopped")
    followed.follow()
    assert context.effects() == []
    check_invariants(context, followed)


def _use_api_token(context: ScenarioContext, bearer: dict[str, str]) -> None:
    """Create an API token and revoke it."""
    made = context.client.request("POST", "/auth/tokens", {"name": "bot"}, bearer)
    assert made.status_code == 201, made.text
    lent = {"Authorization": f"Bearer {made.json()['token']}"}
    assert context.client.request("GET", "/auth/me", headers=lent).json()["email"] == "ada@example.org"
    revoked = context.client.request("DELETE", f"/auth/tokens/{made.json()['id']}", headers=bearer)
    assert revoked.status_code in (204, 404), "404: revoked before the crash"
    assert context.client.request("GET", "/auth/me", headers=lent).status_code == 401


def _sign_in(context: ScenarioContext, email: str = "ada@example.org") -> dict[str, str]:
    login = {"username": email, "password": PASSWORD}
    token = context.client.retry(lambda: context.client.http.post(f"{context.client.url}/auth/jwt/login", data=login))
    return {"Authorization": f"Bearer {token.json()['access_token']}"}


_RUN_SCENARIOS = (
    both,
    allowed,
    expire,
    stop,
    shutdown,
    named,
    near_budget,
    compacted,
    edit,
    settle_by_hand,
    prove_never_ran,
    queue,
    forget,
)
_OTHER_SCENARIOS = (conversations, accounts, removal, integrations, erased, expired, by_provider, by_host, pruned)
SCENARIOS = {each.__name__: each for each in (*_RUN_SCENARIOS, *_OTHER_SCENARIOS)}
