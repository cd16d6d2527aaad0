"""Who is asking, and what they may do with a conversation."""

from dataclasses import dataclass
from enum import StrEnum

from src.api.errors import Forbidden, NotFound
from src.api.ports import Reader
from src.api.schemas.audit import Actor
from src.api.schemas.records import Approval, Conversation

__all__ = [
    "LOCAL",
    "Caller",
    "Role",
    "may_decide",
    "require_admin",
    "require_change_rights",
    "require_scope",
    "sees",
    "visible_conversation",
]


LOCAL = "local"
"""The id of the local admin, who is none of the registered users."""


class Role(StrEnum):
    """From least to most; each may do what the ones before it may."""

    VIEWER = "viewer"
    MEMBER = "member"
    APPROVER = "approver"
    ADMIN = "admin"

    def at_least(self, other: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in person, the local admin, or a machine with a token. `name` is what others see of a decision.

    Only a signed-in person has a `session`, only a machine a `token` and `scopes`.
    """

    id: str
    role: Role
    name: str
    machine: bool = False
    session: str | None = None
    token: str | None = None
    scopes: frozenset[str] = frozenset()

    @property
    def actor(self) -> Actor:
        """How the audit trail names this caller."""
        if self.machine:
            return Actor(f"token:{self.name}", f"of user:{self.id}")
        return Actor("local", self.name) if self.id == LOCAL else Actor(f"user:{self.id}", self.name)


def require_admin(caller: Caller, to: str, *, machines: bool = False) -> None:
    """Raises `Forbidden`, which says what only admins do; `machines`: whether an admin's token may do it too."""
    if caller.role is not Role.ADMIN or (caller.machine and not machines):
        raise Forbidden(f"Only admins {to}. Ask one of them.")


def require_scope(caller: Caller, *, reads: bool) -> None:
    """Raises `Forbidden` for a machine whose token allows no more than reading where this is more."""
    if caller.machine and not reads and "chat" not in caller.scopes:
        raise Forbidden("This token may only read. Make one with the scope chat.")


def require_change_rights(caller: Caller) -> None:
    if caller.machine:
        raise Forbidden("A machine's token never decides. Sign in as a person.")
    if not caller.role.at_least(Role.MEMBER):
        raise Forbidden("Viewers can't decide on changes. Ask an admin for the role member or approver.")


def may_decide(caller: Caller, conversation: Conversation) -> None:
    """Raises `Forbidden` unless this person may decide on calls of this conversation."""
    require_change_rights(caller)
    if conversation.owner_id != caller.id and not caller.role.at_least(Role.APPROVER):
        raise Forbidden("Only its owner, an approver or an admin decides on this conversation's changes.")


async def visible_conversation(
    reader: Reader, caller: Caller, conversation_id: str, *, write: bool = False
) -> Conversation:
    """The conversation if the caller may see it (`write`: may also post to it); else `NotFound`, whatever the reason.

    Approvers see every conversation that has or had an approval; only the owner writes.
    """
    found = await reader.get(Conversation, id=conversation_id)
    if found is None or found.deleted_at is not None:
        raise NotFound("There is no such conversation.")
    if found.owner_id == caller.id:
        return found
    had_approval = caller.role is Role.APPROVER and bool(
        await reader.find(Approval, {"conversation_id": found.id}, limit=1)
    )
    if write or not sees(caller, found, had_approval=had_approval):
        raise NotFound("There is no such conversation.")
    return found


def sees(caller: Caller, conversation: Conversation, *, had_approval: bool) -> bool:
    """Whether the caller's role shows them this conversation, deleted or not."""
    if conversation.owner_id == caller.id or caller.role is Role.ADMIN:
        return True
    return caller.role is Role.APPROVER and had_approval
