"""Read the links that the engine sends by e-mail."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.smtp import Inbox, mail_server
from tests.support.waiting import eventually

__all__ = ["Mailbox", "open_mailbox"]

PAGES = "https://engine.example"
_LINK = re.compile(r"(\S+)#token=(\S+)")


@dataclass(frozen=True)
class Mailbox:
    """A mail server and the settings of an engine that uses it. The engine's pages are at `PAGES`."""

    inbox: Inbox

    @property
    def settings(self) -> Mapping[str, object]:
        server = {"smtp_host": "127.0.0.1", "smtp_port": self.inbox.port, "smtp_starttls": False}
        return {**server, "smtp_from": "engine@engine.example", "public_url": f"{PAGES}/"}

    def links(self, page: str) -> list[tuple[str, str]]:
        """Return the recipient and token of each link to this page."""
        found = [(message["to"], _LINK.search(message.get_content())) for message in self.inbox.messages]
        return [(to, match[2]) for to, match in found if match and match[1] == f"{PAGES}/{page}"]

    async def next_link(self, page: str) -> str:
        """Wait for the next link to this page and return its token. Earlier e-mails are dropped."""
        await eventually(lambda: bool(self.links(page)), what=f"an e-mail with a link to {page}")
        token = self.links(page)[0][1]
        self.inbox.messages.clear()
        return token


@asynccontextmanager
async def open_mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server(Inbox()) as inbox:
        yield Mailbox(inbox)
