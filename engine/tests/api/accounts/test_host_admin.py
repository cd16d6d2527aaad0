"""`skyflo admin` changes accounts on the engine's host, without a session, and leaves audit entries."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from skyflo_common.clock import SystemClock
from src.api import admin
from src.api.config.settings import Settings
from src.api.schemas.query import Where
from src.api.schemas.records import Approval, AuditEntry, Conversation
from src.api.schemas.team import MemberChange
from src.api.services.conversations.retention import PruneReport
from tests.support.app import PASSWORD, SECRET, RunningApp, log_in, register_user, run_app
from tests.support.rows import row
from tests.support.store_writes import change_row, insert_record

pytestmark = pytest.mark.promise("authorised")

ANA, BEN, CLEO, NEW = "ana@example.com", "ben@example.com", "cleo@example.com", "a new and long one"


@pytest.fixture
async def engine(
    settings: Callable[..., Settings], database: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[RunningApp]:
    """An engine with the accounts of Ana, an admin, and Ben, and the environment in which its host's commands run."""
    monkeypatch.chdir(tmp_path)
    values = {"SKYFLO_ENV_FILE": "", "DATA_DIR": str(tmp_path), "JWT_SECRET": SECRET, "POSTGRES_DATABASE_URL": database}
    for name, value in values.items():
        monkeypatch.setenv(name, value or "")
    chosen = settings(postgres_database_url=database, registration_enabled=True)
    async with run_app(chosen) as app, app.client() as http:
        await register_user(http, ANA)
        await register_user(http, BEN)
        yield app


async def sign_in(http: httpx.AsyncClient, email: str, password: str = PASSWORD) -> int:
    return (await http.post("/auth/jwt/login", data={"username": email, "password": password})).status_code


async def audited(http: httpx.AsyncClient, action: str) -> list[str]:
    """Return the actors of the entries with this action."""
    token = await log_in(http, ANA)
    answer = await http.get(f"/audit?action={action}", headers={"Authorization": f"Bearer {token}"})
    return [entry["actor"] for entry in answer.json()["data"]]


async def test_reset_link_sets_a_password_once(engine: RunningApp) -> None:
    link = await admin.make_reset_link("Ben@Example.com ")
    body = {"token": link.partition("#token=")[2], "password": NEW}
    async with engine.client() as http:
        assert await sign_in(http, BEN) == 200
        assert (await http.post("/auth/reset-password/reset-password", json=body)).status_code == 200
        assert [await sign_in(http, BEN, password) for password in (PASSWORD, NEW)] == [400, 200]
        assert (await http.post("/auth/reset-password/reset-password", json=body)).status_code == 400
        assert await audited(http, "user.reset_link_made") == ["host"]


async def test_email_is_verified_without_a_mail_server(engine: RunningApp) -> None:
    await admin.verify_email(BEN)
    async with engine.client() as http:
        token = await log_in(http, BEN)
        me = (await http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})).json()
        assert (me["email"], me["is_verified"]) == (BEN, True)
        assert "host" in await audited(http, "user.changed")


async def test_changed_email_signs_in_and_the_former_one_does_not(engine: RunningApp) -> None:
    await admin.change_email(BEN, "Benjamin@example.com")
    async with engine.client() as http:
        assert [await sign_in(http, email) for email in (BEN, "benjamin@example.com")] == [400, 200]
        assert await audited(http, "user.email_changed") == ["host"]


async def test_users_are_added_changed_and_disabled(engine: RunningApp) -> None:
    link = await admin.add_user("Cleo@example.com", "Cleo", "member")
    body = {"token": link.partition("#token=")[2], "password": NEW}
    async with engine.client() as http:
        assert (await http.post("/auth/reset-password/reset-password", json=body)).status_code == 200
        assert await sign_in(http, CLEO, NEW) == 200
        changed = await admin.change_user(CLEO, MemberChange(role="approver"))
        assert (changed.role, changed.status) == ("approver", "active")
        token = await log_in(http, BEN)
        await admin.change_user(BEN, MemberChange(status="inactive"))
        assert (await http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})).status_code == 401
        await admin.change_user(BEN, MemberChange(status="active"))
        assert await sign_in(http, BEN) == 200
        listed = [(member.email, member.role, member.status) for member in await admin.list_users()]
        assert sorted(listed) == [
            (ANA, "admin", "active"),
            (BEN, "viewer", "active"),
            (CLEO, "approver", "active"),
        ]
        assert await audited(http, "member.added") == ["host"]
        assert await audited(http, "member.removed") == ["host"]


async def test_last_admin_can_not_be_demoted_by_the_host(engine: RunningApp) -> None:
    with pytest.raises(admin.AdminError, match="without an admin"):
        await admin.change_user(ANA, MemberChange(role="member"))
    with pytest.raises(admin.AdminError, match="There is an account with this e-mail already"):
        await admin.add_user(BEN, None, "viewer")
    with pytest.raises(admin.AdminError, match="The email can't be used"):
        await admin.add_user("cleo", None, "viewer")


async def test_prune_deletes_what_is_old_and_keeps_what_is_open(
    engine: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = engine.services.chat.store
    for name, days in (("old", 40), ("open", 40), ("fresh", 5)):
        at = SystemClock().now() - days * 86_400_000
        await insert_record(store, row(Conversation, id=name, owner_id="local", updated_at=at))
    await insert_record(store, row(Approval, id="a", conversation_id="open", status="pending", approve_by=2**50))
    with pytest.raises(admin.AdminError, match="RETENTION_DAYS is not set"):
        await admin.prune(None, dry_run=True)
    monkeypatch.setenv("RETENTION_DAYS", "30")
    assert await admin.prune(None, dry_run=True) == PruneReport(deleted=1, kept=1)
    assert await admin.prune(30, dry_run=False) == PruneReport(deleted=1, kept=1)
    assert await admin.prune(None, dry_run=True) == PruneReport(deleted=0, kept=1)
    rows = await store.read(lambda reader: reader.find(Conversation, {}, "id"))
    assert [each.id for each in rows if each.deleted_at is not None] == ["old"]
    async with engine.client() as http:
        assert await audited(http, "conversation.deleted") == ["host"]


async def test_audit_log_is_verified_in_the_database(engine: RunningApp) -> None:
    intact = await admin.verify_audit(None)
    assert (intact.status, intact.entries + intact.unsealed > 0) == ("intact", True)
    store = engine.services.chat.store
    changed = await store.read(lambda reader: reader.find(AuditEntry, {}, "created_at", 1))
    where: Where = {"stream": changed[0].stream, "n": changed[0].n}
    await change_row(store, AuditEntry, where, actor="nobody")
    assert (await admin.verify_audit(None)).status == "tampered"
    with pytest.raises(admin.AdminError):
        await admin.verify_audit("not a seal")


async def test_admin_commands_refuse_what_they_can_not_do(engine: RunningApp, tmp_path: Path) -> None:
    with pytest.raises(admin.AdminError, match=r"No account uses the e-mail nobody@example\.com"):
        await admin.make_reset_link("nobody@example.com")
    with pytest.raises(admin.AdminError, match="Another account uses this e-mail"):
        await admin.change_email(BEN, ANA)
    with pytest.raises(admin.AdminError, match="'ben' is not an e-mail address"):
        await admin.change_email(BEN, "ben")


async def test_admin_command_without_a_database_says_where_to_run_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"SKYFLO_ENV_FILE": "", "DATA_DIR": str(tmp_path), "JWT_SECRET": SECRET}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(admin.AdminError, match="Run this where the engine runs"):
        await admin.verify_email(ANA)
