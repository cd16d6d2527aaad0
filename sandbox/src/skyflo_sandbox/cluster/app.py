"""The API server's HTTP application: routing, response formats, errors as Status objects."""

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster import discovery
from skyflo_sandbox.cluster.access_reviews import REVIEWS, answer_review
from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.custom_kind import define_custom_kind
from skyflo_sandbox.cluster.delete_handler import delete_objects
from skyflo_sandbox.cluster.errors import ApiError, api_error, method_not_allowed, not_in_sandbox
from skyflo_sandbox.cluster.pod_logs import PodLogs
from skyflo_sandbox.cluster.ports import Logs
from skyflo_sandbox.cluster.request_options import Representation, list_options, negotiate_representation, read_object
from skyflo_sandbox.cluster.responses import ResponseFormatter, build_list
from skyflo_sandbox.cluster.routing import ResourcePath, resolve_path, split_path
from skyflo_sandbox.cluster.scale import build_scale
from skyflo_sandbox.cluster.watches import WatchManager, WatchRequest
from skyflo_sandbox.cluster.write_handlers import WriteResult, create_object, patch_object, replace_object

__all__ = ["close_streams", "create_cluster_app"]

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
_HEALTH_PATHS = ("healthz", "livez", "readyz")
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def create_cluster_app(api: ClusterApi, logs: Logs, clock: Clock) -> Starlette:
    """Build the API server as an ASGI application.

    Call `close_streams` before the server that runs it waits for open requests.
    """
    server = _Server(api, logs, clock)
    define_custom_kind(api.state)
    app = Starlette(routes=[Route("/{path:path}", server.handle, methods=_METHODS)])
    app.state.close_streams = server.close_streams
    return app


def close_streams(app: Starlette) -> None:
    """Close all watches and followed logs of a cluster application for good; do nothing for other applications."""
    close = getattr(app.state, "end_streams", None)
    if callable(close):
        close()


class _Server:
    """Handle every request; turn an `ApiError` into a Status response."""

    def __init__(self, api: ClusterApi, logs: Logs, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._watches = WatchManager(api.state, clock)
        self._logs = PodLogs(api.state, logs, clock)

    def close_streams(self) -> None:
        self._watches.close()
        self._logs.close()

    async def handle(self, request: Request) -> Response:
        try:
            _check_origin(request)
            return await self._route(request)
        except ApiError as refused:
            headers = {"Retry-After": "1"} if refused.code == 429 else None
            return _json(refused.status, refused.code, headers)

    async def _route(self, request: Request) -> Response:
        parts = split_path(request.scope.get("raw_path") or request.url.path.encode())
        if parts[0] not in ("api", "apis") or len(parts) <= (2 if parts[0] == "api" else 3):
            if request.method not in ("GET", "HEAD"):
                raise method_not_allowed()
            return _serve_discovery(parts, request)
        review = REVIEWS.get((parts[1], parts[3])) if len(parts) == 4 and parts[2] == "v1" else None
        if review is not None:
            if request.method != "POST":
                raise method_not_allowed()
            return _json(answer_review(review, parts[1], await read_object(request, review)), 201)
        return await self._resource(resolve_path(parts), request)

    async def _resource(self, target: ResourcePath, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return self._read(target, request)
        if request.method == "DELETE":
            return _json(await delete_objects(self._api, target, request, self._clock.now()))
        write = _WRITE_HANDLERS.get(request.method)
        if write is None:
            raise method_not_allowed()
        result = await write(self._api, target, request)
        formatter = self._formatter(request, for_list=False)
        body = result.body if target.subresource == "scale" else formatter.format_object(target.kind, result.body)
        return _json(body, 201 if result.is_new else 200, _warnings(result.warnings))

    def _read(self, target: ResourcePath, request: Request) -> Response:
        if not target.name:
            return self._list_or_watch(target, request)
        live = self._api.live(target.kind, target.namespace, target.name)
        if target.subresource == "log":
            found = self._logs.read(live, request.query_params)
            return PlainTextResponse(found) if isinstance(found, bytes) else _stream(found, "text/plain")
        if target.subresource == "scale":
            return _json(build_scale(live))
        return _json(self._formatter(request, for_list=False).format_object(target.kind, live))

    def _list_or_watch(self, target: ResourcePath, request: Request) -> Response:
        options = list_options(request.query_params)
        formatter = self._formatter(request, for_list=not options.watch)
        if options.watch:
            watch = WatchRequest(target.kind, target.namespace, options, formatter)
            return _stream(self._watches.open(watch), "application/json")
        return _json(build_list(self._api.state, target.kind, target.namespace, options, formatter))

    def _formatter(self, request: Request, *, for_list: bool) -> ResponseFormatter:
        found: Representation = negotiate_representation(request.headers.get("accept", ""), for_list=for_list)
        return ResponseFormatter(
            found, request.query_params.get("includeObject", ""), self._clock.now()
        ).check_include()


_WRITE_HANDLERS: dict[str, Callable[[ClusterApi, ResourcePath, Request], Awaitable[WriteResult]]] = {
    "POST": create_object,
    "PUT": replace_object,
    "PATCH": patch_object,
}


def _check_origin(request: Request) -> None:
    """Reject requests that a web page could send: foreign Host headers (DNS rebinding) and any Origin header."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if host not in _LOOPBACK_HOSTS:
        raise api_error(403, "Forbidden", "the sandbox serves only requests to a loopback address", {})
    if "origin" in request.headers:
        raise api_error(403, "Forbidden", "the sandbox does not serve requests from web pages", {})


def _serve_discovery(parts: list[str], request: Request) -> Response:
    """Serve everything that is neither an object nor a list: version, health, discovery, OpenAPI."""
    if parts == ["version"]:
        return _json(discovery.VERSION)
    if parts[0] in _HEALTH_PATHS and len(parts) == 1:
        return PlainTextResponse("ok")
    if parts[0] == "openapi":
        return _serve_openapi(parts)
    if parts in (["api"], ["apis"]) and _wants_aggregated(request):
        return _json(discovery.aggregated_discovery(core=parts == ["api"]), media_type=_AGGREGATED)
    found = _legacy_discovery(parts, request)
    if found is None:
        raise not_in_sandbox("/" + "/".join(parts)[:200])
    return _json(found)


def _legacy_discovery(parts: list[str], request: Request) -> JsonObject | None:
    if parts == ["api"]:
        return discovery.api_versions(request.headers.get("host", ""))
    if parts == ["apis"]:
        return discovery.group_list()
    if parts[0] == "api" and len(parts) == 2:
        return discovery.resource_list("", parts[1])
    if parts[0] == "apis" and len(parts) == 2:
        return discovery.group(parts[1])
    return discovery.resource_list(parts[1], parts[2]) if parts[0] == "apis" and len(parts) == 3 else None


def _serve_openapi(parts: list[str]) -> Response:
    found: JsonObject | None = None
    if parts == ["openapi", "v3"]:
        found = discovery.openapi_index()
    elif parts[1:3] == ["v3", "api"] and len(parts) == 4:
        found = discovery.openapi_document("", parts[3])
    elif parts[1:3] == ["v3", "apis"] and len(parts) == 5:
        found = discovery.openapi_document(parts[3], parts[4])
    if found is None:
        raise not_in_sandbox("/".join(parts)[:200])
    return _json(found)


def _wants_aggregated(request: Request) -> bool:
    """Return whether the client accepts aggregated discovery v2; other clients get the legacy lists."""
    for each in request.headers.get("accept", "").split(","):
        parameters = {part.strip() for part in each.split(";")[1:]}
        if {"g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"} <= parameters:
            return "application/json" in each
    return False


def _warnings(texts: tuple[str, ...]) -> dict[str, str] | None:
    """Join all warnings into one header, because Starlette's header mapping has each name once."""
    quote = [text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace").decode() for text in texts[:10]]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in quote)} if quote else None


def _json(
    body: JsonObject, status: int = 200, headers: dict[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    return Response(orjson.dumps(body) + b"\n", status, headers, media_type)


def _stream(lines: AsyncIterator[bytes], media_type: str) -> Response:
    return StreamingResponse(lines, media_type=media_type)
