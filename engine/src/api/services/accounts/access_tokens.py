"""Create and verify signed access tokens."""

from dataclasses import dataclass

from fastapi_users.jwt import decode_jwt, generate_jwt
from jwt import PyJWTError

__all__ = ["AccessTokens"]

AUDIENCE = ["fastapi-users:auth"]


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Access tokens as JWTs that name a user and a session. `lifetime` is in seconds."""

    secret: str
    algorithm: str
    lifetime: int

    def token(self, user_id: str, session: str) -> str:
        claims = {"sub": user_id, "sid": session, "aud": AUDIENCE}
        return generate_jwt(claims, self.secret, self.lifetime, self.algorithm)

    def read(self, token: str) -> tuple[str, str] | None:
        """Return the user id and session id; None if the token is forged, expired or made for another purpose."""
        try:
            claims = decode_jwt(token, self.secret, AUDIENCE, [self.algorithm])
        except PyJWTError:
            return None
        user_id, session = claims.get("sub"), claims.get("sid")
        return (user_id, session) if isinstance(user_id, str) and isinstance(session, str) else None
