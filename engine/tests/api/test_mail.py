"""Links go out by SMTP: as each setting says, to whoever they are for, and never with a secret in the log."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from src.api.adapters import mail
from src.api.config.settings import Settings
from tests.support.app import problem, registered, running, signed_in
from tests.support.smtp import Certificate, Inbox, certificate, mail_server
from tests.support.waiting import eventually

ANA = "ana@example.com"
NEW = "a new and long one"
PLAIN = {"smtp_host": "127.0.0.1", "smtp_from": "Skyflo <engine@engine.example>", "public_url": "https://e.example/ui"}

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def opened(settings: Callable[..., Settings]) -> Open:
    """An engine with this mail server, and a client of Ana's who has asked for a new password."""

    @asynccontextmanager
    async def open_engine(inbox: Inbox, **values: object) -> AsyncIterator[httpx.AsyncClient]:
        wanted = settings(**{**PLAIN, "smtp_port": inbox.port, **values})
        async with running(wanted) as engine, engine.client() as client:
            await registered(client, ANA)
            await forgot(client)
            yield client

    return open_engine


async def forgot(client: httpx.AsyncClient) -> None:
    answer = await client.post("/auth/reset-password/forgot-password", json={"email": ANA})
    assert (answer.status_code, answer.content) == (202, b"null")


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    told = [record for record in caplog.records if getattr(record, "action", "") == "auth.link_failed"]
    return [record.getMessage() for record in told]


async def test_the_link_comes_by_mail_and_works(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    async with mail_server(Inbox()) as inbox, opened(inbox, smtp_starttls=False) as client:
        await eventually(lambda: bool(inbox.letters))
        (letter,) = inbox.letters
        assert (letter["to"], letter["from"]) == (ANA, "Skyflo <engine@engine.example>")
        assert letter["auto-submitted"] == "auto-generated"
        found = re.search(r"https://e\.example/ui/reset-password#token=(\S+)", letter.get_content())
        assert found
        assert found[1] not in caplog.text
        body = {"token": found[1], "password": NEW}
        assert (await client.post("/auth/reset-password/reset-password", json=body)).status_code == 200
        await signed_in(client, ANA, NEW)
        await client.post("/auth/verify/request-verify-token", json={"email": ANA})
        await eventually(lambda: len(inbox.letters) == 2)
        assert "https://e.example/ui/verify-email#token=" in inbox.letters[1].get_content()


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_it_signs_in_over_an_encrypted_line(
    opened: Open, trusted: Certificate, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.file))
    tls = trusted.context() if security == "tls" else None
    inbox = Inbox(login=("engine", "hunter2!"), starttls=None if tls else trusted.context())
    login = {"smtp_username": "engine", "smtp_password": "hunter2!", "smtp_tls": security == "tls"}
    async with mail_server(inbox, tls), opened(inbox, **login):
        await eventually(lambda: bool(inbox.letters))
    assert inbox.encrypted == [True]
    assert "AUTH" in inbox.said
    assert ("STARTTLS" in inbox.said) is (security == "starttls")


@pytest.mark.promise("secrets")
async def test_a_server_that_nobody_vouches_for_gets_nothing(
    opened: Open, trusted: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox(login=("engine", "hunter2!"), starttls=trusted.context())
    async with mail_server(inbox), opened(inbox, smtp_username="engine", smtp_password="hunter2!"):
        await eventually(lambda: bool(failures(caplog)))
    assert "certificate" in failures(caplog)[0]
    assert inbox.letters == []
    assert "AUTH" not in inbox.said


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
async def test_what_goes_wrong_is_logged_with_its_cause_and_no_secret(
    opened: Open, caplog: pytest.LogCaptureFixture, inbox: Inbox, values: dict[str, object], says: str
) -> None:
    async with mail_server(inbox), opened(inbox, **{"smtp_starttls": False, **values}) as client:
        await eventually(lambda: bool(failures(caplog)))
        assert says in failures(caplog)[0]
        body = {"token": "nonsense", "password": NEW}
        problem(await client.post("/auth/reset-password/reset-password", json=body), 400)
    assert inbox.letters == []
    assert not any(word in caplog.text for word in ("hunter2!", "token=", "the-server-quotes"))


@pytest.mark.promise("bounded")
async def test_a_server_that_says_nothing_holds_nobody_up(
    opened: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither who asks, nor the engine's end."""
    monkeypatch.setattr(mail, "STEP_SECONDS", 0.3)
    async with mail_server(Inbox(mute=True)) as inbox, opened(inbox, smtp_starttls=False) as client:
        await eventually(lambda: bool(failures(caplog)))
        await forgot(client)
    assert "SMTP_HOST" in failures(caplog)[0]
