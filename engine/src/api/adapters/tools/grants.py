"""Signed leave for one change (`protocol.md` 13), and in whose name a request is made."""

import jwt

from src.api.ports import Acting, Grant
from src.api.schemas.base import JsonObject
from src.api.utils.canonical import sha256

__all__ = ["GRANT_META", "IDENTITY_META", "sign", "sign_identity"]

GRANT_META = "skyflo/grant"
IDENTITY_META = "skyflo/identity"
_IDENTITY_SECONDS = 15
_ALGORITHM = "HS256"


def sign(
    grant: Grant,
    *,
    key: str,
    tool: str,
    args: str,
    arguments: JsonObject,
    now_ms: int,
    acting: Acting | None = None,
) -> str:
    """The grant as a JSON Web Token (HS256).

    Its single-use id is the approval's; `args_sha256` covers the very text that was approved. It ends `expires_in`
    seconds after now: that bounds its arrival, not how long the call may run.
    """
    cluster = arguments.get("cluster")
    issued = now_ms // 1000
    claims = {
        "jti": grant.approval_id,
        "tool": tool,
        "args_sha256": sha256(args),
        "cluster": cluster if isinstance(cluster, str) else None,
        "approver": grant.approver,
        "run_id": grant.run_id,
        "preconditions": grant.preconditions,
        "iat": issued,
        "exp": issued + max(1, round(grant.expires_in)),
        **_names(acting),
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def sign_identity(acting: Acting, *, key: str, now_ms: int) -> str:
    """Whom a read or a preview is for. It is no grant, and is to arrive within seconds."""
    issued = now_ms // 1000
    claims = {"purpose": "identity", **_names(acting), "iat": issued, "exp": issued + _IDENTITY_SECONDS}
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def _names(acting: Acting | None) -> JsonObject:
    if acting is None:
        return {}
    return {"kubernetes_user": acting.user, "kubernetes_groups": list(acting.groups)}
