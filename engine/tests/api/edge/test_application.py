"""`GET /app`: what a page learns before and after sign-in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from src.api.config.settings import Settings
from tests.support.app import RunningApp, register_client, run_app

PUBLIC = {"version", "local_mode", "registration", "reset_by_mail", "oidc", "setup"}


async def test_page_learns_how_to_sign_in(engine: RunningApp) -> None:
    async with engine.client() as client:
        before = (await client.get("/app")).json()
        assert before == {
            "version": engine.settings.app_version,
            "local_mode": False,
            "registration": False,
            "reset_by_mail": False,
            "oidc": None,
            "setup": True,
        }
        async with await register_client(engine, "ana@example.com") as ana:
            known = (await ana.get("/app")).json()
        assert (await client.get("/app")).json() == {**before, "setup": False}
    assert known == {
        **before,
        "setup": False,
        "model": "openai/gpt-4o",
        "sandbox": {"model": False, "cluster": False},
        "clusters": [],
    }


@pytest.mark.promise("secrets")
async def test_invalid_token_learns_what_anyone_may(engine: RunningApp) -> None:
    async with engine.client("nonsense") as client:
        assert set((await client.get("/app")).json()) == PUBLIC


async def test_settings_are_described(settings: Callable[..., Settings], tmp_path: Path) -> None:
    mail = {"smtp_host": "127.0.0.1", "smtp_from": "engine@engine.example", "public_url": "https://engine.example"}
    clusters = {"clusters": ("arn:aws:prod:read", "dev"), "registration_enabled": True, "local_mode": True}
    async with run_app(settings(**mail, **clusters)) as engine, engine.client(host="localhost") as client:
        found = (await client.get("/app")).json()
    assert (found["local_mode"], found["registration"], found["reset_by_mail"]) == (True, True, True)
    assert found["clusters"] == [{"name": "arn:aws:prod", "mode": "read"}, {"name": "dev", "mode": "write"}]
