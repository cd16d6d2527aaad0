"""Callers, roles, and access rules for conversations."""

from dataclasses import dataclass
from enum import StrEnum

from src.api.errors import Forbidden, NotFound
from src.api.ports import Reader
from src.api.schemas.audit import Actor
from src.api.schemas.records import Approval, Conversation, User

__all__ = [
    "LOCAL_ADMIN_ID",
    "Caller",
    "Role",
    "audit_name",
    "display_name",
    "get_visible_conversation",
    "may_see",
    "recorded_name",
    "require_admin",
    "require_change_rights",
    "require_may_decide",
    "require_scope",
    "require_visible",
]


LOCAL_ADMIN_ID = "local"
"""Id of the local admin, who is no registered user."""


class Role(StrEnum):
    """Roles in ascending order; each includes the rights of the previous ones."""

    VIEWER = "viewer"
    MEMBER = "member"
    APPROVER = "approver"
    ADMIN = "admin"

    def at_least(self, other: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user, the local admin, or a machine with an API token. `name` is shown next to decisions.

    Only a signed-in user has a `session`, and only a machine a `token` and `scopes`. `audit_name` stands in audit
    entries; the local admin has one where a user of the host runs `skyflo admin`.
    """

    id: str
    role: Role
    name: str
    machine: bool = False
    session: str | None = None
    token: str | None = None
    scopes: frozenset[str] = frozenset()
    audit_name: str = ""

    @property
    def actor(self) -> Actor:
        """The caller as the actor of an audit entry."""
        if self.machine:
            return Actor(f"token:{self.name}", f"of user:{self.id}")
        if self.id == LOCAL_ADMIN_ID:
            return Actor("host", self.audit_name) if self.audit_name else Actor("local", "local")
        return Actor(f"user:{self.id}", self.audit_name or self.id)


def audit_name(user: User) -> str:
    """Return what audit entries show next to a user's id: the e-mail, and whether it is verified."""
    return user.email if user.is_verified else f"{user.email} (not verified)"


def display_name(user: User) -> str:
    """Return the name to show for a user: free text that the user chose, else the e-mail."""
    return user.full_name or user.email


def recorded_name(user: User) -> str:
    """Return what names a user in records: the verified e-mail, else the id. Display names are free text."""
    return user.email if user.is_verified else user.id


def require_admin(caller: Caller, to: str, *, machines: bool = False) -> None:
    """Raise `Forbidden` unless the caller is an admin. `machines` also admits an admin's API token."""
    if caller.role is not Role.ADMIN or (caller.machine and not machines):
        raise Forbidden(f"Only admins {to}. Ask one of them.")


def require_scope(caller: Caller, *, reads: bool) -> None:
    """Raise `Forbidden` if a machine's token has no scope for this request."""
    if caller.machine and not reads and "chat" not in caller.scopes:
        raise Forbidden("This token may only read. Make one with the scope chat.")


def require_change_rights(caller: Caller) -> None:
    if caller.machine:
        raise Forbidden("API tokens can't decide on calls. Sign in as a user.")
    if not caller.role.at_least(Role.MEMBER):
        raise Forbidden("Viewers can't decide on changes. Ask an admin for the role member or approver.")


def require_may_decide(caller: Caller, conversation: Conversation) -> None:
    """Raise `Forbidden` unless the caller may decide on calls of this conversation."""
    require_change_rights(caller)
    if conversation.owner_id != caller.id and not caller.role.at_least(Role.APPROVER):
        raise Forbidden("Only its owner, an approver or an admin can decide on this conversation's changes.")


async def get_visible_conversation(
    reader: Reader, caller: Caller, conversation_id: str, *, write: bool = False
) -> Conversation:
    """Return the conversation if the caller may see it, or with `write`, post to it. Otherwise raise `NotFound`.

    Approvers see every conversation that has or had an approval. Only the owner may post.
    """
    return await require_visible(reader, caller, await reader.get(Conversation, id=conversation_id), write=write)


async def require_visible(
    reader: Reader, caller: Caller, found: Conversation | None, *, write: bool = False
) -> Conversation:
    """Return the conversation of which the row was read, under the rules of `get_visible_conversation`."""
    if found is None or found.deleted_at is not None:
        raise NotFound("There is no such conversation.")
    if found.owner_id == caller.id:
        return found
    had_approval = caller.role is Role.APPROVER and bool(
        await reader.find(Approval, {"conversation_id": found.id}, limit=1)
    )
    if write or not may_see(caller, found, had_approval=had_approval):
        raise NotFound("There is no such conversation.")
    return found


def may_see(caller: Caller, conversation: Conversation, *, had_approval: bool) -> bool:
    """Whether the caller's role grants access to this conversation, deleted or not."""
    if conversation.owner_id == caller.id or caller.role is Role.ADMIN:
        return True
    return caller.role is Role.APPROVER and had_approval
