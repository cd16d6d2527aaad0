"""Outgoing e-mail."""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Email", "Mail"]


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail to one person, in plain text."""

    to: str
    subject: str
    text: str


class Mail(Protocol):
    async def send(self, email: Email) -> None:
        """Send one e-mail. Raises `MailUnavailable`, whose text quotes no part of the e-mail."""
