"""A mail server: speaks SMTP as far as a client that hands a letter over needs it, and keeps what it got."""

import asyncio
import base64
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.support.waiting import PATIENCE

__all__ = ["Certificate", "Inbox", "certificate", "mail_server"]


@dataclass(frozen=True)
class Certificate:
    """For 127.0.0.1; who trusts `file` trusts it."""

    file: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


def certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "mail.pem", folder / "mail.key")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    paths = ["-keyout", str(made.key), "-out", str(made.file)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = ["openssl", "req", "-x509", *curve, "-nodes", "-days", "1", *names, *paths]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    return made


@dataclass
class Inbox:
    """What the server saw. `refuse` is the verb that it refuses, `mute` makes it answer nothing at all."""

    port: int = 0
    login: tuple[str, str] | None = None
    starttls: ssl.SSLContext | None = None
    refuse: str = ""
    mute: bool = False
    said: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    letters: list[EmailMessage] = field(default_factory=list)


@asynccontextmanager
async def mail_server(inbox: Inbox, tls: ssl.SSLContext | None = None) -> AsyncIterator[Inbox]:
    """Listens on a port of loopback; with `tls`, encrypted from the first byte on."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Talk(inbox, reader, writer, tls is not None).go()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client left
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    inbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield inbox


class _Talk:
    """One connection."""

    def __init__(
        self, inbox: Inbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, encrypted: bool
    ) -> None:
        self._inbox, self._reader, self._writer, self._encrypted = inbox, reader, writer, encrypted

    async def go(self) -> None:
        if self._inbox.mute:
            await self._reader.read()
            return
        await self._tell("220 mail.test ESMTP")
        while line := (await self._reader.readline()).decode().strip():
            verb, _, rest = line.partition(" ")
            self._inbox.said.append(verb.upper())
            if verb.upper() == self._inbox.refuse:
                await self._tell("550 the-server-quotes " + line)
            elif not await self._answer(verb.upper(), rest):
                return

    async def _answer(self, verb: str, rest: str) -> bool:
        match verb:
            case "EHLO":
                offers = ["STARTTLS"] if self._inbox.starttls and not self._encrypted else []
                offers += ["AUTH PLAIN"] if self._inbox.login else []
                await self._tell("250-mail.test", *[f"250-{offer}" for offer in offers], "250 SIZE 1000000")
            case "STARTTLS":
                await self._tell("220 go ahead")
                assert self._inbox.starttls
                await self._writer.start_tls(self._inbox.starttls)
                self._encrypted = True
            case "AUTH":
                right = base64.b64decode(rest.rsplit(maxsplit=1)[-1]).decode().split("\0")[1:]
                await self._tell("235 welcome" if tuple(right) == self._inbox.login else f"535 no, {right}")
            case "DATA":
                await self._take()
            case "QUIT":
                await self._tell("221 bye")
                return False
            case _:
                await self._tell("250 ok")
        return True

    async def _take(self) -> None:
        await self._tell("354 go on")
        raw = await self._reader.readuntil(b"\r\n.\r\n")
        self._inbox.encrypted.append(self._encrypted)
        self._inbox.letters.append(message_from_bytes(raw[:-5], policy=policy.default))
        await self._tell("250 taken")

    async def _tell(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self._writer.drain()
