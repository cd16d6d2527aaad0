"""DELETE, of one object or of all that selectors choose."""

from dataclasses import dataclass

from starlette.requests import Request

from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.asking import is_dry_run, list_options, media_type, number, read_body
from skyflo_sandbox.cluster.decoding import decoded
from skyflo_sandbox.cluster.kinds import NAMESPACE
from skyflo_sandbox.cluster.protobuf import MEDIA_TYPE, decoded_protobuf
from skyflo_sandbox.cluster.reading import Shown, wrapped
from skyflo_sandbox.cluster.routing import Place
from skyflo_sandbox.cluster.selectors import matching
from skyflo_sandbox.cluster.statuses import bad_request, method_not_allowed, not_here
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, text_at

__all__ = ["deleted"]


@dataclass(frozen=True)
class _Options:
    dry_run: bool = False
    propagation: str = "Background"
    grace_seconds: int | None = None
    uid: str = ""
    revision: str = ""


async def deleted(api: ClusterApi, place: Place, request: Request, now: float) -> JsonObject:
    """What the API server answers: a Status, or the object that waits for its end."""
    if not place.kind.stored:
        raise not_here(f"deleting {place.kind.resource}", 501)
    content = await read_body(request)
    options = _from_body(content, media_type(request)) if content else _from_query(request)
    if place.subresource or (not place.name and (place.kind == NAMESPACE or _everywhere(place))):
        raise method_not_allowed()
    if place.name:
        return _one(api, place, place.name, options)
    asked = list_options(request.query_params)
    fits = matching(asked.label_selector, asked.field_selector, place.kind)
    chosen = [body for body in api.state.objects(place.kind, place.namespace) if fits(body)]
    for body in chosen:
        _one(api, place, text_at(body, "metadata", "name"), options)
    items: list[JsonValue] = [*chosen]
    found = wrapped(
        f"{place.kind.kind}List", place.kind.api_version, items, {"resourceVersion": str(api.state.revision)}
    )
    return found if not items else Shown("objects", "", now).several(place.kind, chosen, {})


def _everywhere(place: Place) -> bool:
    return place.kind.namespaced and not place.namespace


def _one(api: ClusterApi, place: Place, name: str, options: _Options) -> JsonObject:
    return api.delete(
        place.kind,
        place.namespace,
        name,
        propagation=options.propagation,
        dry_run=options.dry_run,
        grace_seconds=options.grace_seconds,
        uid=options.uid,
        revision=options.revision,
    )


def _from_query(request: Request) -> _Options:
    query = request.query_params
    return _Options(
        dry_run=is_dry_run(query.getlist("dryRun"), "DeleteOptions"),
        propagation=query.get("propagationPolicy") or "Background",
        grace_seconds=_grace(number(query, "gracePeriodSeconds")),
    )


def _grace(seconds: int | None) -> int | None:
    """Less than none is taken as a second, as API servers do."""
    return 1 if seconds is not None and seconds < 0 else seconds


def _from_body(content: bytes, type_: str) -> _Options:
    try:
        in_protobuf = type_ == MEDIA_TYPE
        body = decoded_protobuf(content, "DeleteOptions") if in_protobuf else decoded(content, "application/yaml")
    except ValueError as error:
        raise bad_request(f"couldn't get version/kind; {error}") from error
    if not isinstance(body, dict) or body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("the body of a deletion is a DeleteOptions object")
    grace, preconditions = body.get("gracePeriodSeconds"), body.get("preconditions")
    policy, dry_run = body.get("propagationPolicy"), body.get("dryRun")
    for field, value, types in (
        ("gracePeriodSeconds", grace, int),
        ("preconditions", preconditions, dict),
        ("propagationPolicy", policy, str),
        ("dryRun", dry_run, list),
    ):
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            raise bad_request(f"json: cannot unmarshal into Go struct field DeleteOptions.{field}")
    tried = [str(each) for each in dry_run] if isinstance(dry_run, list) else []
    default = "Orphan" if body.get("orphanDependents") is True else "Background"
    return _Options(
        dry_run=is_dry_run(tried, "DeleteOptions"),
        propagation=policy if isinstance(policy, str) and policy else default,
        grace_seconds=_grace(grace) if isinstance(grace, int) else None,
        uid=text_at(preconditions, "uid"),
        revision=text_at(preconditions, "resourceVersion"),
    )
