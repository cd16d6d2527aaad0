"""Links that prove who reads an e-mail address. They are made and sent behind the answer to whoever asked for them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from src.api.errors import Unavailable
from src.api.ports import Letter, Mail
from src.api.services.tasks import Tasks

__all__ = ["MOST_WAITING", "Link", "Mailing"]

logger = logging.getLogger(__name__)

MOST_WAITING = 100
"""Requests for links at one time; what comes above that is dropped, and may be asked for again."""

_NOWHERE = "http://localhost:8080"
_PAGES: Final = {"reset": "reset-password", "verify": "verify-email"}

_TEXTS: Final = {
    "reset": ("A new password", "Somebody, most likely you, has forgotten the password of this e-mail's account."),
    "verify": ("Is this your e-mail?", "Somebody, most likely you, wants to prove that this e-mail is theirs."),
}
_ENDING = "The link works once and for an hour. If you did not ask for it, nothing needs to be done."


@dataclass(frozen=True, slots=True)
class Link:
    """What somebody gets by e-mail; `token` is the secret in it."""

    to: str
    kind: Literal["reset", "verify"]
    token: str


class Mailing:
    """One link after the other, as `tasks`. `public_url` is where people find the engine's pages.

    Without `mail` the log gets the links.
    """

    def __init__(self, tasks: Tasks, public_url: str | None, mail: Mail | None = None) -> None:
        self._tasks = tasks
        self._mail = mail
        self._base = (public_url or _NOWHERE).rstrip("/")
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    def later(self, link: Callable[[], Awaitable[Link | None]]) -> None:
        """Returns at once. `link` is looked up when its turn comes; None: there is nobody to send it to."""
        if self._waiting >= MOST_WAITING:
            logger.error("Too many links are asked for: one was dropped", extra={"action": "auth.link_dropped"})
            return
        self._waiting += 1
        self._tasks.spawn(self._deliver(link), name="mailing").add_done_callback(self._done)

    def _done(self, _: "asyncio.Task[None]") -> None:
        self._waiting -= 1

    async def _deliver(self, link: Callable[[], Awaitable[Link | None]]) -> None:
        async with self._turn:
            try:
                found = await link()
                if found is not None:
                    await self._send(found)
            except Unavailable as error:
                logger.warning("A link was not sent. %s", error.detail, extra={"action": "auth.link_failed"})

    async def _send(self, link: Link) -> None:
        if self._mail is not None:
            await self._mail.send(self._letter(link))
            logger.info("A link was sent", extra={"action": "auth.link_sent"})
            return
        text = "Nobody mails links here (SMTP_HOST is not set). For %s: %s"
        logger.warning(text, link.to, self._address(link), extra={"action": f"auth.{link.kind}_link"})

    def _letter(self, link: Link) -> Letter:
        subject, text = _TEXTS[link.kind]
        return Letter(link.to, subject, f"{text}\n\n{self._address(link)}\n\n{_ENDING}\n")

    def _address(self, link: Link) -> str:
        """The token stands behind the `#`, which browsers send to nobody."""
        return f"{self._base}/{_PAGES[link.kind]}#token={link.token}"
