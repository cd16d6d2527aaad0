"""Sign grants for approved changes (`protocol.md` 13), and the identity of the user behind a request."""

import jwt

from src.api.ports import Grant, ImpersonatedUser
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
    impersonate_user: ImpersonatedUser | None = None,
) -> str:
    """Sign a grant as a JSON Web Token (HS256).

    Its single-use id is the approval's; `args_sha256` covers the exact approved text. It expires `expires_in` seconds
    from now, which limits its arrival, not the duration of the call.
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
        **_impersonation_claims(impersonate_user),
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def sign_identity(impersonate_user: ImpersonatedUser, *, key: str, now_ms: int) -> str:
    """Sign the user to impersonate for a read or a preview. It is no grant, and expires within seconds."""
    issued = now_ms // 1000
    claims = {
        "purpose": "identity",
        **_impersonation_claims(impersonate_user),
        "iat": issued,
        "exp": issued + _IDENTITY_SECONDS,
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def _impersonation_claims(impersonate_user: ImpersonatedUser | None) -> JsonObject:
    if impersonate_user is None:
        return {}
    return {"kubernetes_user": impersonate_user.user, "kubernetes_groups": list(impersonate_user.groups)}
