"""Account secrets appear only in the response that issues them, never in a log, file or model request."""

import json
import logging
import secrets
from pathlib import Path

import httpx
import pytest

from tests.support.app import RunningApp, make_settings, run_app
from tests.support.mailbox import Mailbox
from tests.support.scripted_model import ScriptedModel

pytestmark = pytest.mark.promise("secrets")

ANA = "ana@example.com"


class AccountUser:
    """A user who uses every account feature. `secrets` holds her credentials, `shown` all other responses."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.secrets = {name: f"canary-{name}-{secrets.token_hex(8)}" for name in ("first", "second", "third", "wrong")}
        self.shown: list[str] = []

    async def ask(self, method: str, path: str, wanted: int, **request: object) -> httpx.Response:
        self.client.cookies.clear()
        answer = await self.client.request(method, path, **request)  # type: ignore[arg-type]
        assert answer.status_code == wanted, answer.text
        return answer

    async def show(self, method: str, path: str, wanted: int, **request: object) -> None:
        answer = await self.ask(method, path, wanted, **request)
        self.shown.append(f"{answer.headers}{answer.text}")

    async def sign_in(self, password: str) -> dict[str, str]:
        """Sign in, record the session's token and cookies as secrets, and return its header."""
        form = {"username": ANA, "password": self.secrets[password]}
        token = (await self.ask("POST", "/auth/jwt/login", 200, data=form)).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        refresh = (await self.ask("POST", "/auth/refresh/issue", 200, headers=bearer)).cookies["refresh_token"]
        again = await self.ask("POST", "/auth/refresh", 200, headers={"Cookie": f"refresh_token={refresh}"})
        kept = {"access": token, "refresh": refresh, "later": again.cookies["refresh_token"]}
        self.secrets |= {f"{name} of {password}": value for name, value in kept.items()}
        return bearer

    async def send_invalid_secrets(self, bearer: dict[str, str]) -> None:
        """Send secrets in every wrong place and form."""
        first, wrong = self.secrets["first"], self.secrets["wrong"]
        await self.show("POST", "/auth/jwt/login", 400, data={"username": ANA, "password": wrong})
        await self.show("POST", "/auth/jwt/login", 422, data={"username": ANA, "password": wrong * 20})
        await self.show("POST", "/auth/jwt/login", 415, json={"username": ANA, "password": wrong})
        await self.show("POST", "/auth/register/register", 422, json={"email": "x", "password": wrong})
        await self.show("POST", "/auth/register/register", 422, json={"email": wrong, "password": "short"})
        await self.show("POST", "/auth/reset-password/reset-password", 400, json={"token": wrong, "password": wrong})
        await self.show("PATCH", "/auth/me", 400, json={"password": wrong, "current_password": wrong}, headers=bearer)
        await self.show("PATCH", "/auth/me", 422, json={"password": {"is": wrong}}, headers=bearer)
        await self.show("GET", f"/auth/me?token={wrong}&access_token={first}", 401)
        await self.show("GET", f"/conversations?cursor={wrong}", 400, headers=bearer)
        await self.show("GET", "/auth/me", 401, headers={"Authorization": f"Bearer {wrong}"})
        await self.show("GET", "/auth/me", 401, headers={"Authorization": f"Basic {wrong}"})
        await self.show("GET", "/auth/me", 401, headers={"Cookie": f"auth_token={wrong}"})
        await self.show("POST", "/auth/refresh", 401, headers={"Cookie": f"refresh_token={wrong}"})

    async def change_passwords(self, bearer: dict[str, str]) -> None:
        body = {"current_password": self.secrets["first"], "new_password": self.secrets["second"]}
        await self.show("PATCH", "/auth/users/me/password", 200, json=body, headers=bearer)
        member = {"email": "bo@example.com", "password": self.secrets["third"]}
        await self.show("POST", "/team/members", 201, json=member, headers=bearer)


async def test_account_secrets_never_leak(
    tmp_path: Path, scripted_model: ScriptedModel, caplog: pytest.LogCaptureFixture, mailbox: Mailbox
) -> None:
    caplog.set_level(logging.DEBUG)
    scripted_model.reset()
    speaking = {
        "llm_model": "openai/scripted",
        "llm_host": scripted_model.url,
        "environment": {"OPENAI_API_KEY": "sk-scripted-01"},
    }
    async with run_app(make_settings(tmp_path, **speaking, **mailbox.settings)) as engine, engine.client() as client:
        ana = AccountUser(client)
        await register(ana)
        bearer = await ana.sign_in("first")
        await ana.send_invalid_secrets(bearer)
        await ana.change_passwords(bearer)
        machine = (
            await ana.ask("POST", "/auth/tokens", 201, json={"name": "bot", "scopes": ["chat"]}, headers=bearer)
        ).json()
        ana.secrets["machine"] = machine["token"]
        hello = {"messages": [{"role": "user", "content": "hello"}]}
        for holder in (bearer, {"Authorization": f"Bearer {machine['token']}"}):
            await ana.show("POST", "/agent/chat", 200, json=hello, headers=holder)
        ana.secrets["link"] = await request_reset_link(ana, mailbox)
        everything = collect_texts(engine, ana, scripted_model, caplog)
    assert [
        (name, place) for name, secret in ana.secrets.items() for place, text in everything.items() if secret in text
    ] == []
    requests = [record for record in caplog.records if record.name == "skyflo.access"]
    assert all(
        getattr(record, "action", "") == "http.request" and "?" not in record.getMessage() for record in requests
    )


async def register(ana: AccountUser) -> None:
    body = {"email": ANA, "password": ana.secrets["first"]}
    await ana.show("POST", "/auth/register/register", 201, json=body)


async def request_reset_link(ana: AccountUser, mailbox: Mailbox) -> str:
    """Request a reset link and return its token."""
    await ana.show("POST", "/auth/reset-password/forgot-password", 202, json={"email": ANA})
    return await mailbox.next_link("reset-password")


def collect_texts(
    engine: RunningApp, ana: AccountUser, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> dict[str, str]:
    """Collect every text in which a secret could appear."""
    ours = [record for record in caplog.records if record.name != "httpx"]  # logged by this test's client
    lines = [f"{record.getMessage()}{record.exc_text or ''}" for record in ours]
    files = [path for path in engine.settings.data_dir.rglob("*") if path.is_file()]
    assert len(model.requests) >= 2
    return {
        "log": "\n".join(lines),
        "answers": "\n".join(ana.shown),
        "model": json.dumps([[dict(asked.headers), asked.body] for asked in model.requests]),
        **{path.name: path.read_bytes().decode("latin-1") for path in files},
    }
