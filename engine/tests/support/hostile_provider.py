"""An OpenID provider that sends anything a test wants, signed with real keys."""

import asyncio
import base64
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

__all__ = [
    "CLIENT",
    "FromNow",
    "HostileProvider",
    "hostile_provider_in_thread",
    "open_hostile_provider",
    "private_key",
    "unsigned",
]

CLIENT = "the-engine"


@dataclass(frozen=True)
class FromNow:
    """A claim: the time that many seconds after the token is signed."""

    seconds: int


TokenFactory = Callable[["HostileProvider", dict[str, Any]], str]


def private_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return a token with an empty signature."""
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])


class HostileProvider:
    """An OpenID provider whose tokens, metadata and answers a test can replace.

    `nonce` is the nonce to put into the next token; without it the provider uses the authorization code, which it sets
    to the nonce of the sign-in. `make_token` builds the ID token from the claims of an honest provider.
    `extra_metadata` is merged into the discovery document. `answers` replaces the response for a path. `asked` counts
    requests by path.
    """

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._key = private_key()
        self.reset()

    def reset(self) -> None:
        """Restore honest behaviour."""
        self.key = self._key
        self.nonce = ""
        self.make_token: TokenFactory = HostileProvider.signed
        self.extra_metadata: dict[str, Any] = {}
        self.answers: dict[str, Callable[[], Response]] = {}
        self.published: list[dict[str, Any]] = [self.public("first")]
        self.asked: Counter[str] = Counter()
        self.form: dict[str, str] = {}

    def public(self, kid: str, key: rsa.RSAPrivateKey | None = None) -> dict[str, Any]:
        return {**RSAAlgorithm.to_jwk((key or self.key).public_key(), as_dict=True), "kid": kid, "use": "sig"}

    @property
    def pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(self, claims: dict[str, Any], kid: str | None = "first", algorithm: str = "RS256") -> str:
        now = int(time.time())
        claims = {name: now + value.seconds if isinstance(value, FromNow) else value for name, value in claims.items()}
        return jwt.encode(claims, self.key, algorithm, headers={} if kid is None else {"kid": kid})

    def claims(self) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "sub": "zoe",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": self.nonce or self.form.get("code"),
            "email": "zoe@example.com",
            "email_verified": True,
            "groups": ["admins"],
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = request.url.path
        self.asked[path] += 1
        if path == "/token":
            self.form = dict(parse_qsl((await request.body()).decode()))
        answer = self.answers.get(path) or {"/token": self._tokens, "/keys": self._keys}.get(path, self._description)
        if path == "/auth":
            query = request.query_params
            back = urlencode({"state": query["state"], "code": query["nonce"]})
            await RedirectResponse(f"{query['redirect_uri']}?{back}")(scope, receive, send)
            return
        await answer()(scope, receive, send)

    def _description(self) -> Response:
        own = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth?tenant=7",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        return JSONResponse({**own, **self.extra_metadata})

    def _keys(self) -> Response:
        return JSONResponse({"keys": self.published})

    def _tokens(self) -> Response:
        token = self.make_token(self, self.claims())
        return JSONResponse({"id_token": token, "access_token": "a", "token_type": "Bearer"})


def _serving(listener: socket.socket) -> tuple[HostileProvider, uvicorn.Server]:
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    hostile = HostileProvider(f"http://127.0.0.1:{listener.getsockname()[1]}")
    config = uvicorn.Config(hostile, lifespan="off", log_config=None, access_log=False)
    return hostile, uvicorn.Server(config)


@asynccontextmanager
async def open_hostile_provider() -> AsyncIterator[HostileProvider]:
    with socket.socket() as listener:
        hostile, server = _serving(listener)
        serving = asyncio.create_task(server.serve([listener]))
        yield hostile
        server.should_exit = True
        server.force_exit = True
        await serving


@contextmanager
def hostile_provider_in_thread() -> Iterator[HostileProvider]:
    """Run the provider in its own thread, for tests without an event loop."""
    with socket.socket() as listener:
        hostile, server = _serving(listener)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield hostile
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
