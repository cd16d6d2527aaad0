"""Sign-ins that are under way: each lies in a signed cookie of the browser that began it, and nowhere else."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields

from fastapi_users.jwt import decode_jwt, generate_jwt
from jwt import PyJWTError

from src.api.errors import BadRequest
from src.api.ports import Ids
from src.api.schemas.oidc import Attempt
from src.api.services.signin import ATTEMPT_SECONDS

__all__ = ["Attempts", "UnderWay"]

AUDIENCE = "skyflo:oidc"


@dataclass(frozen=True, slots=True)
class UnderWay:
    """`session` is the one that this sign-in may begin, once. `user` and `linking`, that session's, are set where an
    account is to be linked."""

    state: str
    nonce: str
    session: str
    following: str
    verifier: str = field(repr=False)
    user: str = ""
    linking: str = ""

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.state, self.nonce, self.verifier)


class Attempts:
    """Makes and reads these cookies; `random` makes their secrets."""

    def __init__(self, secret: str, ids: Ids, random: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> None:
        self._secret = secret
        self._ids = ids
        self._random = random

    def new(self, following: str, user: str = "", linking: str = "") -> UnderWay:
        state, nonce, verifier = self._random(), self._random(), self._random()
        return UnderWay(state, nonce, self._ids.new(), following, verifier, user, linking)

    def sealed(self, under_way: UnderWay) -> str:
        return generate_jwt({**asdict(under_way), "aud": AUDIENCE}, self._secret, ATTEMPT_SECONDS)

    def opened(self, cookie: str | None, state: str | None) -> UnderWay:
        """Raises `BadRequest` unless this browser began the sign-in of this state, not long ago."""
        try:
            claims = decode_jwt(cookie or "", self._secret, [AUDIENCE])
            under_way = UnderWay(**{each.name: str(claims[each.name]) for each in fields(UnderWay)})
        except (PyJWTError, KeyError) as error:
            raise over() from error
        if not hmac.compare_digest(under_way.state.encode(), (state or "").encode()):
            raise over()
        return under_way


def over() -> BadRequest:
    return BadRequest(
        "This sign-in was not begun in this browser within the last ten minutes, or has been used. Sign in again.",
        reason="oidc_state",
    )
