"""Parse requests: query options, accepted representation, body."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.cluster import protobuf
from skyflo_sandbox.cluster.body_decoder import decode_body
from skyflo_sandbox.cluster.errors import (
    ApiError,
    FieldProblem,
    api_error,
    bad_request,
    forbidden_value,
    invalid,
    invalid_value,
    quote,
    required_value,
    unsupported_value,
)

__all__ = [
    "ListOptions",
    "Representation",
    "field_manager",
    "is_dry_run",
    "list_options",
    "media_type",
    "negotiate_representation",
    "options_error",
    "parse_bool_param",
    "parse_int_param",
    "read_body",
    "read_object",
]

MAX_BODY_BYTES = 3 * 1024 * 1024
_MAX_INTEGER = 2**63
_MAX_MANAGER_LENGTH = 128
_BODY_MEDIA_TYPES = ("application/json", "application/yaml", protobuf.MEDIA_TYPE, "")
Representation = Literal["objects", "table", "metadata"]


async def read_body(request: Request) -> bytes:
    """Read the body. Raises `ApiError` (413) if it is too large."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise api_error(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY_BYTES}")
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_object(request: Request, kind: str) -> JsonObject:
    """Read the object in the body. Raises `ApiError`: 415 for unsupported formats, 400 for invalid content."""
    type_ = media_type(request)
    if type_ not in _BODY_MEDIA_TYPES:
        known = ", ".join(_BODY_MEDIA_TYPES[:3])
        message = f"the body of the request was in an unknown format - accepted media types include: {known}"
        raise api_error(415, "UnsupportedMediaType", message)
    try:
        content = await read_body(request)
        value = protobuf.decode_protobuf(content, kind) if type_ == protobuf.MEDIA_TYPE else decode_body(content, type_)
    except ValueError as error:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): {error}") from error
    if not isinstance(value, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): it is not a JSON object")
    return value


def parse_int_param(query: Mapping[str, str], name: str) -> int | None:
    """Parse an integer parameter; None if it is absent. Raises `ApiError` (400)."""
    text = query.get(name, "")
    if not text:
        return None
    if not re.fullmatch("[+-]?[0-9]{1,19}", text) or abs(int(text)) >= _MAX_INTEGER:
        raise bad_request(f"strconv.ParseInt: parsing {quote(text[:100])}: invalid syntax")
    return int(text)


def parse_bool_param(query: Mapping[str, str], name: str) -> bool:
    """Parse a boolean parameter: any value except `0` and `false` is true."""
    return query.get(name, "false").lower() not in ("0", "false")


def is_dry_run(values: list[str], options: str) -> bool:
    """Return whether a dry run is requested. Raises `ApiError` (422) for values other than `All`."""
    given = [value for value in values if value]
    if any(value != "All" for value in given):
        raise options_error(options, unsupported_value("dryRun", [*given], ("All",)))
    return bool(given)


def options_error(options: str, problem: FieldProblem) -> ApiError:
    return invalid(options, "meta.k8s.io", "", [problem])


def field_manager(request: Request, options: str, *, is_required: bool = False) -> str:
    """Return the field manager: the `fieldManager` parameter, otherwise the product name of the User-Agent."""
    named = request.query_params.get("fieldManager", "")
    if len(named.encode()) > _MAX_MANAGER_LENGTH:
        raise options_error(options, invalid_value("fieldManager", named[:200], "may not be more than 128 bytes"))
    if named and not named.isprintable():
        raise options_error(options, invalid_value("fieldManager", named, "should only contain printable characters"))
    if is_required and not named:
        raise options_error(options, required_value("fieldManager", "is required for apply patch"))
    agent = request.headers.get("user-agent", "").partition("/")[0][:_MAX_MANAGER_LENGTH]
    return named or (agent if agent.isprintable() else "") or "unknown"


@dataclass(frozen=True)
class ListOptions:
    """Options of list and watch requests. A `revision` of None means the latest."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    revision: int | None = None
    version_match: str = ""
    watch: bool = False
    timeout_seconds: int | None = None
    bookmarks: bool = False
    initial_events: bool = False


def list_options(query: Mapping[str, str]) -> ListOptions:
    """Parse list options. Raises `ApiError` for invalid or contradicting values."""
    found = ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        limit=max(0, parse_int_param(query, "limit") or 0),
        continue_token=query.get("continue", ""),
        revision=_parse_revision(query.get("resourceVersion", "")),
        version_match=query.get("resourceVersionMatch", ""),
        watch=parse_bool_param(query, "watch"),
        timeout_seconds=parse_int_param(query, "timeoutSeconds"),
        bookmarks=parse_bool_param(query, "allowWatchBookmarks"),
        initial_events=parse_bool_param(query, "sendInitialEvents"),
    )
    if problem := _find_conflict(found, query):
        raise options_error("ListOptions", problem)
    return found


def _find_conflict(options: ListOptions, query: Mapping[str, str]) -> FieldProblem | None:
    if "sendInitialEvents" in query and not options.watch:
        return forbidden_value("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if "sendInitialEvents" in query and options.version_match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        return forbidden_value("resourceVersionMatch", why)
    if options.version_match and options.version_match not in ("Exact", "NotOlderThan"):
        return unsupported_value("resourceVersionMatch", options.version_match, ("Exact", "NotOlderThan", ""))
    if options.version_match == "Exact" and options.revision == 0:
        return forbidden_value(
            "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        )
    if options.version_match and options.revision is None and not options.initial_events:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        return forbidden_value("resourceVersionMatch", why)
    return None


def _parse_revision(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,18}", text):
        raise bad_request(f"resourceVersion: Invalid value: {quote(text[:100])}: it is not a revision")
    return int(text)


def negotiate_representation(accept: str, *, for_list: bool) -> Representation:
    """Choose the representation for the first supported media type in Accept. Raises `ApiError` (406)."""
    for each in (accept or "*/*").split(","):
        type_, *parameters = [part.strip() for part in each.split(";")]
        if type_ not in ("application/json", "application/*", "*/*"):
            continue
        named = {key: value for key, _, value in (part.partition("=") for part in parameters)}
        wanted = named.get("as", "")
        if not wanted:
            return "objects"
        if named.get("g") == "meta.k8s.io" and named.get("v") == "v1":
            if wanted == "Table":
                return "table"
            if wanted == ("PartialObjectMetadataList" if for_list else "PartialObjectMetadata"):
                return "metadata"
    message = "only the following media types are accepted: application/json"
    raise api_error(406, "NotAcceptable", message, {})
