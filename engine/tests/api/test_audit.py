"""The audit trail over HTTP: listed by filters, taken away, checked, and only by admins."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from src.api.config.settings import Settings
from src.api.services.sealer import Sealer
from src.api.services.seals import SealKey
from src.api.utils.clock import SystemClock
from tests.support.app import PASSWORD, Running, newcomer, problem, running

pytestmark = pytest.mark.promise("audit")
Ana = tuple[Running, httpx.AsyncClient]


@pytest.fixture
async def ana(settings: Callable[..., Settings], database: str | None) -> AsyncIterator[Ana]:
    """As the other tests' one, at an engine that seals only when a test does."""
    given = settings(postgres_database_url=database, registration_enabled=True, audit_seal_seconds=3600)
    async with running(given) as app:
        yield app, await newcomer(app, "ana@example.com")


async def grown(http: httpx.AsyncClient, members: int) -> list[str]:
    """Members, and what the team's trail tells of them."""
    made = []
    for n in range(members):
        wanted = {"email": f"m{n}@example.com", "password": PASSWORD, "role": "viewer"}
        made.append((await http.post("/team/members", json=wanted)).json()["id"])
    for one in made:
        await http.patch(f"/team/members/{one}", json={"role": "member"})
    return made


async def listed(http: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """Every page of two entries."""
    found: list[dict[str, Any]] = []
    while True:
        page = (await http.get("/audit", params={"limit": 2, **query})).json()
        found += page["data"]
        if not page["pagination"]["has_more"]:
            return found
        query["cursor"] = page["pagination"]["next_cursor"]


def sealer(engine: Running) -> Sealer:
    store = engine.services.team._store
    return Sealer(store, SystemClock(), SealKey(engine.settings.audit_secret), every=3600)


async def test_entries_are_listed_by_every_filter(ana: Ana) -> None:
    _, http = ana
    me = (await http.get("/auth/me")).json()
    members = await grown(http, 3)

    everything = await listed(http)
    assert [each["at"] for each in everything] == sorted((each["at"] for each in everything), reverse=True)
    assert len({(each["stream"], each["n"]) for each in everything}) == len(everything) == 8
    team = await listed(http, stream="team")
    assert [each["n"] for each in team] == [6, 5, 4, 3, 2, 1]
    changed = await listed(http, action="member.changed", actor=f"user:{me['id']}")
    assert {each["body"]["member_id"] for each in changed} == set(members)
    assert {each["actor_name"] for each in changed} == {"ana@example.com"}
    third = team[3]["at"]
    assert await listed(http, stream="team", since=third) == [each for each in team if each["at"] >= third]
    assert await listed(http, until=third) == [each for each in everything if each["at"] < third]
    assert await listed(http, actor="user:nobody") == []
    for wrong in ("x", "MTp4"):
        problem(await http.get("/audit", params={"cursor": wrong}), 400)


async def test_an_export_is_whole_and_says_so(ana: Ana) -> None:
    engine, http = ana
    await grown(http, 2)
    await sealer(engine).seal()

    answer = await http.get("/audit/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [line["kind"] for line in lines] == ["export", *["entry"] * 6, "seal", "end"]
    assert lines[-1] == {"kind": "end", "entries": 6, "seals": 1}
    assert PASSWORD not in answer.text
    assert "argon2" not in answer.text

    some = [json.loads(line) for line in (await http.get("/audit/export?stream=team")).text.splitlines()]
    assert [line["kind"] for line in some] == ["export", *["entry"] * 4, "end"]
    assert some[0]["filters"] == {"stream": "team"}


async def test_a_check_says_up_to_which_seal_it_is_proven(ana: Ana) -> None:
    engine, http = ana
    (seal,) = await sealer(engine).seal()
    await grown(http, 1)

    told = (await http.get("/audit/verify", params={"seal": f"{seal.n}:{seal.hash}"})).json()
    assert (told["status"], told["proven"]["n"], told["proven"]["hash"], told["unsealed"]) == (
        "intact",
        1,
        seal.hash,
        2,
    )
    problem(await http.get("/audit/verify?seal=1"), 400)
    problem(await http.get("/audit/verify?cursor=1"), 400)
