"""E-mail by SMTP: the standard library's client in a thread, which an unwilling server can't hold for long."""

import asyncio
import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Final, Literal

from src.api.config.settings import Settings
from src.api.errors import MailUnavailable
from src.api.ports import Letter

__all__ = ["MailServer", "SmtpMail", "server_of"]

STEP_SECONDS = 10.0
"""For connecting, and for each answer of the server."""

LETTER_SECONDS = 30.0
"""For all of one letter."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where letters are handed over. `security` is needed: a server that can't is not used."""

    host: str
    port: int
    sender: str
    security: Literal["tls", "starttls", "none"]
    username: str | None = None
    password: str = field(default="", repr=False)


def server_of(settings: Settings, host: str) -> MailServer:
    """The mail server that the settings describe, on this host."""
    return MailServer(
        host,
        settings.smtp_port or (465 if settings.smtp_tls else 587),
        settings.smtp_from or "",
        "tls" if settings.smtp_tls else "starttls" if settings.smtp_starttls else "none",
        settings.smtp_username,
        settings.smtp_password.get_secret_value() if settings.smtp_password else "",
    )


class SmtpMail:
    """`Mail`. One connection for each letter."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def send(self, letter: Letter) -> None:
        delivery = _Delivery(self._server, letter)
        try:
            async with asyncio.timeout(LETTER_SECONDS):
                await asyncio.to_thread(delivery.run)
        except TimeoutError as error:
            raise MailUnavailable("The mail server did not take the letter in time. Check SMTP_HOST.") from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise MailUnavailable(_cause(error)) from error
        finally:
            delivery.hang_up()


class _Delivery:
    """One letter on its way, in a thread that `hang_up` ends from another."""

    def __init__(self, server: MailServer, letter: Letter) -> None:
        self._server = server
        self._letter = letter
        self._line: smtplib.SMTP | None = None

    def run(self) -> None:
        with self._connected() as line:
            self._line = line
            if self._server.security == "starttls":
                line.starttls(context=ssl.create_default_context())
            if self._server.username is not None:
                line.login(self._server.username, self._server.password)
            line.send_message(_written(self._letter, self._server.sender))

    def hang_up(self) -> None:
        if self._line is not None and self._line.sock is not None:
            with suppress(OSError):
                self._line.sock.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> smtplib.SMTP:
        host, port = self._server.host, self._server.port
        if self._server.security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=STEP_SECONDS, context=ssl.create_default_context())
        return smtplib.SMTP(host, port, timeout=STEP_SECONDS)


def _written(letter: Letter, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("> ") or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    return message


_CAUSES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (smtplib.SMTPAuthenticationError, "does not take SMTP_USERNAME and SMTP_PASSWORD"),
    (smtplib.SMTPNotSupportedError, "does not offer what SMTP_STARTTLS and SMTP_USERNAME want"),
    (smtplib.SMTPSenderRefused, "refuses the sender: check SMTP_FROM"),
    (smtplib.SMTPRecipientsRefused, "refuses the recipient"),
    (smtplib.SMTPServerDisconnected, "hung up or says nothing: check SMTP_HOST, SMTP_PORT and SMTP_TLS"),
    (smtplib.SMTPResponseException, "answered with an error"),
    (ssl.SSLCertVerificationError, "has a certificate that is not trusted here: check SMTP_HOST"),
    (ssl.SSLError, "does not speak TLS as expected: check SMTP_PORT, SMTP_TLS and SMTP_STARTTLS"),
)


def _cause(error: Exception) -> str:
    """What went wrong, without the server's own words: they may quote what was sent."""
    told = next((text for kind, text in _CAUSES if isinstance(error, kind)), "can't be reached: check SMTP_HOST")
    code = getattr(error, "smtp_code", None)
    return f"The mail server {told} ({code or type(error).__name__})."
