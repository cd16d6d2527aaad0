"""What still counts after a key was changed, as `docs/operations/keys.md` says."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from src.api.container import build_redactor
from tests.support.app import PASSWORD, RunningApp, log_in, make_settings, register_user, run_app
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import open_engine_harness
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

ANA, BEN = "ana@example.com", "ben@example.com"
OLD_AUDIT = "a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5-audit-key"
NEW = "fedcba9876543210fedcba9876543210-new-key"


async def _sign_in(app: RunningApp, *, is_first: bool = False) -> httpx.AsyncClient:
    async with app.client() as anonymous:
        if is_first:
            await register_user(anonymous, ANA)
        return app.client(await log_in(anonymous, ANA))


async def _read_audit(client: httpx.AsyncClient) -> dict[str, Any]:
    return dict((await client.get("/audit/verify")).json())


async def _wait_for_seal(client: httpx.AsyncClient, number: int) -> None:
    async def sealed() -> bool:
        report = await _read_audit(client)
        return bool(report["seals"] >= number and report["unsealed"] == 0)

    await eventually(sealed, what=f"seal {number}")


async def test_new_jwt_secret_ends_access_tokens_and_links_but_no_session(tmp_path: Path) -> None:
    async with run_app(make_settings(tmp_path, audit_key=OLD_AUDIT)) as app:
        before = await _sign_in(app, is_first=True)
        refresh = (await before.post("/auth/refresh/issue")).cookies["refresh_token"]
        api_token = (await before.post("/auth/tokens", json={"name": "ci", "scopes": ["chat"]})).json()["token"]
        member = await before.post("/team/members", json={"email": BEN, "password": PASSWORD, "role": "member"})
        link = (await before.post(f"/auth/users/{member.json()['id']}/reset-link")).json()["url"].rpartition("=")[2]
    async with run_app(make_settings(tmp_path, audit_key=OLD_AUDIT, jwt_secret=NEW)) as app:
        old_token = before.headers["Authorization"].removeprefix("Bearer ")
        assert (await app.client(old_token).get("/auth/me")).status_code == 401
        assert (await app.client(api_token).get("/auth/me")).status_code == 200
        async with app.client(Cookie=f"refresh_token={refresh}") as browser:
            refreshed = await browser.post("/auth/refresh")
        assert (await app.client(refreshed.json()["access_token"]).get("/auth/me")).json()["email"] == ANA
        async with app.client() as anonymous:
            body = {"token": link, "password": f"{PASSWORD} again"}
            assert (await anonymous.post("/auth/reset-password/reset-password", json=body)).status_code == 400
        assert (await _read_audit(await _sign_in(app)))["status"] == "intact"


@pytest.mark.promise("audit")
async def test_new_audit_key_proves_older_seals_with_its_first_own(tmp_path: Path) -> None:
    async with run_app(make_settings(tmp_path, audit_key=OLD_AUDIT, audit_seal_seconds=1)) as app:
        admin = await _sign_in(app, is_first=True)
        await _wait_for_seal(admin, 1)
        earlier = await _read_audit(admin)
        assert earlier["proven"]["n"] == earlier["seals"]
    async with run_app(make_settings(tmp_path, audit_key=NEW, audit_seal_seconds=3_600)) as app:
        report = await _read_audit(await _sign_in(app))
        assert (report["status"], report["proven"]) == ("intact", None)
    async with run_app(make_settings(tmp_path, audit_key=NEW, audit_seal_seconds=1)) as app:
        admin = await _sign_in(app)
        await _wait_for_seal(admin, earlier["seals"] + 1)
        report = await _read_audit(admin)
        assert (report["status"], report["proven"]["n"]) == ("intact", report["seals"])


@pytest.mark.promise("no-approval-no-effect")
async def test_grant_of_another_key_changes_nothing(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    async with open_engine_harness(tmp_path, counting, scripted_model, mcp_grant_key=NEW) as agent:
        asked = await agent.me.ask("set rotated=1")
        done = await agent.me.decide(asked, asked.waiting[0])
        assert (done["tool.error"]["effect"], "grant" in done["tool.error"]["error"]) == ("none", True)
        assert agent.effects_of("rotated") == []


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("name", ["mcp_server_token", "mcp_grant_key", "credentials_key"])
def test_each_key_of_a_list_is_masked(tmp_path: Path, name: str) -> None:
    redactor = build_redactor(make_settings(tmp_path, **{name: f"{NEW},{OLD_AUDIT}"}))
    for key in (NEW, OLD_AUDIT):
        assert key not in redactor.redact_text(f"the server said: {key} is unknown")


async def test_other_token_of_the_tool_server_is_named_by_readiness(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    async with open_engine_harness(tmp_path, counting, scripted_model, mcp_server_token=NEW) as agent:

        async def named() -> bool:
            ready = (await agent.me.client.get("/health/ready")).json()
            [servers] = [each for each in ready["dependencies"] if each["name"] == "tool servers"]
            return servers["state"] == "error" and "keys are right" in servers["hint"]

        await eventually(named, what="the state of the tool server")
