"""Send e-mail by SMTP with the standard library's client in a thread, with a time limit per message."""

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
from src.api.ports import Email

__all__ = ["MailServer", "SmtpMail", "read_mail_server"]

STEP_SECONDS = 10.0
"""Seconds for connecting, and for each response of the server."""

SEND_SECONDS = 30.0
"""Seconds for one message in total."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """An SMTP server. `security` is required: a server that does not offer it is not used."""

    host: str
    port: int
    sender: str
    security: Literal["tls", "starttls", "none"]
    username: str | None = None
    password: str = field(default="", repr=False)


def read_mail_server(settings: Settings, host: str) -> MailServer:
    """Read the mail server's settings, for this host."""
    return MailServer(
        host,
        settings.smtp_port or (465 if settings.smtp_tls else 587),
        settings.smtp_from or "",
        "tls" if settings.smtp_tls else "starttls" if settings.smtp_starttls else "none",
        settings.smtp_username,
        settings.smtp_password.get_secret_value() if settings.smtp_password else "",
    )


class SmtpMail:
    """`Mail` over SMTP, with one connection per message."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def send(self, email: Email) -> None:
        delivery = _Delivery(self._server, email)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.to_thread(delivery.run)
        except TimeoutError as error:
            raise MailUnavailable("The mail server did not accept the e-mail in time. Check SMTP_HOST.") from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise MailUnavailable(_describe_error(error)) from error
        finally:
            delivery.close()


class _Delivery:
    """Send one message in a thread; `close` aborts it from another thread."""

    def __init__(self, server: MailServer, email: Email) -> None:
        self._server = server
        self._email = email
        self._connection: smtplib.SMTP | None = None

    def run(self) -> None:
        with self._connect() as connection:
            self._connection = connection
            if self._server.security == "starttls":
                connection.starttls(context=ssl.create_default_context())
            if self._server.username is not None:
                connection.login(self._server.username, self._server.password)
            connection.send_message(_build_message(self._email, self._server.sender))

    def close(self) -> None:
        if self._connection is not None and self._connection.sock is not None:
            with suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> smtplib.SMTP:
        host, port = self._server.host, self._server.port
        if self._server.security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=STEP_SECONDS, context=ssl.create_default_context())
        return smtplib.SMTP(host, port, timeout=STEP_SECONDS)


def _build_message(email: Email, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = email.to
    message["Subject"] = email.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("> ") or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(email.text)
    return message


_CAUSES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (smtplib.SMTPAuthenticationError, "does not accept SMTP_USERNAME and SMTP_PASSWORD"),
    (smtplib.SMTPNotSupportedError, "does not support what SMTP_STARTTLS and SMTP_USERNAME require"),
    (smtplib.SMTPSenderRefused, "refuses the sender: check SMTP_FROM"),
    (smtplib.SMTPRecipientsRefused, "refuses the recipient"),
    (
        smtplib.SMTPServerDisconnected,
        "closed the connection or does not answer: check SMTP_HOST, SMTP_PORT and SMTP_TLS",
    ),
    (smtplib.SMTPResponseException, "answered with an error"),
    (ssl.SSLCertVerificationError, "has a certificate that is not trusted here: check SMTP_HOST"),
    (ssl.SSLError, "does not speak TLS as expected: check SMTP_PORT, SMTP_TLS and SMTP_STARTTLS"),
)


def _describe_error(error: Exception) -> str:
    """Describe the failure without quoting the server, whose answer may contain parts of the message."""
    reason = next((text for kind, text in _CAUSES if isinstance(error, kind)), "can't be reached: check SMTP_HOST")
    code = getattr(error, "smtp_code", None)
    return f"The mail server {reason} ({code or type(error).__name__})."
