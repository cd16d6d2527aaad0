"""Run a real, certified OpenID provider (npm `oidc-provider`), and a browser that signs in there."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.npm import install_package, wait_for_port
from tests.support.ports import free_port
from tests.support.process_guard import GuardedProcess, start_guarded, stop_guarded

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

__all__ = ["PAGES", "SECRET", "Browser", "Provider", "oidc_provider", "open_browser"]

PACKAGE = "oidc-provider"
VERSION = "9.13.3"
SECRET = "the secret/of:the client"
PAGES = "https://testserver"
SCRIPT = Path(__file__).with_name("oidc_provider.mjs")


@dataclass(frozen=True)
class Provider:
    issuer: str

    def add_person(self, who: str, /, *groups: str, verified: bool | None = True, **more: Any) -> str:
        """Add a person in these groups and return the person's e-mail address."""
        import httpx

        claims = {"email": f"{who}@example.com", "email_verified": verified, "groups": groups, **more}
        httpx.put(
            f"{self.issuer}/people/{who}", json={key: value for key, value in claims.items() if value is not None}
        )
        return str(claims["email"])


@contextmanager
def oidc_provider() -> Iterator[Provider]:
    """Start the provider. Raises `UnavailableError` without Node or when the package can't be installed."""
    main = install_package(PACKAGE, VERSION) / "lib" / "index.js"
    with tempfile.TemporaryDirectory(prefix="skyflo-oidc-") as folder:
        port = free_port()
        guard_process = start_guarded(
            GuardedProcess(folder=folder, command=("node", str(SCRIPT), str(main), str(port)))
        )
        try:
            wait_for_port(port, PACKAGE)
            yield Provider(f"http://127.0.0.1:{port}")
        finally:
            stop_guarded(guard_process)


@dataclass(frozen=True)
class Browser:
    """A browser with cookies per site that follows redirects: to the engine in process, elsewhere over the network."""

    http: "httpx.AsyncClient"

    async def open(self, path: str, **options: Any) -> "httpx.Response":
        """Request one page of the engine without following redirects."""
        return await self.http.get(f"{PAGES}/api/v1{path}", **options)

    async def callback_url(self, name: str | None, path: str = "/auth/oidc/login") -> str:
        """Start a sign-in, sign in as `name` (None declines), and return the callback URL."""
        answer = await self.open(path)
        assert answer.status_code == 302, answer.text
        return await self.authenticate_at_provider(name, answer.headers["location"])

    async def authenticate_at_provider(self, name: str | None, address: str) -> str:
        import httpx

        while not address.startswith(PAGES):
            answer = await self.http.get(address)
            if answer.status_code == 200:
                answer = await self.http.post(address, data={"login": name} if name else {"no": "thanks"})
            assert answer.is_redirect, answer.text
            address = str(httpx.URL(address).join(answer.headers["location"]))
        return address

    async def sign_in(self, name: str, path: str = "/auth/oidc/login") -> "httpx.Response":
        """Sign in and return the engine's response to the callback."""
        return await self.http.get(await self.callback_url(name, path))


@asynccontextmanager
async def open_browser(app: "FastAPI") -> AsyncIterator[Browser]:
    import httpx

    transport = httpx.ASGITransport(app, client=("127.0.0.1", 40_000), raise_app_exceptions=False)
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(mounts={PAGES: transport}, limits=limits) as http:
        yield Browser(http)
