"""A mail server that speaks as much SMTP as a sending client needs, and keeps the received e-mails."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

__all__ = ["Inbox", "mail_server"]


@dataclass
class Inbox:
    """The received commands and e-mails. `refuse` is a verb to reject; `silent` stops all answers."""

    port: int = 0
    login: tuple[str, str] | None = None
    starttls: ssl.SSLContext | None = None
    refuse: str = ""
    silent: bool = False
    commands: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    messages: list[EmailMessage] = field(default_factory=list)


@asynccontextmanager
async def mail_server(inbox: Inbox, tls: ssl.SSLContext | None = None) -> AsyncIterator[Inbox]:
    """Listen on a loopback port. With `tls`, the connection is encrypted from the first byte."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _SmtpSession(inbox, reader, writer, tls is not None).go()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client disconnected
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    inbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield inbox


class _SmtpSession:
    """One connection."""

    def __init__(
        self, inbox: Inbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, encrypted: bool
    ) -> None:
        self._inbox, self._reader, self._writer, self._encrypted = inbox, reader, writer, encrypted

    async def go(self) -> None:
        if self._inbox.silent:
            await self._reader.read()
            return
        await self._send("220 mail.test ESMTP")
        while line := (await self._reader.readline()).decode().strip():
            verb, _, rest = line.partition(" ")
            self._inbox.commands.append(verb.upper())
            if verb.upper() == self._inbox.refuse:
                await self._send("550 the-server-quotes " + line)
            elif not await self._answer(verb.upper(), rest):
                return

    async def _answer(self, verb: str, rest: str) -> bool:
        match verb:
            case "EHLO":
                offers = ["STARTTLS"] if self._inbox.starttls and not self._encrypted else []
                offers += ["AUTH PLAIN"] if self._inbox.login else []
                await self._send("250-mail.test", *[f"250-{offer}" for offer in offers], "250 SIZE 1000000")
            case "STARTTLS":
                await self._send("220 go ahead")
                assert self._inbox.starttls
                await self._writer.start_tls(self._inbox.starttls)
                self._encrypted = True
            case "AUTH":
                right = base64.b64decode(rest.rsplit(maxsplit=1)[-1]).decode().split("\0")[1:]
                await self._send("235 welcome" if tuple(right) == self._inbox.login else f"535 no, {right}")
            case "DATA":
                await self._receive_message()
            case "QUIT":
                await self._send("221 bye")
                return False
            case _:
                await self._send("250 ok")
        return True

    async def _receive_message(self) -> None:
        await self._send("354 go on")
        raw = await self._reader.readuntil(b"\r\n.\r\n")
        self._inbox.encrypted.append(self._encrypted)
        self._inbox.messages.append(message_from_bytes(raw[:-5], policy=policy.default))
        await self._send("250 taken")

    async def _send(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self._writer.drain()
