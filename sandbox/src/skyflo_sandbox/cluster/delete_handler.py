"""Handle DELETE of one object or of a collection."""

from dataclasses import dataclass

from starlette.requests import Request

from skyflo_common.jsontypes import JsonObject, JsonValue, text_at
from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.body_decoder import decode_body
from skyflo_sandbox.cluster.errors import bad_request, method_not_allowed, not_in_sandbox
from skyflo_sandbox.cluster.kinds import NAMESPACE
from skyflo_sandbox.cluster.protobuf import MEDIA_TYPE, decode_protobuf
from skyflo_sandbox.cluster.request_options import is_dry_run, list_options, media_type, parse_int_param, read_body
from skyflo_sandbox.cluster.responses import ResponseFormatter, list_envelope
from skyflo_sandbox.cluster.routing import ResourcePath
from skyflo_sandbox.cluster.selectors import object_filter

__all__ = ["delete_objects"]


@dataclass(frozen=True)
class _Options:
    dry_run: bool = False
    propagation: str = "Background"
    grace_seconds: int | None = None
    uid: str = ""
    revision: str = ""


async def delete_objects(api: ClusterApi, target: ResourcePath, request: Request, now: float) -> JsonObject:
    """Delete the target and return the response body: a Status, an object that still has to end, or a list."""
    if not target.kind.stored:
        raise not_in_sandbox(f"deleting {target.kind.resource}", 501)
    content = await read_body(request)
    options = _from_body(content, media_type(request)) if content else _from_query(request)
    if target.subresource or (not target.name and (target.kind == NAMESPACE or _spans_all_namespaces(target))):
        raise method_not_allowed()
    if target.name:
        return _delete_one(api, target, target.name, options)
    list_query = list_options(request.query_params)
    matches = object_filter(list_query.label_selector, list_query.field_selector, target.kind)
    chosen = [body for body in api.state.objects(target.kind, target.namespace) if matches(body)]
    for body in chosen:
        _delete_one(api, target, text_at(body, "metadata", "name"), options)
    items: list[JsonValue] = [*chosen]
    found = list_envelope(
        f"{target.kind.kind}List", target.kind.api_version, items, {"resourceVersion": str(api.state.revision)}
    )
    return found if not items else ResponseFormatter("objects", "", now).format_list(target.kind, chosen, {})


def _spans_all_namespaces(target: ResourcePath) -> bool:
    return target.kind.namespaced and not target.namespace


def _delete_one(api: ClusterApi, target: ResourcePath, name: str, options: _Options) -> JsonObject:
    return api.delete(
        target.kind,
        target.namespace,
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
        grace_seconds=_clamp_grace_period(parse_int_param(query, "gracePeriodSeconds")),
    )


def _clamp_grace_period(seconds: int | None) -> int | None:
    """Treat a negative grace period as one second, as API servers do."""
    return 1 if seconds is not None and seconds < 0 else seconds


def _from_body(content: bytes, type_: str) -> _Options:
    try:
        in_protobuf = type_ == MEDIA_TYPE
        body = decode_protobuf(content, "DeleteOptions") if in_protobuf else decode_body(content, "application/yaml")
    except ValueError as error:
        raise bad_request(f"couldn't get version/kind; {error}") from error
    if not isinstance(body, dict) or body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("the body of a DELETE must be a DeleteOptions object")
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
    dry_run_values = [str(each) for each in dry_run] if isinstance(dry_run, list) else []
    default = "Orphan" if body.get("orphanDependents") is True else "Background"
    return _Options(
        dry_run=is_dry_run(dry_run_values, "DeleteOptions"),
        propagation=policy if isinstance(policy, str) and policy else default,
        grace_seconds=_clamp_grace_period(grace) if isinstance(grace, int) else None,
        uid=text_at(preconditions, "uid"),
        revision=text_at(preconditions, "resourceVersion"),
    )
