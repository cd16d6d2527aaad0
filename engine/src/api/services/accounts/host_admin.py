"""Change accounts on the engine's host: for admins who can't sign in, or without a mail server.

A person who may run this can read the database and the signing key. The audit log names the host's user.
"""

from dataclasses import dataclass

from src.api.errors import Conflict, NotFound
from src.api.ports import Store, Transaction
from src.api.schemas.audit import Actor
from src.api.schemas.query import Scalar, Where
from src.api.schemas.records import User
from src.api.services.accounts.former_names import keep_former_names
from src.api.services.accounts.mail_links import link_url
from src.api.services.accounts.sessions import lock_user
from src.api.services.accounts.users import Account, UserManager
from src.api.services.audit.log import fields_of, user_stream

__all__ = ["HostAdmin"]


@dataclass(slots=True)
class HostAdmin:
    """Administration by `actor`, the user of the host. Methods raise `NotFound` for an unknown e-mail."""

    store: Store
    manager: UserManager
    public_url: str | None
    actor: Actor

    async def reset_link(self, email: str) -> str:
        """Return a link that sets a new password. It also gives a password to an account that had none."""
        user = await self._change(email, "user.reset_link_made", {})
        token = self.manager.reset_token(Account.of(user), sets_first_password=True)
        return link_url(self.public_url, "reset", token)

    async def verify_email(self, email: str) -> None:
        """Mark the account's e-mail as verified."""
        await self._change(email, "user.changed", {"is_verified": True})

    async def change_email(self, email: str, new: str) -> None:
        """Give the account a new, verified e-mail. Raises `Conflict` if another account has it."""
        await self._change(
            email, "user.email_changed", {"email": new.lower(), "is_verified": True, "pending_email": None}
        )

    async def find(self, email: str) -> User:
        """Return the account with this e-mail."""
        where: Where = {"email": email.strip().lower()}
        found = await self.store.read(lambda reader: reader.find(User, where, limit=1))
        if not found:
            raise NotFound(f"No account uses the e-mail {email}.")
        return found[0]

    async def _change(self, email: str, action: str, values: dict[str, Scalar]) -> User:
        async def body(tx: Transaction) -> User:
            found = await tx.find(User, {"email": email.strip().lower()}, limit=1)
            before = await lock_user(tx, found[0].id) if found else None
            if before is None:
                raise NotFound(f"No account uses the e-mail {email}.")
            taken = await tx.find(User, {"email": values.get("email", before.email)}, limit=1)
            if taken and taken[0].id != before.id:
                raise Conflict("Another account uses this e-mail already.")
            after = (await tx.change(User, {"id": before.id}, **values) if values else before) or before
            await keep_former_names(tx, before, after, await tx.now())
            tx.audit(user_stream(before.id), action, self.actor, {"fields": fields_of(values)} if values else {})
            return after

        return await self.store.transaction(body)
