"""A real OpenID provider for tests (npm `oidc-provider`, a certified one), and a browser to go there with."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from tests.support.guardian import Job, guard, release
from tests.support.npm import await_port, installed
from tests.support.services import free_port

__all__ = ["PAGES", "SECRET", "Browser", "Provider", "a_browser", "oidc_provider"]

PACKAGE = "oidc-provider"
VERSION = "9.13.3"
SECRET = "the secret/of:the client"
PAGES = "https://testserver"
SCRIPT = Path(__file__).with_name("oidc_provider.mjs")


@dataclass(frozen=True)
class Provider:
    issuer: str

    def knows(self, who: str, /, *groups: str, verified: bool | None = True, **more: Any) -> str:
        """From now on it has this person, in these groups; the person's e-mail."""
        told = {"email": f"{who}@example.com", "email_verified": verified, "groups": groups, **more}
        httpx.put(f"{self.issuer}/people/{who}", json={key: value for key, value in told.items() if value is not None})
        return str(told["email"])


@contextmanager
def oidc_provider() -> Iterator[Provider]:
    """Raises `UnavailableError` where there is no Node or the package can't be installed."""
    main = installed(PACKAGE, VERSION) / "lib" / "index.js"
    with tempfile.TemporaryDirectory(prefix="skyflo-oidc-") as folder:
        port = free_port()
        guardian = guard(Job(folder=folder, command=("node", str(SCRIPT), str(main), str(port))))
        try:
            await_port(port, PACKAGE)
            yield Provider(f"http://127.0.0.1:{port}")
        finally:
            release(guardian)


@dataclass(frozen=True)
class Browser:
    """Keeps cookies by site and goes where it is sent: to the engine's pages in process, elsewhere over the wire."""

    http: httpx.AsyncClient

    async def open(self, path: str, **options: Any) -> httpx.Response:
        """One page of the engine's interface, without following where it leads."""
        return await self.http.get(f"{PAGES}/api/v1{path}", **options)

    async def sent_back(self, name: str | None, path: str = "/auth/oidc/login") -> str:
        """Begins a sign-in, signs in there under this name, or says no: the address it is then sent back to."""
        answer = await self.open(path)
        assert answer.status_code == 302, answer.text
        return await self.at_the_provider(name, answer.headers["location"])

    async def at_the_provider(self, name: str | None, address: str) -> str:
        while not address.startswith(PAGES):
            answer = await self.http.get(address)
            if answer.status_code == 200:
                answer = await self.http.post(address, data={"login": name} if name else {"no": "thanks"})
            assert answer.is_redirect, answer.text
            address = str(httpx.URL(address).join(answer.headers["location"]))
        return address

    async def signs_in(self, name: str, path: str = "/auth/oidc/login") -> httpx.Response:
        """The engine's answer to the browser that comes back."""
        return await self.http.get(await self.sent_back(name, path))


@asynccontextmanager
async def a_browser(app: FastAPI) -> AsyncIterator[Browser]:
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 40_000), raise_app_exceptions=False)
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(mounts={PAGES: transport}, limits=limits) as http:
        yield Browser(http)
