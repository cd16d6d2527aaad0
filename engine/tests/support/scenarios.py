"""What people do in the crash suite, each way of it checked at its end as strictly as it can be while engines die.

Every scenario speaks through a `Client`, which repeats what it did when the engine died under it; none of them knows
where that will be.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from src.api.adapters.store.store import open_store
from src.api.ports import Transaction
from src.api.schemas.records import Conversation, Execution, Message, Run, Submission
from tests.support.client import Client, Talk
from tests.support.connecting import integrations
from tests.support.counting import Counting
from tests.support.policy_scenario import by_policy, runs_by_policy
from tests.support.provider_scenario import by_provider
from tests.support.reducer import reduce
from tests.support.scenario import ANSWER, SLOWLY, TITLE, asking
from tests.support.waiting import eventually

__all__ = ["SCENARIOS", "World", "check"]

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class World:
    """A client before an engine, and the things that are a case's own: their names begin with `thing`."""

    client: Client
    counting: Counting
    thing: str

    def talk(self, *, both: bool = True, **body: object) -> Talk:
        return Talk(self.client, asking(self.thing, both=both), body)

    def effects(self) -> list[dict[str, Any]]:
        """What was really changed, in order."""
        told = self.client.http.get(f"http://127.0.0.1:{self.counting.port}/control").json()
        return [effect for effect in told["effects"] if effect["name"].startswith(self.thing)]


def check(world: World, *talks: Talk) -> None:
    """What holds at every rest, whatever happened on the way. `talks` are all of one conversation."""
    _check_effects(world, talks)
    for talk in talks:
        _check_texts(world, talk)
    runs = world.client.get(f"/agent/runs?conversation_id={talks[0].conversation_id}&limit=50")["data"]
    assert {run["run_id"] for run in runs} == {talk.run_id for talk in talks}, "one run for each key"
    assert len(runs) == len(talks)


def _check_effects(world: World, talks: Sequence[Talk]) -> None:
    """At most one effect an approval; exactly one where the record says that it succeeded, none where it says not."""
    counted = Counter(effect["approval"] for effect in world.effects())
    events = [event for talk in talks for event in talk.replay()]
    asked = [event["call_id"] for event in events if event["type"] == "tool.awaiting_approval" or by_policy(event)]
    assert set(counted) <= set(asked), "something ran that nobody was asked about, and no policy allowed"
    for call_id in asked:
        view = talks[0].approval(call_id)
        wanted = {"succeeded": (1,), "applied": (1,), "unknown": (0, 1)}.get(view["outcome"], (0,))
        assert counted[call_id] in wanted, f"{counted[call_id]} effects of {view}"
        assert view["outcome"] is None or view["status"] == "consumed", view


def _check_texts(world: World, talk: Talk) -> None:
    """Whoever stayed, whoever comes late and whoever reads the conversation see the same, each text once and whole."""
    stayed, late = reduce(talk.events), reduce(talk.replay())
    texts = [generation.text for generation in late.generations.values()]
    assert [generation.text for generation in stayed.generations.values()] == texts
    assert stayed.calls == late.calls
    conversation = world.client.get(f"/conversations/{talk.conversation_id}")
    told = [entry for entry in conversation["messages"] if entry.get("run_id") == talk.run_id]
    assert [part["text"] for entry in told for part in entry["segments"] if part["kind"] == "text"] == [
        text for text in texts if text
    ]


def _decide_all(talk: Talk) -> None:
    """Approves what waits, the last first, until the run ends."""
    talk.follow()
    while talk.run()["state"] == "awaiting_approval":
        for call_id in reversed(talk.open_calls):
            assert talk.decide(call_id).status_code == 200
        talk.follow()


def both(world: World) -> None:
    """A read, two changes approved in the wrong order, and words."""
    talk = world.talk()
    talk.chat()
    _decide_all(talk)
    talk.until()
    talk.follow()
    assert talk.run()["state"] == "completed"
    assert reduce(talk.events).text.endswith(ANSWER)
    order = [effect["name"].removeprefix(world.thing) for effect in world.effects()]
    assert order in (["-a", "-b"], ["-a"], []), "changes run in the model's order"
    check(world, talk)


def allowed(world: World) -> None:
    """The same where a rule of the policy says yes to changes."""
    check(world, runs_by_policy(world))


def expire(world: World) -> None:
    """Nobody decides."""
    talk = world.talk()
    talk.chat()
    talk.until()
    talk.follow()
    assert world.effects() == []
    assert {talk.approval(call)["status"] for call in (talk.call(f"{world.thing}-{end}") for end in "ab")} == {
        "expired"
    }
    check(world, talk)


def stop(world: World) -> None:
    """Stop while two changes wait, one of them approved."""
    talk = world.talk()
    talk.chat()
    assert talk.decide(talk.open_calls[-1]).status_code == 200
    talk.stop()
    talk.until("stopped")
    talk.follow()
    assert world.effects() == []
    check(world, talk)


def shutdown(world: World) -> None:
    """The engine is asked to end while the model speaks; another one goes on with the run."""
    talk = replace(world.talk(), text=SLOWLY)
    talk.post()
    talk.until("running")
    world.client.engine.signal(signal.SIGTERM)
    world.client.engine.gone()
    talk.chat()
    talk.until("completed")
    talk.follow()
    check(world, talk)


def named(world: World) -> None:
    """The model is asked for a title beside a long first answer: there is one, told once, or the one that was cut."""
    talk = replace(world.talk(), text=SLOWLY)
    talk.chat()
    talk.until("completed")
    talk.follow()
    check(world, talk)
    title = world.client.get(f"/conversations/{talk.conversation_id}")["title"]
    told = [event["title"] for event in talk.replay() if event["type"] == "conversation.title.generated"]
    assert (title, told) in ((TITLE, [TITLE]), (TITLE, []), (SLOWLY, [])), "told once, unless it came after the end"
    assert reduce(talk.events).others == reduce(talk.replay()).others


def edit(world: World) -> None:
    """Approve with edits, then approve what came of it."""
    talk = world.talk(both=False)
    talk.chat()
    old = talk.call(world.thing)
    edited = talk.decide(old, args={"name": world.thing, "value": "7"})
    assert edited.status_code in (200, 409), "an edit is repeated after the crash: it may have been taken before"
    talk.follow()
    assert talk.call(world.thing) != old
    _decide_all(talk)
    talk.until("completed")
    talk.follow()
    assert talk.approval(old)["status"] == "superseded"
    assert [effect["value"] for effect in world.effects()] in (["7"], [])
    check(world, talk)


def settle_by_hand(world: World) -> None:
    """A change whose end is never told, looked at and then settled by a person."""
    world.counting.order(fault="input_required", tool="change_thing")
    talk, call = _unknown(world)
    assert world.client.post(f"/agent/approvals/{call}/verify").status_code == 200
    view = talk.approval(call)
    assert (view["outcome"], view["evidence"]["verdict"]) == ("unknown", "looks_applied")
    body = {"outcome": "applied", "reason": "I looked at it."}
    assert world.client.post(f"/agent/approvals/{call}/verify", body).status_code in (200, 409)
    assert talk.approval(call)["outcome"] == "applied"
    talk.follow()
    check(world, talk)


def prove_never_ran(world: World) -> None:
    """A change that was lost on its way: Verify proves it, for good."""
    world.counting.order(fault="drop_before", tool="change_thing")
    talk, call = _unknown(world)
    assert world.client.post(f"/agent/approvals/{call}/verify").status_code in (200, 409)
    assert talk.approval(call)["outcome"] == "not_applied"
    assert world.effects() == []
    talk.follow()
    check(world, talk)


def _unknown(world: World) -> tuple[Talk, str]:
    talk = world.talk(both=False)
    talk.chat()
    call = talk.call(world.thing)
    assert talk.decide(call).status_code == 200
    talk.until("completed")
    talk.follow()
    assert talk.approval(call)["outcome"] == "unknown"
    check(world, talk)
    return talk, call


def queue(world: World) -> None:
    """A second message waits behind one that awaits decisions; the sweep looks after both a minute later."""
    first = world.talk()
    first.chat()
    second = replace(world.talk(), text="Say something.", body={"conversation_id": first.conversation_id})
    second.body["on_busy"] = "enqueue"
    second.post()
    assert second.run()["state"] == "waiting"
    asyncio.run(_sweep(world, first.run_id, second.run_id))
    assert (first.run()["state"], second.run()["state"]) == ("awaiting_approval", "waiting")
    _decide_all(first)
    second.until("completed")
    second.follow()
    assert reduce(second.events).text == ANSWER
    check(world, first, second)


async def _sweep(world: World, *runs: str) -> None:
    """Makes the runs look as if nobody had touched them for a minute, and returns when the sweep has."""

    async def age(tx: Transaction) -> None:
        for run_id in runs:
            await tx.change(Run, {"id": run_id}, touched_at=await tx.now() - 60_000)

    async def touched(tx: Transaction) -> bool:
        found = await tx.find(Run, {"id": runs})
        now = await tx.now()
        return all(run.touched_at > now - 30_000 for run in found)

    async def swept() -> bool:
        await asyncio.to_thread(world.client.get, "/health")
        return await store.transaction(touched)

    async with open_store(world.client.engine.database, pool_size=1) as store:
        await store.transaction(age)
        await eventually(swept, what="the sweep")


def forget(world: World) -> None:
    """An idempotency key that is over a week old is forgotten; then it starts a run of its own."""
    talk = replace(world.talk(), text="Say something.")
    asyncio.run(_forget(world, talk.key))
    talk.chat()
    talk.until("completed")
    talk.follow()
    check(world, talk)


async def _forget(world: World, key: str) -> None:
    async def used_long_ago(tx: Transaction) -> None:
        at = await tx.now() - 8 * 86_400_000
        assert await tx.insert(Submission("local", key, "of another body", "no run", "no conversation", at))

    async def forgotten() -> bool:
        await asyncio.to_thread(world.client.get, "/health")
        return await store.read(lambda reader: reader.get(Submission, user_id="local", idempotency_key=key)) is None

    async with open_store(world.client.engine.database, pool_size=1) as store:
        await store.transaction(used_long_ago)
        await eventually(forgotten, what="the key's being forgotten")


def erased(world: World) -> None:
    """A conversation in which something was changed is deleted: what was said goes, that it was done stays."""
    talk = world.talk(both=False)
    talk.chat()
    _decide_all(talk)
    assert world.client.request("DELETE", f"/conversations/{talk.conversation_id}").status_code in (200, 404)
    asyncio.run(_erased(world, talk))
    assert len(world.effects()) == 1


async def _erased(world: World, talk: Talk) -> None:
    async def done() -> bool:
        await asyncio.to_thread(world.client.get, "/health")
        found = await store.read(lambda reader: reader.get(Conversation, id=talk.conversation_id))
        return found is not None and found.deleted_at is not None and found.erase_due is None

    of = {"run_id": talk.run_id}
    async with open_store(world.client.engine.database, pool_size=1) as store:
        await eventually(done, what="the erasure")
        assert await store.read(lambda reader: reader.find(Message, of)) == []
        assert {each.state for each in await store.read(lambda reader: reader.find(Execution, of))} == {"succeeded"}


def conversations(world: World) -> None:
    """A conversation is made, named and removed."""
    own = str(uuid4())
    for _ in range(2):
        made = world.client.post("/conversations", {"conversation_id": own, "title": "First"})
        assert (made.status_code, made.json()["id"]) == (200, own)
    assert world.client.request("PATCH", f"/conversations/{own}", {"title": "Second"}).status_code == 200
    assert world.client.get(f"/conversations/{own}")["title"] == "Second"
    assert world.client.request("DELETE", f"/conversations/{own}").status_code in (200, 404)
    assert world.client.request("GET", f"/conversations/{own}").status_code == 404


def accounts(world: World) -> None:
    """The first user registers, changes a name, lives on a refresh token, and leaves."""
    user = {"email": "ada@example.org", "password": PASSWORD}
    made = world.client.post("/auth/register/register", user)
    assert made.status_code in (201, 403), "made now, or before the crash: then registration is closed"
    wrong = {"username": user["email"], "password": "wrong"}
    refused = world.client.persist(lambda: world.client.http.post(f"{world.client.url}/auth/jwt/login", data=wrong))
    assert refused.status_code == 400, refused.text
    bearer = _signed_in(world)
    changed = world.client.request("PATCH", "/auth/me", {"full_name": "Ada"}, bearer)
    assert changed.status_code == 200, changed.text
    me = world.client.request("GET", "/auth/me", headers=bearer).json()
    assert (me["email"], me["full_name"], me["role"]) == (user["email"], "Ada", "admin")
    _grow_the_team(world, bearer)
    _lend_a_token(world, bearer)
    assert world.client.request("POST", "/auth/refresh/issue", headers=bearer).status_code == 200
    refreshed = world.client.post("/auth/refresh")
    if refreshed.status_code != 200:
        assert refreshed.status_code == 401, "only the answer was lost: the token is used, and came back"
        bearer = _signed_in(world)
    world.client.request("POST", "/auth/logout", headers=bearer)
    assert world.client.request("GET", "/auth/me", headers=bearer).status_code == 401


def _grow_the_team(world: World, bearer: dict[str, str]) -> None:
    """A member comes, is promoted and leaves."""
    wanted = {"email": "bob@example.org", "password": PASSWORD}
    assert world.client.request("POST", "/team/members", wanted, bearer).status_code in (201, 409), "409: made already"
    members = world.client.request("GET", "/team/members", headers=bearer).json()["data"]
    assert sorted(member["email"] for member in members) == ["ada@example.org", "bob@example.org"]
    bob = next(member for member in members if member["email"] == "bob@example.org")
    promoted = world.client.request("PATCH", f"/team/members/{bob['id']}", {"role": "approver"}, bearer).json()
    assert (promoted["role"], promoted["status"]) == ("approver", "active")
    removed = world.client.request("DELETE", f"/team/members/{bob['id']}", headers=bearer).json()
    assert (removed["role"], removed["status"]) == ("approver", "inactive")


def removal(world: World) -> None:
    """Somebody whose change waits for a decision is removed: the run is stopped, whoever gets to do it."""
    member = {"email": "eve@example.org", "password": PASSWORD, "role": "member"}
    made = world.client.post("/team/members", member).json()
    talk, headers = world.talk(), world.client.http.headers
    headers.update(_signed_in(world, member["email"]))
    talk.chat()
    del headers["Authorization"]
    world.client.http.cookies.clear()
    assert world.client.request("DELETE", f"/team/members/{made['id']}").json()["status"] == "inactive"
    talk.until("stopped")
    talk.follow()
    assert world.effects() == []
    check(world, talk)


def _lend_a_token(world: World, bearer: dict[str, str]) -> None:
    """A machine gets a token and loses it again."""
    made = world.client.request("POST", "/auth/tokens", {"name": "bot"}, bearer)
    assert made.status_code == 201, made.text
    lent = {"Authorization": f"Bearer {made.json()['token']}"}
    assert world.client.request("GET", "/auth/me", headers=lent).json()["email"] == "ada@example.org"
    revoked = world.client.request("DELETE", f"/auth/tokens/{made.json()['id']}", headers=bearer)
    assert revoked.status_code in (204, 404), "404: revoked before the crash"
    assert world.client.request("GET", "/auth/me", headers=lent).status_code == 401


def _signed_in(world: World, email: str = "ada@example.org") -> dict[str, str]:
    login = {"username": email, "password": PASSWORD}
    token = world.client.persist(lambda: world.client.http.post(f"{world.client.url}/auth/jwt/login", data=login))
    return {"Authorization": f"Bearer {token.json()['access_token']}"}


_OF_RUNS = (both, allowed, expire, stop, shutdown, named, edit, settle_by_hand, prove_never_ran, queue, forget)
_OF_ALL_ELSE = (conversations, accounts, removal, integrations, erased, by_provider)
SCENARIOS = {each.__name__: each for each in (*_OF_RUNS, *_OF_ALL_ELSE)}
