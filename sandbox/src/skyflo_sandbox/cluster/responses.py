"""Build GET responses: objects and lists, in full, as tables or as metadata only."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

import orjson

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, object_at, text_at
from skyflo_sandbox.cluster import tables
from skyflo_sandbox.cluster.errors import ApiError, api_error, bad_request, expired
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.request_options import ListOptions, Representation
from skyflo_sandbox.cluster.selectors import object_filter
from skyflo_sandbox.cluster.state import Expired, State

__all__ = ["CONTINUE_EXPIRED", "ResponseFormatter", "build_list", "list_envelope"]

CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)
_INCLUDE_OBJECT_VALUES = ("", "Metadata", "None", "Object")


@dataclass(frozen=True)
class ResponseFormatter:
    """Format objects in one representation.

    `include` selects which part of the objects table rows contain; `now` is the reference for ages.
    """

    representation: Representation
    include: str
    now: float

    def format_object(self, kind: Kind, body: JsonObject) -> JsonObject:
        if self.representation == "table":
            return self.format_table(kind, [body], {"resourceVersion": text_at(body, "metadata", "resourceVersion")})
        return _partial_metadata(body) if self.representation == "metadata" else body

    def format_list(self, kind: Kind, bodies: list[JsonObject], metadata: JsonObject) -> JsonObject:
        if self.representation == "table":
            return self.format_table(kind, bodies, metadata)
        if self.representation == "metadata":
            items: list[JsonValue] = [_partial_metadata(body) for body in bodies]
            return list_envelope("PartialObjectMetadataList", "meta.k8s.io/v1", items, metadata)
        items = [body if kind.is_custom else _list_item(body) for body in bodies]
        return list_envelope(f"{kind.kind}List", kind.api_version, items, metadata)

    def format_table(
        self, kind: Kind, bodies: list[JsonObject], metadata: JsonObject, *, with_columns: bool = True
    ) -> JsonObject:
        """Build a Table. In a watch, only the first one needs column definitions."""
        rows: list[JsonValue] = [{**tables.row(kind, body, self.now), "object": self._object(body)} for body in bodies]
        definitions: list[JsonValue] = [*tables.columns(kind)] if with_columns else []
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": definitions,
            "rows": rows,
        }

    def _object(self, body: JsonObject) -> JsonValue:
        if self.include == "None":
            return None
        return body if self.include == "Object" else _partial_metadata(body)

    def check_include(self) -> "ResponseFormatter":
        if self.include not in _INCLUDE_OBJECT_VALUES:
            raise bad_request(f"unrecognized includeObject value: {self.include[:100]!r}")
        return self


def list_envelope(kind: str, api_version: str, items: list[JsonValue], metadata: JsonObject) -> JsonObject:
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items}


def _list_item(body: JsonObject) -> JsonObject:
    """Drop the fields that all items of a list share."""
    return {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}


def _partial_metadata(body: JsonObject) -> JsonObject:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object_at(body, "metadata"),
    }


@dataclass(frozen=True)
class _ContinueToken:
    """Position in a paged list: the last key, and the revision of the first page."""

    revision: int
    last_key: tuple[str, str]

    def encode(self) -> str:
        namespace, name = self.last_key
        content = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": f"{namespace}/{name}"}
        return urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


def _parse_continue_token(text: str) -> _ContinueToken:
    try:
        content = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    revision, start = number_at(content, "rv"), text_at(content, "start")
    if text_at(content, "v") != "meta.k8s.io/v1" or revision is None or revision < 1 or "/" not in start:
        raise bad_request("invalid continue token: continue key is not valid: this server did not issue it")
    namespace, _, name = start.partition("/")
    return _ContinueToken(revision, (namespace, name))


def build_list(
    state: State, kind: Kind, namespace: str, options: ListOptions, formatter: ResponseFormatter
) -> JsonObject:
    """Build a list or one page of it; later pages show the state of the first page. Raises `ApiError`."""
    matches = object_filter(options.label_selector, options.field_selector, kind)
    after = _parse_continue_token(options.continue_token) if options.continue_token else None
    revision = _list_revision(state, options, after)
    found = [
        body
        for body in _objects_at(state, kind, revision)
        if (not namespace or text_at(body, "metadata", "namespace") == namespace)
        and (after is None or _key(body) > after.last_key)
        and matches(body)
    ]
    page = found[: options.limit] if options.limit else found
    metadata: JsonObject = {"resourceVersion": str(revision)}
    if len(page) < len(found):
        metadata["continue"] = _ContinueToken(revision, _key(page[-1])).encode()
        if not options.label_selector and not options.field_selector:
            metadata["remainingItemCount"] = len(found) - len(page)
    return formatter.format_list(kind, page, metadata)


def _key(body: JsonObject) -> tuple[str, str]:
    return text_at(body, "metadata", "namespace"), text_at(body, "metadata", "name")


def _list_revision(state: State, options: ListOptions, after: _ContinueToken | None) -> int:
    """Return the revision to read: that of the first page, an exact one that was requested, or the latest."""
    if after is not None:
        return after.revision
    wanted = options.revision or 0
    if wanted > state.revision:
        raise revision_too_large(wanted, state.revision)
    return wanted if options.version_match == "Exact" and wanted else state.revision


def revision_too_large(wanted: int, current: int) -> ApiError:
    causes: list[JsonValue] = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return api_error(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def _objects_at(state: State, kind: Kind, revision: int) -> list[JsonObject]:
    if revision >= state.revision:
        return state.objects(kind)
    try:
        return state.objects_at(kind, revision)
    except Expired as error:
        raise expired(CONTINUE_EXPIRED) from error
