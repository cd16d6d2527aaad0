"""What a request asks for: its query as typed options, the form of answer that it accepts, its body."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from skyflo_sandbox.cluster import protobuf
from skyflo_sandbox.cluster.decoding import decoded
from skyflo_sandbox.cluster.statuses import (
    Problem,
    Refused,
    bad_request,
    failure,
    forbidden_value,
    invalid,
    quoted,
    required,
    unsupported,
    wrong,
)
from skyflo_sandbox.jsontypes import JsonObject

__all__ = [
    "Form",
    "ListOptions",
    "boolean",
    "form",
    "is_dry_run",
    "list_options",
    "manager_of",
    "media_type",
    "number",
    "object_body",
    "options_problem",
    "read_body",
]

BODY_BYTES = 3 * 1024 * 1024
_NUMBERS_AT_MOST = 2**63
_MANAGER_CHARACTERS = 128
_BODY_TYPES = ("application/json", "application/yaml", protobuf.MEDIA_TYPE, "")
Form = Literal["objects", "table", "metadata"]


async def read_body(request: Request) -> bytes:
    """The body. Raises `Refused` (413) where it is too large."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES:
            raise failure(413, "RequestEntityTooLarge", f"Request entity too large: limit is {BODY_BYTES}")
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def object_body(request: Request, kind: str) -> JsonObject:
    """The object that a body holds. Raises `Refused`: 415 for a format that is not taken, 400 for garbage."""
    type_ = media_type(request)
    if type_ not in _BODY_TYPES:
        known = ", ".join(_BODY_TYPES[:3])
        message = f"the body of the request was in an unknown format - accepted media types include: {known}"
        raise failure(415, "UnsupportedMediaType", message)
    try:
        content = await read_body(request)
        value = protobuf.decoded_protobuf(content, kind) if type_ == protobuf.MEDIA_TYPE else decoded(content, type_)
    except ValueError as error:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): {error}") from error
    if not isinstance(value, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): it is no JSON object")
    return value


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole number of the query; None where it is not given. Raises `Refused` (400)."""
    text = query.get(name, "")
    if not text:
        return None
    if not re.fullmatch("[+-]?[0-9]{1,19}", text) or abs(int(text)) >= _NUMBERS_AT_MOST:
        raise bad_request(f"strconv.ParseInt: parsing {quoted(text[:100])}: invalid syntax")
    return int(text)


def boolean(query: Mapping[str, str], name: str) -> bool:
    """Whether the query asks for it: any value counts as yes but `0` and `false`."""
    return query.get(name, "false").lower() not in ("0", "false")


def is_dry_run(values: list[str], options: str) -> bool:
    """Raises `Refused` (422) for a dry-run of another kind than `All`."""
    given = [value for value in values if value]
    if any(value != "All" for value in given):
        raise options_problem(options, unsupported("dryRun", [*given], ("All",)))
    return bool(given)


def options_problem(options: str, problem: Problem) -> Refused:
    return invalid(options, "meta.k8s.io", "", [problem])


def manager_of(request: Request, options: str, *, needed: bool = False) -> str:
    """Who writes: the query's fieldManager, else the program's name in the User-Agent."""
    named = request.query_params.get("fieldManager", "")
    if len(named.encode()) > _MANAGER_CHARACTERS:
        raise options_problem(options, wrong("fieldManager", named[:200], "may not be more than 128 bytes"))
    if named and not named.isprintable():
        raise options_problem(options, wrong("fieldManager", named, "should only contain printable characters"))
    if needed and not named:
        raise options_problem(options, required("fieldManager", "is required for apply patch"))
    agent = request.headers.get("user-agent", "").partition("/")[0][:_MANAGER_CHARACTERS]
    return named or (agent if agent.isprintable() else "") or "unknown"


@dataclass(frozen=True)
class ListOptions:
    """Which objects, of which revision (None: the latest), how many, and whether their changes too."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continues: str = ""
    revision: int | None = None
    match: str = ""
    watch: bool = False
    seconds: int | None = None
    bookmarks: bool = False
    initial_events: bool = False


def list_options(query: Mapping[str, str]) -> ListOptions:
    """Raises `Refused` for what can't be read or does not go together."""
    found = ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        limit=max(0, number(query, "limit") or 0),
        continues=query.get("continue", ""),
        revision=_revision(query.get("resourceVersion", "")),
        match=query.get("resourceVersionMatch", ""),
        watch=boolean(query, "watch"),
        seconds=number(query, "timeoutSeconds"),
        bookmarks=boolean(query, "allowWatchBookmarks"),
        initial_events=boolean(query, "sendInitialEvents"),
    )
    if problem := _misfit(found, query):
        raise options_problem("ListOptions", problem)
    return found


def _misfit(options: ListOptions, query: Mapping[str, str]) -> Problem | None:
    if "sendInitialEvents" in query and not options.watch:
        return forbidden_value("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if "sendInitialEvents" in query and options.match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        return forbidden_value("resourceVersionMatch", why)
    if options.match and options.match not in ("Exact", "NotOlderThan"):
        return unsupported("resourceVersionMatch", options.match, ("Exact", "NotOlderThan", ""))
    if options.match == "Exact" and options.revision == 0:
        return forbidden_value(
            "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        )
    if options.match and options.revision is None and not options.initial_events:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        return forbidden_value("resourceVersionMatch", why)
    return None


def _revision(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,18}", text):
        raise bad_request(f"resourceVersion: Invalid value: {quoted(text[:100])}: it is not a revision")
    return int(text)


def form(accept: str, *, listing: bool) -> Form:
    """The form of the first media type of an Accept header that can be served. Raises `Refused` (406)."""
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
            if wanted == ("PartialObjectMetadataList" if listing else "PartialObjectMetadata"):
                return "metadata"
    message = "only the following media types are accepted: application/json"
    raise failure(406, "NotAcceptable", message, {})
