"""The API server's HTTP side: paths, the forms of its answers, and errors as Status objects."""

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster import discovery
from skyflo_sandbox.cluster.access import REVIEWS, answered
from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.asking import Form, form, list_options, object_body
from skyflo_sandbox.cluster.definition import define_custom_kind
from skyflo_sandbox.cluster.deleting import deleted
from skyflo_sandbox.cluster.podlogs import PodLogs
from skyflo_sandbox.cluster.ports import Logs
from skyflo_sandbox.cluster.reading import Shown, listing
from skyflo_sandbox.cluster.routing import Place, place, segments
from skyflo_sandbox.cluster.scale import scale_of
from skyflo_sandbox.cluster.statuses import Refused, failure, method_not_allowed, not_here
from skyflo_sandbox.cluster.watching import Watch, Watches
from skyflo_sandbox.cluster.writing import Written, created, patched, replaced
from skyflo_sandbox.jsontypes import JsonObject

__all__ = ["create_cluster", "end_streams"]

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEALTH = ("healthz", "livez", "readyz")
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def create_cluster(api: ClusterApi, logs: Logs, clock: Clock) -> Starlette:
    """The API server as an ASGI application. Call `end_streams` before the server that runs it waits for requests."""
    server = _Server(api, logs, clock)
    define_custom_kind(api.state)
    app = Starlette(routes=[Route("/{path:path}", server.answer, methods=_METHODS)])
    app.state.end_streams = server.end
    return app


def end_streams(app: Starlette) -> None:
    """Ends all watches and followed logs of `create_cluster`'s application, for good. Others have none."""
    end = getattr(app.state, "end_streams", None)
    if callable(end):
        end()


class _Server:
    """Answers every request; what is refused is answered with its Status."""

    def __init__(self, api: ClusterApi, logs: Logs, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._watches = Watches(api.state, clock)
        self._logs = PodLogs(api.state, logs, clock)

    def end(self) -> None:
        self._watches.end()
        self._logs.end()

    async def answer(self, request: Request) -> Response:
        try:
            _refuse_strangers(request)
            return await self._route(request)
        except Refused as refused:
            headers = {"Retry-After": "1"} if refused.code == 429 else None
            return _json(refused.status, refused.code, headers)

    async def _route(self, request: Request) -> Response:
        parts = segments(request.scope.get("raw_path") or request.url.path.encode())
        if parts[0] not in ("api", "apis") or len(parts) <= (2 if parts[0] == "api" else 3):
            if request.method not in ("GET", "HEAD"):
                raise method_not_allowed()
            return _told(parts, request)
        review = REVIEWS.get((parts[1], parts[3])) if len(parts) == 4 and parts[2] == "v1" else None
        if review is not None:
            if request.method != "POST":
                raise method_not_allowed()
            return _json(answered(review, parts[1], await object_body(request, review)), 201)
        return await self._resource(place(parts), request)

    async def _resource(self, where: Place, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return self._read(where, request)
        if request.method == "DELETE":
            return _json(await deleted(self._api, where, request, self._clock.now()))
        write = _WRITES.get(request.method)
        if write is None:
            raise method_not_allowed()
        written = await write(self._api, where, request)
        shown = self._shown(request, listing=False)
        body = written.body if where.subresource == "scale" else shown.one(where.kind, written.body)
        return _json(body, 201 if written.new else 200, _warnings(written.warnings))

    def _read(self, where: Place, request: Request) -> Response:
        if not where.name:
            return self._several(where, request)
        live = self._api.live(where.kind, where.namespace, where.name)
        if where.subresource == "log":
            found = self._logs.read(live, request.query_params)
            return PlainTextResponse(found) if isinstance(found, bytes) else _stream(found, "text/plain")
        if where.subresource == "scale":
            return _json(scale_of(live))
        return _json(self._shown(request, listing=False).one(where.kind, live))

    def _several(self, where: Place, request: Request) -> Response:
        options = list_options(request.query_params)
        shown = self._shown(request, listing=not options.watch)
        if options.watch:
            watch = Watch(where.kind, where.namespace, options, shown)
            return _stream(self._watches.open(watch), "application/json")
        return _json(listing(self._api.state, where.kind, where.namespace, options, shown))

    def _shown(self, request: Request, *, listing: bool) -> Shown:
        found: Form = form(request.headers.get("accept", ""), listing=listing)
        return Shown(found, request.query_params.get("includeObject", ""), self._clock.now()).check()


_WRITES: dict[str, Callable[[ClusterApi, Place, Request], Awaitable[Written]]] = {
    "POST": created,
    "PUT": replaced,
    "PATCH": patched,
}


def _refuse_strangers(request: Request) -> None:
    """A page in a browser must not reach this port: neither by its own origin nor by a name that leads here."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if host not in _LOOPBACK:
        raise failure(403, "Forbidden", "only requests to a loopback address are answered in the sandbox", {})
    if "origin" in request.headers:
        raise failure(403, "Forbidden", "requests of web pages are not answered in the sandbox", {})


def _told(parts: list[str], request: Request) -> Response:
    """What is neither an object nor a list: versions, groups, health."""
    if parts == ["version"]:
        return _json(discovery.VERSION)
    if parts[0] in _HEALTH and len(parts) == 1:
        return PlainTextResponse("ok")
    if parts[0] == "openapi":
        return _openapi(parts)
    if parts in (["api"], ["apis"]) and _wants_aggregated(request):
        return _json(discovery.aggregated(core=parts == ["api"]), media_type=_AGGREGATED)
    found = _legacy(parts, request)
    if found is None:
        raise not_here("/" + "/".join(parts)[:200])
    return _json(found)


def _legacy(parts: list[str], request: Request) -> JsonObject | None:
    if parts == ["api"]:
        return discovery.core_versions(request.headers.get("host", ""))
    if parts == ["apis"]:
        return discovery.groups()
    if parts[0] == "api" and len(parts) == 2:
        return discovery.resources("", parts[1])
    if parts[0] == "apis" and len(parts) == 2:
        return discovery.group(parts[1])
    return discovery.resources(parts[1], parts[2]) if parts[0] == "apis" and len(parts) == 3 else None


def _openapi(parts: list[str]) -> Response:
    found: JsonObject | None = None
    if parts == ["openapi", "v3"]:
        found = discovery.openapi_index()
    elif parts[1:3] == ["v3", "api"] and len(parts) == 4:
        found = discovery.openapi("", parts[3])
    elif parts[1:3] == ["v3", "apis"] and len(parts) == 5:
        found = discovery.openapi(parts[3], parts[4])
    if found is None:
        raise not_here("/".join(parts)[:200])
    return _json(found)


def _wants_aggregated(request: Request) -> bool:
    """Whether the newest form is asked for. One that wants an older one gets the old lists."""
    for each in request.headers.get("accept", "").split(","):
        parameters = {part.strip() for part in each.split(";")[1:]}
        if {"g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"} <= parameters:
            return "application/json" in each
    return False


def _warnings(texts: tuple[str, ...]) -> dict[str, str] | None:
    """One header for all: Starlette's mapping of headers has each name once."""
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace").decode() for text in texts[:10]]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in quoted)} if quoted else None


def _json(
    body: JsonObject, status: int = 200, headers: dict[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    return Response(orjson.dumps(body) + b"\n", status, headers, media_type)


def _stream(lines: AsyncIterator[bytes], media_type: str) -> Response:
    return StreamingResponse(lines, media_type=media_type)
