"""Send e-mail links that verify an address, in the background."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from src.api.errors import Unavailable
from src.api.ports import Email, Mail
from src.api.services.background import BackgroundTasks

__all__ = ["MAX_PENDING", "Link", "LinkKind", "MailLinks", "link_url"]

logger = logging.getLogger(__name__)

MAX_PENDING = 100
"""Pending links. Further requests are dropped; users can ask again."""

LinkKind = Literal["reset", "verify", "change"]
_DEFAULT_URL = "http://localhost:8080"
_PAGES: Final = {"reset": "reset-password", "verify": "verify-email", "change": "verify-email"}

_TEXTS: Final = {
    "reset": ("A new password", "A new password was requested for the account with this e-mail address."),
    "verify": ("Is this your e-mail?", "Please confirm that this e-mail address is yours."),
    "change": (
        "Your new e-mail",
        "The account {account} wants to use this e-mail address from now on. Open the link only if it is your account.",
    ),
}
_NOT_SENT = (
    "A link was requested, and it can't be sent: SMTP_HOST is not set. "
    "For a forgotten password run skyflo admin reset-link on the engine's host."
)
_FOOTER = "The link works once and for an hour. If you did not ask for it, nothing needs to be done."


@dataclass(frozen=True, slots=True)
class Link:
    """A link to send; `token` is its secret, `account` the e-mail of the account that it changes, if that differs."""

    to: str
    kind: LinkKind
    token: str = field(repr=False)
    account: str = ""


class MailLinks:
    """Send links one at a time as background tasks.

    `public_url` is the address of the engine's web pages. Without `mail`, links are written to the log if `log_links`
    is set, for local mode. Otherwise they are not sent: anyone who reads the log could use them.
    """

    def __init__(
        self, tasks: BackgroundTasks, public_url: str | None, mail: Mail | None = None, *, log_links: bool = False
    ) -> None:
        self._tasks = tasks
        self._mail = mail
        self._log_links = log_links
        self._public_url = public_url
        self._one_at_a_time = asyncio.Semaphore(1)
        self._pending = 0

    @property
    def can_send(self) -> bool:
        """Whether users receive their links."""
        return self._mail is not None or self._log_links

    def url(self, kind: LinkKind, token: str) -> str:
        """Return the URL of a link."""
        return link_url(self._public_url, kind, token)

    def send_later(self, link: Callable[[], Awaitable[Link | None]]) -> None:
        """Schedule a link. Does not block. `link` runs later; None means that there is nothing to send."""
        if self._pending >= MAX_PENDING:
            logger.error("Too many links are pending: one was dropped", extra={"action": "auth.link_dropped"})
            return
        self._pending += 1
        self._tasks.spawn(self._deliver(link), name="mailing").add_done_callback(self._done)

    def _done(self, _: "asyncio.Task[None]") -> None:
        self._pending -= 1

    async def _deliver(self, link: Callable[[], Awaitable[Link | None]]) -> None:
        async with self._one_at_a_time:
            try:
                link_found = await link()
                if link_found is not None:
                    await self._send(link_found)
            except Unavailable as error:
                logger.warning("A link was not sent. %s", error.detail, extra={"action": "auth.link_failed"})

    async def _send(self, link: Link) -> None:
        if self._mail is not None:
            await self._mail.send(self._email(link))
            logger.info("A link was sent", extra={"action": "auth.link_sent"})
            return
        if not self._log_links:
            logger.warning(_NOT_SENT, extra={"action": "auth.link_not_sent"})
            return
        text, url = "SMTP_HOST is not set, so this link is logged. For %s: %s", self.url(link.kind, link.token)
        logger.warning(text, link.to, url, extra={"action": f"auth.{link.kind}_link"})

    def _email(self, link: Link) -> Email:
        subject, text = _TEXTS[link.kind]
        text = text.format(account=link.account)
        return Email(link.to, subject, f"{text}\n\n{self.url(link.kind, link.token)}\n\n{_FOOTER}\n")


def link_url(public_url: str | None, kind: LinkKind, token: str) -> str:
    """Return the URL of a link. The token is in the fragment, which browsers do not send to servers."""
    return f"{(public_url or _DEFAULT_URL).rstrip('/')}/{_PAGES[kind]}#token={token}"
