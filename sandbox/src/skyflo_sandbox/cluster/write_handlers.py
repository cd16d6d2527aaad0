"""Handle POST, PUT and PATCH: parse the request and call the write path."""

from dataclasses import dataclass

import orjson
from starlette.requests import Request

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, text_at
from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.body_decoder import decode_body
from skyflo_sandbox.cluster.errors import (
    ApiError,
    api_error,
    bad_request,
    invalid,
    invalid_value,
    method_not_allowed,
    not_in_sandbox,
)
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.patches import apply_json_patch, apply_merge_patch
from skyflo_sandbox.cluster.ports import UpdateScope
from skyflo_sandbox.cluster.request_options import field_manager, is_dry_run, media_type, read_body, read_object
from skyflo_sandbox.cluster.routing import ResourcePath
from skyflo_sandbox.cluster.scale import apply_scale, build_scale
from skyflo_sandbox.cluster.strategic_merge import apply_strategic_patch
from skyflo_sandbox.cluster.type_check import drop_unknown_fields, find_type_error
from skyflo_sandbox.cluster.validation import check_types

__all__ = ["WriteResult", "create_object", "patch_object", "replace_object"]

APPLY = "application/apply-patch+yaml"
_PATCH_TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_SERVER_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "managedFields",
)


@dataclass(frozen=True)
class WriteResult:
    """The stored object, whether it was created, and warnings for the client."""

    body: JsonObject
    is_new: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _WriteOptions:
    """Options of a write: dry run, field manager, and how to treat unknown fields."""

    dry_run: bool
    manager: str
    validation: str

    def drop_unknown(self, kind: Kind, body: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the body without unknown fields, and warnings. Raises `ValueError` under strict validation."""
        kept, unknown = drop_unknown_fields(kind, body)
        texts = [f'unknown field "{path}"' for path in unknown]
        if texts and self.validation == "Strict":
            raise ValueError(f"strict decoding error: {', '.join(texts)}")
        return kept, tuple(texts) if self.validation == "Warn" else ()


def _parse_options(request: Request, options_kind: str, *, apply: bool = False) -> _WriteOptions:
    validation = request.query_params.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Strict", "Warn"):
        problem = invalid_value("fieldValidation", validation[:100], "must be one of Ignore, Warn, Strict")
        raise invalid(options_kind, "meta.k8s.io", "", [problem])
    dry_run = is_dry_run(request.query_params.getlist("dryRun"), options_kind)
    return _WriteOptions(dry_run, field_manager(request, options_kind, is_required=apply), validation)


async def create_object(api: ClusterApi, target: ResourcePath, request: Request) -> WriteResult:
    if target.name:
        raise method_not_allowed()
    kind, options = target.kind, _parse_options(request, "CreateOptions")
    if not kind.stored:
        raise not_in_sandbox(f"creating {kind.resource}", 501)
    if kind.namespaced and not target.namespace:
        raise method_not_allowed()
    body = await read_object(request, kind.kind)
    _check_kind(kind, body)
    if text_at(body, "metadata", "resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    body, warnings = _drop_unknown(kind, body, options)
    check_types(kind, body)
    stored = api.create(
        kind, target.namespace, _strip_server_fields(kind, body), manager=options.manager, dry_run=options.dry_run
    )
    return WriteResult(stored, is_new=True, warnings=warnings)


def _strip_server_fields(kind: Kind, body: JsonObject) -> JsonObject:
    """Return a new object without the fields that only the server sets."""
    metadata = {key: value for key, value in object_at(body, "metadata").items() if key not in _SERVER_FIELDS}
    dropped = "status" if "status" in kind.subresources else ""
    return {key: value for key, value in body.items() if key != dropped} | {"metadata": metadata}


def _drop_unknown(kind: Kind, body: JsonObject, options: _WriteOptions) -> tuple[JsonObject, tuple[str, ...]]:
    try:
        return options.drop_unknown(kind, body)
    except ValueError as error:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
        raise bad_request(message) from error


def _check_kind(kind: Kind, body: JsonObject) -> None:
    if "metadata" in body and not isinstance(body["metadata"], dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): metadata is not an object"
        )
    named, version = body.get("kind", kind.kind), body.get("apiVersion", kind.api_version)
    if (named or kind.kind, version or kind.api_version) != (kind.kind, kind.api_version):
        shown = str(version).rpartition("/")[2][:100]
        why = f'no kind "{str(named)[:100]}" is registered for version "{str(version)[:100]}" in the sandbox'
        raise bad_request(f'{str(named)[:100]} in version "{shown}" cannot be handled as a {kind.kind}: {why}')


async def replace_object(api: ClusterApi, target: ResourcePath, request: Request) -> WriteResult:
    options = _parse_options(request, "UpdateOptions")
    kind = target.kind
    is_scale = target.subresource == "scale"
    _check_writable(target)
    body = await read_object(request, "Scale" if is_scale else kind.kind)
    if is_scale:
        return _update_scale(api, target, body, options)
    _check_kind(kind, body)
    body, warnings = _drop_unknown(kind, body, options)
    if not text_at(body, "metadata", "name"):
        raise bad_request(f"the name of the object () does not match the name on the URL ({target.name})")
    if kind.is_custom and not text_at(body, "metadata", "resourceVersion"):
        api.live(kind, target.namespace, target.name)
        problem = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(kind.kind, kind.group, target.name, [problem])
    return WriteResult(_update(api, target, body, options), warnings=warnings)


def _check_writable(target: ResourcePath) -> None:
    if not target.name or target.subresource == "log":
        raise method_not_allowed()
    if not target.kind.stored:
        raise not_in_sandbox(f"changing {target.kind.resource}", 501)


def _update(api: ClusterApi, target: ResourcePath, body: JsonObject, options: _WriteOptions) -> JsonObject:
    scope: UpdateScope = "status" if target.subresource == "status" else "main"
    return api.update(
        target.kind,
        target.namespace,
        target.name,
        body,
        manager=options.manager,
        dry_run=options.dry_run,
        scope=scope,
    )


def _update_scale(api: ClusterApi, target: ResourcePath, scale: JsonObject, options: _WriteOptions) -> WriteResult:
    live = api.live(target.kind, target.namespace, target.name)
    after = api.update(
        target.kind,
        target.namespace,
        target.name,
        apply_scale(target.kind, live, scale),
        manager=options.manager,
        dry_run=options.dry_run,
        scope="main",
        subresource="scale",
    )
    return WriteResult(build_scale(after))


async def patch_object(api: ClusterApi, target: ResourcePath, request: Request) -> WriteResult:
    content_type = media_type(request)
    _check_writable(target)
    content = await read_body(request)
    if content_type == APPLY:
        return _apply_server_side(api, target, content, request)
    if content_type not in _PATCH_TYPES:
        raise api_error(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    patch = _parse_patch(content)
    options = _parse_options(request, "PatchOptions")
    live = api.live(target.kind, target.namespace, target.name)
    if target.subresource == "scale":
        return _update_scale(api, target, _apply_patch(target.kind, build_scale(live), patch, content_type), options)
    body = _apply_patch(target.kind, live, patch, content_type)
    _check_uid(target.kind, live, body)
    warnings: tuple[str, ...] = ()
    try:
        body, warnings = options.drop_unknown(target.kind, body)
    except ValueError as error:
        raise _invalid_result(body, str(error)) from error
    if found := find_type_error(target.kind, body):
        raise _invalid_result(body, found)
    return WriteResult(_update(api, target, body, options), warnings=warnings)


def _invalid_result(body: JsonObject, why: str) -> ApiError:
    """Build the error for a patch whose result is not a valid object of its kind."""
    return invalid("", "", "", [invalid_value("patch", orjson.dumps(body).decode()[:10_000], why)])


def _parse_patch(content: bytes) -> JsonValue:
    try:
        return decode_body(content, "application/json")
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error


def _apply_patch(kind: Kind, target: JsonObject, patch: JsonValue, content_type: str) -> JsonObject:
    if content_type == _PATCH_TYPES[0]:
        found = apply_json_patch(target, patch)
    elif not isinstance(patch, dict):
        problem = "json: cannot unmarshal array into Go value of type map[string]interface {}"
        raise bad_request(f"error decoding patch: {problem}")
    elif content_type == _PATCH_TYPES[1]:
        found = apply_merge_patch(target, patch)
    elif kind.is_custom:
        message = "the body of the request was in an unknown format - accepted media types include: "
        accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        raise api_error(415, "UnsupportedMediaType", message + accepted)
    else:
        found = apply_strategic_patch(kind, target, patch)
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise bad_request("error decoding patch: the result is not an object")
    return found


def _check_uid(kind: Kind, live: JsonObject, body: JsonObject) -> None:
    uid = object_at(body, "metadata").get("uid")
    if uid is not None and uid != text_at(live, "metadata", "uid"):
        problem = invalid_value("metadata.uid", uid, "field is immutable")
        raise invalid(kind.kind, kind.group, text_at(live, "metadata", "name"), [problem])


def _apply_server_side(api: ClusterApi, target: ResourcePath, content: bytes, request: Request) -> WriteResult:
    """Handle server-side apply."""
    options = _parse_options(request, "PatchOptions", apply=True)
    if target.subresource:
        raise not_in_sandbox(f"applying to {target.kind.resource}/{target.subresource}", 501)
    config = _parse_configuration(target, content)
    kept, unknown = drop_unknown_fields(target.kind, config)
    found = f".{unknown[0]}: field not declared in schema" if unknown else find_type_error(target.kind, config)
    if found:
        about = f"{target.namespace}/{target.name}; {target.kind.api_version}, Kind={target.kind.kind}"
        raise bad_request(f"failed to create typed patch object ({about}): {found}")
    live = api.state.get(target.kind, target.namespace, target.name)
    if live is not None:
        _check_uid(target.kind, live, kept)
    force = request.query_params.get("force", "").lower() in ("1", "t", "true")
    body, new = api.apply(
        target.kind,
        target.namespace,
        target.name,
        kept,
        manager=options.manager,
        dry_run=options.dry_run,
        force=force,
    )
    return WriteResult(body, is_new=new)


def _parse_configuration(target: ResourcePath, content: bytes) -> JsonObject:
    """Decode the configuration of an apply, and check it against the path. Raises `ApiError` (400)."""
    kind = target.kind
    try:
        config = decode_body(content, "application/yaml")
    except ValueError as error:
        raise bad_request(f"error decoding YAML: {error}") from error
    if not isinstance(config, dict):
        raise bad_request("error decoding YAML: json: cannot unmarshal into Go value of type map[string]interface {}")
    if (config.get("apiVersion"), config.get("kind")) != (kind.api_version, kind.kind):
        about = f"{str(config.get('apiVersion') or '/')[:100]}, Kind={str(config.get('kind') or '')[:100]}"
        raise bad_request(f"invalid object type: {about}")
    metadata = config.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("metadata is not an object")
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    name, namespace = metadata.setdefault("name", target.name), metadata.get("namespace") or target.namespace
    if name != target.name:
        raise bad_request(
            f"the name of the object ({str(name)[:300]}) does not match the name on the URL ({target.name})"
        )
    if namespace != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return config
