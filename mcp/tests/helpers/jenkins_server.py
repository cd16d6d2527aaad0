"""Serve the Jenkins stand-in over HTTP: sign-in, sessions, crumbs and faults."""

import base64
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from jenkins_controller import Controller
from jenkins_routes import route
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support.certificates import Certificate
from tests.support.waiting import wait_until

VERSION = "2.579"
COOKIE = "JSESSIONID.ab12"


class JenkinsApp:
    """The ASGI application over a controller's state."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = scope["raw_path"].decode().partition("?")[0]
        self.controller.requests.append((request.method, path))
        fault = self.controller.fault(request.method, path)
        response = fault if isinstance(fault, Response) else await self._answer(request, path)
        response.headers["X-Jenkins"] = VERSION
        if fault == "lose_reply":  # promise a body and end the connection without it
            await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"9")]})
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response:
        state = self.controller
        user, by = self._authenticate(request)
        if by == "wrong":
            return Response("<html>Invalid password/token</html>", 401, {"WWW-Authenticate": 'Basic realm="Jenkins"'})
        session = request.cookies.get(COOKIE, "")
        is_new = session not in state.sessions
        session = secrets.token_hex(8) if is_new else session
        needs_crumb = request.method == "POST" and state.has_crumbs and by == "password"
        if needs_crumb and request.headers.get("Jenkins-Crumb") != state.crumb(user, session):
            return Response("<html>No valid crumb was included in the request</html>", 403)
        if not user:
            facts = {"X-You-Are-Authenticated-As": "anonymous", "X-Required-Permission": "hudson.model.Hudson.Read"}
            return Response("<html>Authentication required</html>", 403, facts)
        response: Response = await route(state, request, path, user, session)
        state.sessions.add(session)
        if is_new and by == "password":
            response.set_cookie(COOKIE, session, httponly=True, path="/")
        return response

    def _authenticate(self, request: Request) -> tuple[str, str]:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return "", "nothing"
        name, _, given = base64.b64decode(encoded).decode().partition(":")
        if given == self.controller.tokens.get(name):
            return name, "token"
        return (name, "password") if given == self.controller.passwords.get(name) else ("", "wrong")


@contextmanager
def serve_jenkins(controller: Controller, certificate: Certificate | None = None) -> Iterator[str]:
    """Serve a controller from a thread of its own; yield its address, which ends with a path as behind a proxy.

    With a certificate, it is served over TLS.
    """
    config = uvicorn.Config(
        JenkinsApp(controller),
        port=0,
        log_config=None,
        ws="none",
        lifespan="off",
        ssl_certfile=certificate and certificate.file,
        ssl_keyfile=certificate and certificate.key,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the start of the Jenkins stand-in")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
