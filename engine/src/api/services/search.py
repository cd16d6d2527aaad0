"""Finding conversations by a part of their title or text, the same way on both databases."""

import unicodedata

from src.api.ports import Transaction
from src.api.schemas.query import Mentions
from src.api.schemas.records import Message, SearchText
from src.api.utils.text import clean

__all__ = ["keep_message", "keep_title", "mentions"]

MOST_CHARACTERS = 20_000
"""Of each message: what is found by."""


def folded(text: str) -> str:
    """As it is compared: without regard to case and to how a letter is put together."""
    return unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).casefold()


async def keep_title(tx: Transaction, conversation_id: str, title: str | None) -> None:
    """Makes the conversation be found by this title, and by no former one."""
    await tx.remove(SearchText, {"id": conversation_id})
    if title:
        await tx.insert(SearchText(conversation_id, conversation_id, None, folded(title)))


async def keep_message(tx: Transaction, message: Message) -> None:
    """Makes the message's conversation be found by what it says."""
    if message.content and not message.hidden:
        await tx.insert(SearchText(message.id, message.conversation_id, message.run_id, folded(message.content)))


def mentions(query: str) -> Mentions:
    """Of a conversation's id: its title or text holds the query."""
    return Mentions(folded(clean(query)))
