"""Create and lock conversation rows."""

from src.api.ports import Transaction
from src.api.schemas.query import Increment, Now
from src.api.schemas.records import Conversation

__all__ = ["lock_conversation", "new_conversation"]


async def lock_conversation(tx: Transaction, conversation_id: str) -> Conversation | None:
    return await tx.change(Conversation, {"id": conversation_id}, touches=Increment(1), updated_at=Now())


def new_conversation(
    conversation_id: str, owner: str, now: int, title: str | None, title_by: str | None
) -> Conversation:
    """Return the row of an empty conversation."""
    return Conversation(
        id=conversation_id,
        owner_id=owner,
        title=title,
        is_active=True,
        metadata="{}",
        touches=0,
        created_at=now,
        updated_at=now,
        deleted_at=None,
        erase_due=None,
        title_by=title_by,
    )
