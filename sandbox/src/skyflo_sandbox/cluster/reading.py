"""What a GET answers: one object or a list of them, whole, as rows of a table, or only their metadata."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

import orjson

from skyflo_sandbox.cluster import tables
from skyflo_sandbox.cluster.asking import Form, ListOptions
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.selectors import matching
from skyflo_sandbox.cluster.state import Expired, State
from skyflo_sandbox.cluster.statuses import Refused, bad_request, expired, failure
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, number_at, object_at, text_at

__all__ = ["TOO_OLD", "Shown", "listing", "wrapped"]

TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)
_INCLUDED = ("", "Metadata", "None", "Object")


@dataclass(frozen=True)
class Shown:
    """The form of an answer. `include` is what a table's rows hold of their objects; `now` is for ages."""

    form: Form
    include: str
    now: float

    def one(self, kind: Kind, body: JsonObject) -> JsonObject:
        if self.form == "table":
            return self.table(kind, [body], {"resourceVersion": text_at(body, "metadata", "resourceVersion")})
        return _partial(body) if self.form == "metadata" else body

    def several(self, kind: Kind, bodies: list[JsonObject], metadata: JsonObject) -> JsonObject:
        if self.form == "table":
            return self.table(kind, bodies, metadata)
        if self.form == "metadata":
            items: list[JsonValue] = [_partial(body) for body in bodies]
            return wrapped("PartialObjectMetadataList", "meta.k8s.io/v1", items, metadata)
        items = [body if kind.is_custom else _item(body) for body in bodies]
        return wrapped(f"{kind.kind}List", kind.api_version, items, metadata)

    def table(self, kind: Kind, bodies: list[JsonObject], metadata: JsonObject, *, heads: bool = True) -> JsonObject:
        """A Table; its first one in a watch has column definitions, the others need none."""
        rows: list[JsonValue] = [{**tables.row(kind, body, self.now), "object": self._object(body)} for body in bodies]
        definitions: list[JsonValue] = [*tables.columns(kind)] if heads else []
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
        return body if self.include == "Object" else _partial(body)

    def check(self) -> "Shown":
        if self.include not in _INCLUDED:
            raise bad_request(f"unrecognized includeObject value: {self.include[:100]!r}")
        return self


def wrapped(kind: str, api_version: str, items: list[JsonValue], metadata: JsonObject) -> JsonObject:
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items}


def _item(body: JsonObject) -> JsonObject:
    """Lists leave out what every item has in common."""
    return {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}


def _partial(body: JsonObject) -> JsonObject:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object_at(body, "metadata"),
    }


@dataclass(frozen=True)
class _Cursor:
    """Where a list goes on: after this key, in the state of this revision."""

    revision: int
    after: tuple[str, str]

    def token(self) -> str:
        namespace, name = self.after
        content = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": f"{namespace}/{name}"}
        return urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


def _cursor(token: str) -> _Cursor:
    try:
        content = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    revision, start = number_at(content, "rv"), text_at(content, "start")
    if text_at(content, "v") != "meta.k8s.io/v1" or revision is None or revision < 1 or "/" not in start:
        raise bad_request("invalid continue token: continue key is not valid: it was not made here")
    namespace, _, name = start.partition("/")
    return _Cursor(revision, (namespace, name))


def listing(state: State, kind: Kind, namespace: str, options: ListOptions, shown: Shown) -> JsonObject:
    """A list, or a page of it: later pages show the state of the first one. Raises `Refused`."""
    fits = matching(options.label_selector, options.field_selector, kind)
    cursor = _cursor(options.continues) if options.continues else None
    revision = _revision(state, options, cursor)
    found = [
        body
        for body in _objects(state, kind, revision)
        if (not namespace or text_at(body, "metadata", "namespace") == namespace)
        and (cursor is None or _key(body) > cursor.after)
        and fits(body)
    ]
    page = found[: options.limit] if options.limit else found
    metadata: JsonObject = {"resourceVersion": str(revision)}
    if len(page) < len(found):
        metadata["continue"] = _Cursor(revision, _key(page[-1])).token()
        if not options.label_selector and not options.field_selector:
            metadata["remainingItemCount"] = len(found) - len(page)
    return shown.several(kind, page, metadata)


def _key(body: JsonObject) -> tuple[str, str]:
    return text_at(body, "metadata", "namespace"), text_at(body, "metadata", "name")


def _revision(state: State, options: ListOptions, cursor: _Cursor | None) -> int:
    """At which revision to read: that of the first page, or of an exact wish, else the latest."""
    if cursor is not None:
        return cursor.revision
    wanted = options.revision or 0
    if wanted > state.revision:
        raise too_large_revision(wanted, state.revision)
    return wanted if options.match == "Exact" and wanted else state.revision


def too_large_revision(wanted: int, current: int) -> Refused:
    causes: list[JsonValue] = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return failure(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def _objects(state: State, kind: Kind, revision: int) -> list[JsonObject]:
    if revision >= state.revision:
        return state.objects(kind)
    try:
        return state.as_of(kind, revision)
    except Expired as error:
        raise expired(TOO_OLD) from error
