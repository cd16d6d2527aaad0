"""The account that a person of an OpenID provider gets by e-mail: an unproved e-mail does not keep its owner out."""

from pathlib import Path

import pytest

from tests.support import app
from tests.support.app import PASSWORD, RunningApp, check_problem, run_app
from tests.support.oidc_engine import change_user, oidc_settings, refuse_sign_in, sign_in
from tests.support.oidc_provider import Provider

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("authorised")]


async def test_existing_account_is_linked_only_if_provider_verified_email(tmp_path: Path, provider: Provider) -> None:
    async with run_app(oidc_settings(tmp_path, provider, registration_enabled=True)) as engine:
        await app.register_client(engine, "first@example.com")
        async with await app.register_client(engine, "nora@example.com") as nora:
            own = (await nora.get("/auth/me")).json()
        await change_user(engine, "nora@example.com", is_verified=True)
        for claim in (False, None, "yes", 1):
            provider.add_person("nora", "developers", verified=claim)
            await refuse_sign_in(engine, "nora", 409, "oidc_link_needed")
        assert (await sign_in(engine, provider, "nora", "developers"))["id"] == own["id"]
        assert (await sign_in(engine, provider, "nora", "developers", verified=False))["id"] == own["id"]
        async with engine.client() as client:
            await app.log_in(client, "nora@example.com")


async def test_unproved_registration_gives_way_to_owner_of_email(
    tmp_path: Path, provider: Provider, database: str | None
) -> None:
    """The person who registered the e-mail first, perhaps to keep its owner out, loses the account."""
    settings = oidc_settings(tmp_path, provider, registration_enabled=True, postgres_database_url=database)
    async with run_app(settings) as engine:
        await app.register_client(engine, "first@example.com")
        async with await app.register_client(engine, "nils@example.com") as squatter:
            squatted = (await squatter.get("/auth/me")).json()
            machine = (await squatter.post("/auth/tokens", json={"name": "bot"})).json()["token"]
            provider.add_person("nils", "developers", verified=False)
            assert "link" in await refuse_sign_in(engine, "nils", 409, "oidc_link_needed")
            nils = await sign_in(engine, provider, "nils", "developers")
            assert (nils["email"], nils["is_verified"], nils["id"]) == ("nils@example.com", True, squatted["id"])
            check_problem(await squatter.get("/auth/me"), 401)
            login = {"username": "nils@example.com", "password": PASSWORD}
            check_problem(await squatter.post("/auth/jwt/login", data=login), 400)
            check_problem(await squatter.get("/auth/me", headers={"Authorization": f"Bearer {machine}"}), 401)
        await change_user(engine, "nils@example.com", is_active=False, is_verified=False)
        await refuse_sign_in(engine, "nils", 403, "oidc_closed")


async def test_removed_account_with_unproved_email_stays_closed(tmp_path: Path, provider: Provider) -> None:
    async with run_app(oidc_settings(tmp_path, provider, registration_enabled=True)) as engine:
        await app.register_client(engine, "first@example.com")
        await app.register_client(engine, "nico@example.com")
        await change_user(engine, "nico@example.com", is_active=False)
        provider.add_person("nico", "developers")
        await refuse_sign_in(engine, "nico", 403, "oidc_closed")


async def test_unproved_email_of_another_person_is_released(oidc_engine: RunningApp, provider: Provider) -> None:
    olga = await sign_in(oidc_engine, provider, "olga", "everybody", verified=False)
    assert (olga["email"], olga["is_verified"]) == ("olga@example.com", False)
    otto = await sign_in(oidc_engine, provider, "otto", "everybody", email="olga@example.com")
    assert (otto["email"], otto["is_verified"], otto["id"] == olga["id"]) == ("olga@example.com", True, False)
    again = await sign_in(oidc_engine, provider, "olga", "everybody", verified=False)
    assert (again["id"], again["email"]) == (olga["id"], f"{olga['id']}@released.invalid")


@pytest.mark.parametrize("email", [None, "nobody", "a@b\x00.example", "x" * 400 + "@example.com", 7])
async def test_invalid_email_is_refused(oidc_engine: RunningApp, provider: Provider, email: object) -> None:
    provider.add_person("paul", "everybody", email=email)
    await refuse_sign_in(oidc_engine, "paul", 403, "oidc_no_email")
