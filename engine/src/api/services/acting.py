"""Whom Kubernetes shall see behind a request: the person whom it is for, by the names that an admin gave that member.

Nobody is ever replaced by somebody stronger: who has no name there gets a sentence that says what to do instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.errors import Forbidden
from src.api.ports import Acting, Reader
from src.api.schemas.records import Approval, Conversation, Decision, User
from src.api.services.access import Caller, Role, may_decide
from src.api.services.accounts import LOCAL_ADMIN
from src.api.services.policing import BY_POLICY
from src.api.utils.shown import shown_list, shown_object

__all__ = ["Impersonation", "unfit_names"]

_LOCAL = (
    "KUBERNETES_IMPERSONATE is on, and Kubernetes does not know the local admin. Sign in as a member whom an admin "
    "gave a kubernetes_user, or switch KUBERNETES_IMPERSONATE off."
)
_RESERVED = "Nobody may act as one of Kubernetes' own users or groups (system:...). Choose another name."
_UNPRINTABLE = "The names of Kubernetes' users and groups are printable and not empty. Choose another name."


def unfit_names(user: str, groups: Sequence[str]) -> str | None:
    """Why nobody may act under these names, or None. For whoever gives them to a member, and before each use."""
    names = [user, *groups]
    if any(name.lower().startswith("system:") for name in names):
        return _RESERVED
    return None if all(name and name.isprintable() for name in names) else _UNPRINTABLE


@dataclass(frozen=True, slots=True)
class Impersonation:
    """`servers`: the tool servers that act in a person's name; none where `KUBERNETES_IMPERSONATE` is off."""

    servers: frozenset[str] = frozenset()

    async def person(self, reader: Reader, server: str, user_id: str) -> Acting | None:
        """As whom this server acts for this person; None where it acts in nobody's name.

        Raises `Forbidden`, with the next step, for one whom Kubernetes can't be told.
        """
        if server not in self.servers:
            return None
        if user_id == LOCAL_ADMIN.id:
            raise Forbidden(_LOCAL)
        user = await reader.get(User, id=user_id)
        if user is None or not user.is_active:
            raise Forbidden("Whoever asked for this is no longer a member of the team. Ask for it as a member.")
        return _acting(user)

    def is_unchecked(self, approval: Approval) -> bool:
        """Whether the one for whom it was previewed may not make this change, so that no API server has tried it."""
        if approval.server not in self.servers or approval.preview is None:
            return False
        allowed = shown_object(approval.preview).get("allowed")
        return isinstance(allowed, dict) and allowed.get("allowed") is False

    async def approver(self, reader: Reader, approval: Approval) -> Acting | None:
        """The same for whose decision this was: the last of several, and for a policy's yes the one who asked.

        A read is made as the one who asked, whoever decided. Raises `Forbidden` where one of them may not any more.
        """
        if (approval.decided_by or "").startswith(BY_POLICY):
            await _still_may_ask(reader, approval)
            return await self.person(reader, approval.server, approval.author_id)
        decided = await reader.find(Decision, {"approval_id": approval.id, "approve": True}, "created_at,id", 100)
        if not decided:
            raise Forbidden("It is not recorded who approved this.")
        for each in decided:
            if each.user_id != LOCAL_ADMIN.id:
                await _still_may_decide(reader, approval, each.user_id)
        whose = approval.author_id if approval.effect == "read" else decided[-1].user_id
        return await self.person(reader, approval.server, whose)


async def _still_may_ask(reader: Reader, approval: Approval) -> None:
    """What a policy allows is asked for by somebody who may ask for it: a viewer may read, a member may change."""
    if approval.author_id == LOCAL_ADMIN.id:
        return
    user = await reader.get(User, id=approval.author_id)
    if user is None or not user.is_active:
        raise Forbidden("Whoever asked for this is no longer a member of the team.")
    if approval.effect != "read" and not Role(user.role).at_least(Role.MEMBER):
        raise Forbidden(f"{user.full_name or user.email}, who asked for this, may not ask for changes any more.")


async def _still_may_decide(reader: Reader, approval: Approval, user_id: str) -> None:
    user = await reader.get(User, id=user_id)
    conversation = await reader.get(Conversation, id=approval.conversation_id)
    if user is None or not user.is_active or conversation is None:
        raise Forbidden(f"{approval.decided_by}, who approved this, is no longer a member of the team.")
    may_decide(Caller(user.id, Role(user.role), user.full_name or user.email), conversation)


def _acting(user: User) -> Acting:
    name, groups = user.kubernetes_user, tuple(str(each) for each in shown_list(user.kubernetes_groups))
    if not name:
        raise Forbidden(
            f"KUBERNETES_IMPERSONATE is on, and {user.full_name or user.email} has no kubernetes_user. "
            "Ask an admin to set it in the team's settings."
        )
    if problem := unfit_names(name, groups):
        raise Forbidden(problem)
    return Acting(name, groups)
