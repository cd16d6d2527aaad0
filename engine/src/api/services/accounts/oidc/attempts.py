"""Keep pending sign-ins in signed cookies of the browsers that began them."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields

from fastapi_users.jwt import decode_jwt, generate_jwt
from jwt import PyJWTError

from src.api.errors import BadRequest
from src.api.ports import Ids
from src.api.schemas.oidc import SignInSecrets
from src.api.services.accounts.oidc.sign_in import ATTEMPT_SECONDS

__all__ = ["PendingSignIn", "SignInAttempts"]

AUDIENCE = "skyflo:oidc"


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in that waits for the browser to come back from the provider.

    `session` is the id of the session that this sign-in may begin, once. `user` and `linking_session` are set when the
    sign-in links an existing account: its id, and the session that asked for the link.
    """

    state: str
    nonce: str
    session: str
    next_path: str
    verifier: str = field(repr=False)
    user: str = ""
    linking_session: str = ""

    @property
    def sign_in_secrets(self) -> SignInSecrets:
        return SignInSecrets(self.state, self.nonce, self.verifier)


@dataclass(slots=True)
class SignInAttempts:
    """Encode and decode sign-in cookies; `random` generates their secrets."""

    secret: str
    ids: Ids
    random: Callable[[], str] = lambda: secrets.token_urlsafe(32)

    def new(self, next_path: str, user: str = "", linking_session: str = "") -> PendingSignIn:
        state, nonce, verifier = self.random(), self.random(), self.random()
        return PendingSignIn(state, nonce, self.ids.new(), next_path, verifier, user, linking_session)

    def encode(self, pending: PendingSignIn) -> str:
        return generate_jwt({**asdict(pending), "aud": AUDIENCE}, self.secret, ATTEMPT_SECONDS)

    def decode(self, cookie: str | None, state: str | None) -> PendingSignIn:
        """Decode a cookie. Raises `BadRequest` unless this browser began the sign-in with this state and it has not
        expired.
        """
        try:
            claims = decode_jwt(cookie or "", self.secret, [AUDIENCE])
            pending = PendingSignIn(**{each.name: str(claims[each.name]) for each in fields(PendingSignIn)})
        except (PyJWTError, KeyError) as error:
            raise attempt_expired() from error
        if not hmac.compare_digest(pending.state.encode(), (state or "").encode()):
            raise attempt_expired()
        return pending


def attempt_expired() -> BadRequest:
    return BadRequest(
        "This sign-in was not begun in this browser within the last ten minutes, or has been used. Sign in again.",
        reason="oidc_state",
    )
