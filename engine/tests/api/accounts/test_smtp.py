"""Sending links by SMTP: as the settings say, and without secrets in the log."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from src.api.adapters import mail
from src.api.config.settings import Settings
from tests.support.app import check_problem, log_in, register_user, run_app
from tests.support.certificates import Certificate, create_certificate
from tests.support.smtp import Inbox, mail_server
from tests.support.waiting import eventually

ANA = "ana@example.com"
NEW = "a new and long one"
PLAIN = {"smtp_host": "127.0.0.1", "smtp_from": "Skyflo <engine@engine.example>", "public_url": "https://e.example/ui"}

OpenWithMailServer = Callable[..., Any]


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def open_with_mail_server(settings: Callable[..., Settings]) -> OpenWithMailServer:
    """Open an engine with this mail server, and a client that has requested a password reset for Ana."""

    @asynccontextmanager
    async def open_engine(inbox: Inbox, **values: object) -> AsyncIterator[httpx.AsyncClient]:
        wanted = settings(**{**PLAIN, "smtp_port": inbox.port, **values})
        async with run_app(wanted) as engine, engine.client() as client:
            await register_user(client, ANA)
            await request_reset(client)
            yield client

    return open_engine


async def request_reset(client: httpx.AsyncClient) -> None:
    answer = await client.post("/auth/reset-password/forgot-password", json={"email": ANA})
    assert (answer.status_code, answer.content) == (202, b"null")


def logged_failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if getattr(record, "action", "") == "auth.link_failed"]
    return [record.getMessage() for record in records]


async def test_link_arrives_by_mail_and_works(
    open_with_mail_server: OpenWithMailServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with mail_server(Inbox()) as inbox, open_with_mail_server(inbox, smtp_starttls=False) as client:
        await eventually(lambda: bool(inbox.messages))
        (letter,) = inbox.messages
        assert (letter["to"], letter["from"]) == (ANA, "Skyflo <engine@engine.example>")
        assert letter["auto-submitted"] == "auto-generated"
        found = re.search(r"https://e\.example/ui/reset-password#token=(\S+)", letter.get_content())
        assert found
        assert found[1] not in caplog.text
        body = {"token": found[1], "password": NEW}
        assert (await client.post("/auth/reset-password/reset-password", json=body)).status_code == 200
        await log_in(client, ANA, NEW)
        await client.post("/auth/verify/request-verify-token", json={"email": ANA})
        await eventually(lambda: len(inbox.messages) == 2)
        assert "https://e.example/ui/verify-email#token=" in inbox.messages[1].get_content()


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_login_uses_encrypted_connection(
    open_with_mail_server: OpenWithMailServer, trusted: Certificate, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.file))
    tls = trusted.context() if security == "tls" else None
    inbox = Inbox(login=("engine", "hunter2!"), starttls=None if tls else trusted.context())
    login = {"smtp_username": "engine", "smtp_password": "hunter2!", "smtp_tls": security == "tls"}
    async with mail_server(inbox, tls), open_with_mail_server(inbox, **login):
        await eventually(lambda: bool(inbox.messages))
    assert inbox.encrypted == [True]
    assert "AUTH" in inbox.commands
    assert ("STARTTLS" in inbox.commands) is (security == "starttls")


@pytest.mark.promise("secrets")
async def test_untrusted_certificate_gets_no_credentials(
    open_with_mail_server: OpenWithMailServer, trusted: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox(login=("engine", "hunter2!"), starttls=trusted.context())
    async with mail_server(inbox), open_with_mail_server(inbox, smtp_username="engine", smtp_password="hunter2!"):
        await eventually(lambda: bool(logged_failures(caplog)))
    assert "certificate" in logged_failures(caplog)[0]
    assert inbox.messages == []
    assert "AUTH" not in inbox.commands


@pytest.mark.promise("secrets")
@pytest.mark.parametrize(
    ("inbox", "values", "says"),
    [
        (Inbox(), {"smtp_starttls": True}, "SMTP_STARTTLS"),
        (Inbox(), {"smtp_tls": True}, "SMTP_TLS"),
        (Inbox(login=("engine", "other")), {"smtp_username": "engine", "smtp_password": "hunter2!"}, "SMTP_PASSWORD"),
        (Inbox(), {"smtp_username": "engine", "smtp_password": "hunter2!"}, "SMTP_USERNAME"),
        (Inbox(refuse="MAIL"), {}, "SMTP_FROM"),
        (Inbox(refuse="RCPT"), {}, "recipient"),
        (Inbox(refuse="DATA"), {}, "550"),
        (Inbox(), {"smtp_port": 9}, "SMTP_HOST"),
    ],
)
async def test_failure_is_logged_with_cause_and_without_secrets(
    open_with_mail_server: OpenWithMailServer,
    caplog: pytest.LogCaptureFixture,
    inbox: Inbox,
    values: dict[str, object],
    says: str,
) -> None:
    async with mail_server(inbox), open_with_mail_server(inbox, **{"smtp_starttls": False, **values}) as client:
        await eventually(lambda: bool(logged_failures(caplog)))
        assert says in logged_failures(caplog)[0]
        body = {"token": "nonsense", "password": NEW}
        check_problem(await client.post("/auth/reset-password/reset-password", json=body), 400)
    assert inbox.messages == []
    assert not any(word in caplog.text for word in ("hunter2!", "token=", "the-server-quotes"))


@pytest.mark.promise("bounded")
async def test_silent_server_blocks_nothing(
    open_with_mail_server: OpenWithMailServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the request nor the shutdown waits."""
    monkeypatch.setattr(mail, "STEP_SECONDS", 0.3)
    async with mail_server(Inbox(silent=True)) as inbox, open_with_mail_server(inbox, smtp_starttls=False) as client:
        await eventually(lambda: bool(logged_failures(caplog)))
        await request_reset(client)
    assert "SMTP_HOST" in logged_failures(caplog)[0]
