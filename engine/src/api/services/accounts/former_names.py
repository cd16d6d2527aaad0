"""Keep the e-mails and names that an account had, because restricting rules of the policy still match them."""

from src.api.ports import Transaction
from src.api.schemas.records import FormerName, User

__all__ = ["keep_former_names"]


async def keep_former_names(tx: Transaction, before: User, after: User, now: int) -> None:
    """Record what this change replaces. The transaction must have locked the user's row when it read `before`."""
    for old, new in ((before.email, after.email), (before.full_name, after.full_name)):
        if old and old != new:
            await tx.insert(FormerName(user_id=before.id, name=old, created_at=now))
