"""The audit log over HTTP: filters, export and check, for admins only."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from skyflo_common.clock import SystemClock
from src.api.config.settings import Settings
from src.api.services.audit.sealing import Sealer, SealKey
from tests.support.app import PASSWORD, RunningApp, check_problem, register_client, run_app

pytestmark = pytest.mark.promise("audit")
EngineAndAdmin = tuple[RunningApp, httpx.AsyncClient]


@pytest.fixture
async def engine_and_admin(settings: Callable[..., Settings], database: str | None) -> AsyncIterator[EngineAndAdmin]:
    """Like the fixture in conftest, with an engine that seals only when a test does."""
    given = settings(postgres_database_url=database, registration_enabled=True, audit_seal_seconds=3600)
    async with run_app(given) as app:
        yield app, await register_client(app, "ana@example.com")


async def add_members(http: httpx.AsyncClient, members: int) -> list[str]:
    """Add members and change their roles; return their ids."""
    made = []
    for n in range(members):
        wanted = {"email": f"m{n}@example.com", "password": PASSWORD, "role": "viewer"}
        made.append((await http.post("/team/members", json=wanted)).json()["id"])
    for one in made:
        await http.patch(f"/team/members/{one}", json={"role": "member"})
    return made


async def list_entries(http: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """List all entries, two to a page."""
    found: list[dict[str, Any]] = []
    while True:
        page = (await http.get("/audit", params={"limit": 2, **query})).json()
        found += page["data"]
        if not page["pagination"]["has_more"]:
            return found
        query["cursor"] = page["pagination"]["next_cursor"]


def open_sealer(engine: RunningApp) -> Sealer:
    store = engine.services.team.store
    return Sealer(store, SystemClock(), SealKey(engine.settings.audit_secret), every=3600)


async def test_entries_are_filtered(engine_and_admin: EngineAndAdmin) -> None:
    _, http = engine_and_admin
    me = (await http.get("/auth/me")).json()
    members = await add_members(http, 3)

    everything = await list_entries(http)
    assert [each["at"] for each in everything] == sorted((each["at"] for each in everything), reverse=True)
    assert len({(each["stream"], each["n"]) for each in everything}) == len(everything) == 8
    team = await list_entries(http, stream="team")
    assert [each["n"] for each in team] == [6, 5, 4, 3, 2, 1]
    changed = await list_entries(http, action="member.changed", actor=f"user:{me['id']}")
    assert {each["body"]["member_id"] for each in changed} == set(members)
    assert {each["actor_name"] for each in changed} == {"ana@example.com (not verified)"}
    third = team[3]["at"]
    assert await list_entries(http, stream="team", since=third) == [each for each in team if each["at"] >= third]
    assert await list_entries(http, until=third) == [each for each in everything if each["at"] < third]
    assert await list_entries(http, actor="user:nobody") == []
    for wrong in ("x", "MTp4"):
        check_problem(await http.get("/audit", params={"cursor": wrong}), 400)


async def test_export_is_complete(engine_and_admin: EngineAndAdmin) -> None:
    engine, http = engine_and_admin
    await add_members(http, 2)
    await open_sealer(engine).seal()

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


async def test_check_reports_last_proven_seal(engine_and_admin: EngineAndAdmin) -> None:
    engine, http = engine_and_admin
    (seal,) = await open_sealer(engine).seal()
    await add_members(http, 1)

    report = (await http.get("/audit/verify", params={"seal": f"{seal.n}:{seal.hash}"})).json()
    assert (report["status"], report["proven"]["n"], report["proven"]["hash"], report["unsealed"]) == (
        "intact",
        1,
        seal.hash,
        2,
    )
    check_problem(await http.get("/audit/verify?seal=1"), 400)
    check_problem(await http.get("/audit/verify?cursor=1"), 400)
