"""Map a user to the Kubernetes user and groups to impersonate.

There is no fallback to a more powerful identity: for a user without a mapping the request fails with the next step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.errors import Forbidden
from src.api.ports import ImpersonatedUser, Reader
from src.api.schemas.records import Approval, Conversation, Decision, User
from src.api.services.access import Caller, Role, recorded_name, require_may_decide
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.utils.json_columns import load_list, load_object

__all__ = ["Impersonation", "find_name_problem"]

_LOCAL_ADMIN_UNKNOWN = (
    "KUBERNETES_IMPERSONATE is on, and Kubernetes does not know the local admin. Sign in as a member whom an admin "
    "gave a kubernetes_user, or switch KUBERNETES_IMPERSONATE off."
)
_RESERVED = "Kubernetes' own users and groups (system:...) can't be impersonated. Choose another name."
_UNPRINTABLE = "The names of Kubernetes' users and groups are printable and not empty. Choose another name."


def find_name_problem(user: str, groups: Sequence[str]) -> str | None:
    """Return why these names must not be impersonated, or None. Checked when an admin sets them and before each use."""
    names = [user, *groups]
    if any(name.lower().startswith("system:") for name in names):
        return _RESERVED
    return None if all(name and name.isprintable() for name in names) else _UNPRINTABLE


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Choose the identity that tool calls run under.

    `servers` are the tool servers that impersonate users; empty if `KUBERNETES_IMPERSONATE` is off.
    """

    servers: frozenset[str] = frozenset()

    async def user_for(self, reader: Reader, server: str, user_id: str) -> ImpersonatedUser | None:
        """Return the identity for a user on this server, or None if the server does not impersonate.

        Raises `Forbidden`, with the next step, if the user has no Kubernetes identity.
        """
        if server not in self.servers:
            return None
        return self.identity_of(server, user_id, await reader.get(User, id=user_id))

    def identity_of(self, server: str, user_id: str, user: User | None) -> ImpersonatedUser | None:
        """Return the identity for a user whose row is `user`, like `user_for`."""
        if server not in self.servers:
            return None
        if user_id == LOCAL_ADMIN.id:
            raise Forbidden(_LOCAL_ADMIN_UNKNOWN)
        if user is None or not user.is_active:
            raise Forbidden("The user who requested this is no longer a member of the team. Ask for it as a member.")
        return _impersonated(user)

    def is_unchecked(self, approval: Approval) -> bool:
        """Whether the preview's user may not make this change, so that no dry run has validated it."""
        if approval.server not in self.servers or approval.preview is None:
            return False
        allowed = load_object(approval.preview).get("allowed")
        return isinstance(allowed, dict) and allowed.get("allowed") is False

    async def approver_for(
        self, reader: Reader, approval: Approval, votes: Sequence[Decision]
    ) -> ImpersonatedUser | None:
        """Return the identity that an approved call runs under. `votes` are its approving decisions, oldest first.

        That is the last approver, or the author if a policy rule decided or the call is a read. Raises `Forbidden` if
        one of the deciders no longer has the right to decide.
        """
        if approval.decided_by_policy is not None:
            await _require_may_ask(reader, approval)
            return await self.user_for(reader, approval.server, approval.author_id)
        if not votes:
            raise Forbidden("It is not recorded who approved this.")
        for each in votes:
            if each.user_id != LOCAL_ADMIN.id:
                await _require_still_may_decide(reader, approval, each.user_id)
        user_id = approval.author_id if approval.effect == "read" else votes[-1].user_id
        return await self.user_for(reader, approval.server, user_id)


async def _require_may_ask(reader: Reader, approval: Approval) -> None:
    """Require that the author may still request this: viewers may read, members may change."""
    if approval.author_id == LOCAL_ADMIN.id:
        return
    user = await reader.get(User, id=approval.author_id)
    if user is None or not user.is_active:
        raise Forbidden("The user who requested this is no longer a member of the team.")
    if approval.effect != "read" and not Role(user.role).at_least(Role.MEMBER):
        raise Forbidden(f"{recorded_name(user)}, who asked for this, may not ask for changes any more.")


async def _require_still_may_decide(reader: Reader, approval: Approval, user_id: str) -> None:
    user = await reader.get(User, id=user_id)
    conversation = await reader.get(Conversation, id=approval.conversation_id)
    if user is None or not user.is_active or conversation is None:
        raise Forbidden(f"{approval.decided_by}, who approved this, is no longer a member of the team.")
    require_may_decide(Caller(user.id, Role(user.role), recorded_name(user)), conversation)


def _impersonated(user: User) -> ImpersonatedUser:
    name, groups = user.kubernetes_user, tuple(str(each) for each in load_list(user.kubernetes_groups))
    if not name:
        raise Forbidden(
            f"KUBERNETES_IMPERSONATE is on, and {recorded_name(user)} has no kubernetes_user. "
            "Ask an admin to set it in the team's settings."
        )
    if problem := find_name_problem(name, groups):
        raise Forbidden(problem)
    return ImpersonatedUser(name, groups)
