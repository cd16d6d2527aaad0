"""Health: liveness reads nothing, readiness reports each dependency, and only admins see errors."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from src.api.config.settings import Settings
from src.api.errors import StoreUnavailable
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.services.health import NEXT_STEPS, Health, ProbeResult
from tests.support.app import RunningApp, check_problem, run_app
from tests.support.clock import FakeClock
from tests.support.waiting import PATIENCE, eventually

NAMES = ["database", "migrations", "redis", "tool servers", "cluster", "policy", "checkpointer", "model", "credentials"]


async def test_health_and_database_are_ok(engine: RunningApp) -> None:
    async with engine.client() as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert (await client.get("/health/database")).json() == {"status": "ok", "database": "connected"}


async def test_database_outage_fails_readiness_but_not_liveness(
    engine: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(_: object) -> None:
        raise StoreUnavailable("The database at db.internal does not answer.")

    monkeypatch.setattr(engine.services.health._store, "read", down)
    async with engine.client() as client:
        assert (await client.get("/health")).status_code == 200
        database = await client.get("/health/database")
        ready = await client.get("/health/ready")
    assert (database.status_code, database.json()["status"]) == (503, "error")
    assert (ready.status_code, ready.json()["status"]) == (503, "error")
    assert "db.internal" not in ready.text


async def test_readiness_reports_each_dependency(settings: Callable[..., Settings]) -> None:
    """A tool server that is down degrades readiness; only admins see the reason."""
    async with run_app(settings(local_mode=True)) as engine, engine.client(host="localhost") as client:

        async def dependencies_settled() -> bool:
            found = (await client.get("/health/ready")).json()["dependencies"]
            return "error" in [one["state"] for one in found] and "starting" not in [one["state"] for one in found]

        await eventually(dependencies_settled, what="every dependency's state")
        answer = await client.get("/health/ready")
        anonymous = await client.get("/health/ready", headers={"X-Forwarded-For": "10.0.0.1"})
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    found = {one["name"]: one for one in answer.json()["dependencies"]}
    assert list(found) == NAMES
    assert [found[name]["state"] for name in NAMES[:3]] == ["ok", "ok", "off"]
    assert found["tool servers"]["error"]
    assert "OPENAI_API_KEY" in found["model"]["hint"]
    anonymous_view = {one["name"]: one for one in anonymous.json()["dependencies"]}
    assert all(one["error"] is None for one in anonymous_view.values())
    assert "MCP_SERVER_URL" in anonymous_view["tool servers"]["hint"]
    assert "127.0.0.1" in str(found["cluster"]["hint"])
    assert "127.0.0.1" not in anonymous.text


@pytest.mark.promise("secrets")
async def test_failed_dependency_shows_hint_to_all_and_error_to_admins(
    engine: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down() -> ProbeResult | None:
        raise StoreUnavailable("of-the-inside")

    probes = engine.services.health._probes
    assert set(probes) - {"migrations", "policy", "checkpointer"} <= set(NEXT_STEPS), "a dependency without a next step"
    monkeypatch.setattr(engine.services.health, "_probes", dict.fromkeys(NEXT_STEPS, down))
    reports = [(await engine.services.health.ready(each)).dependencies for each in (None, LOCAL_ADMIN)]
    assert [[one.hint for one in each] for each in reports] == [list(NEXT_STEPS.values())] * 2
    assert [{one.error for one in each} for each in reports] == [{None}, {"of-the-inside"}]


async def test_readiness_reports_redis(settings: Callable[..., Settings], redis_url: str) -> None:
    async with run_app(settings(redis_url=redis_url)) as engine, engine.client() as client:
        found = (await client.get("/health/ready")).json()["dependencies"]
    assert next(one["state"] for one in found if one["name"] == "redis") == "ok"


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/mcp"])
async def test_missing_cluster_is_reported(settings: Callable[..., Settings], url: str | None) -> None:
    nowhere = {"environment": {"HOME": "/nonexistent"}, "mcp_server_url": url}
    async with run_app(settings(sandbox="none", local_mode=True, **nowhere)) as engine:
        for host, hint in (("localhost", "no cluster" if url is None else url), ("example.com", "KUBECONFIG")):
            async with engine.client(host=host) as client:
                found = (await client.get("/health/ready")).json()["dependencies"]
            cluster = next(one for one in found if one["name"] == "cluster")
            assert cluster["state"] == ("ok" if url else "degraded"), cluster
            assert hint.lower() in str(cluster["hint"]).lower() or (url and cluster["hint"] is None)


async def test_redis_outage_degrades_readiness(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(redis_url="redis://127.0.0.1:9/0")) as engine, engine.client() as client:
        answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


async def test_invalid_token_does_not_block_readiness(engine: RunningApp) -> None:
    async with engine.client("nonsense") as client:
        assert (await client.get("/health/ready")).status_code == 200
        check_problem(await client.get("/auth/me"), 401)


async def test_hanging_probe_is_reported_as_error(engine: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hanging() -> ProbeResult | None:
        await FakeClock().sleep(1_000)
        return None

    monkeypatch.setattr("src.api.services.health.DEADLINE", 3.0)
    health = Health(engine.services.health._store, FakeClock(), {"hanging": hanging})
    found = (await health.ready(None)).dependencies
    assert [one.state for one in found] == ["ok", "error"]


@pytest.mark.promise("contract")
def test_generated_documents_are_current() -> None:
    from src.api.generate import documents

    for path, text in documents().items():
        assert path.read_text() == text, f"{Path(path).name}: run make generate"


async def test_checks_that_miss_their_deadline_are_shared_and_not_cancelled(
    engine: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that is cancelled waits for its database, which may hang much longer than the deadline."""
    monkeypatch.setattr("src.api.services.health.DEADLINE", 0.05)
    begun, cancelled, answers = list[None](), list[None](), asyncio.Event()

    async def hanging() -> ProbeResult | None:
        begun.append(None)
        try:
            await answers.wait()
        except asyncio.CancelledError:
            cancelled.append(None)
            raise
        return None

    clock = FakeClock()
    health = Health(engine.services.health._store, clock, {"hanging": hanging})

    async def states() -> list[str]:
        return [one.state for one in (await health.ready(None)).dependencies if one.name == "hanging"]

    assert [await states(), await states()] == [["error"], ["error"]]
    assert (len(begun), cancelled) == (1, [])
    monkeypatch.setattr("src.api.services.health.DEADLINE", PATIENCE)
    await clock.advance(PATIENCE)
    answers.set()
    assert await states() == ["ok"]
    assert (len(begun), cancelled) == (2, [])
