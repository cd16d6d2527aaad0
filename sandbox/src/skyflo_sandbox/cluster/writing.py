"""POST, PUT, PATCH and DELETE, from their bodies and queries to the API's write path."""

from dataclasses import dataclass

import orjson
from starlette.requests import Request

from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.asking import is_dry_run, manager_of, media_type, object_body, read_body
from skyflo_sandbox.cluster.decoding import decoded
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.patching import json_patched, merge_patched
from skyflo_sandbox.cluster.ports import Part
from skyflo_sandbox.cluster.routing import Place
from skyflo_sandbox.cluster.scale import scale_of, scaled
from skyflo_sandbox.cluster.shapes import known_only, mismatch
from skyflo_sandbox.cluster.statuses import Refused, bad_request, failure, invalid, method_not_allowed, not_here, wrong
from skyflo_sandbox.cluster.strategic import strategic_patched
from skyflo_sandbox.cluster.validation import check_types
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, object_at, text_at

__all__ = ["Written", "created", "patched", "replaced"]

APPLY = "application/apply-patch+yaml"
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_OF_THE_SERVER = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "managedFields",
)


@dataclass(frozen=True)
class Written:
    """The object as it is now, whether it is new, and what the client should be warned of."""

    body: JsonObject
    new: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Wish:
    """How a write is meant: its dry-run, its manager, and what becomes of fields that nobody knows."""

    dry_run: bool
    manager: str
    validation: str

    def known(self, kind: Kind, body: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
        """The body without unknown fields, and warnings of them. Raises `ValueError` where that is an error."""
        kept, unknown = known_only(kind, body)
        texts = [f'unknown field "{path}"' for path in unknown]
        if texts and self.validation == "Strict":
            raise ValueError(f"strict decoding error: {', '.join(texts)}")
        return kept, tuple(texts) if self.validation == "Warn" else ()


def _wish(request: Request, options: str, *, apply: bool = False) -> _Wish:
    validation = request.query_params.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Strict", "Warn"):
        problem = wrong("fieldValidation", validation[:100], "must be one of Ignore, Warn, Strict")
        raise invalid(options, "meta.k8s.io", "", [problem])
    dry_run = is_dry_run(request.query_params.getlist("dryRun"), options)
    return _Wish(dry_run, manager_of(request, options, needed=apply), validation)


async def created(api: ClusterApi, place: Place, request: Request) -> Written:
    if place.name:
        raise method_not_allowed()
    kind, wish = place.kind, _wish(request, "CreateOptions")
    if not kind.stored:
        raise not_here(f"creating {kind.resource}", 501)
    if kind.namespaced and not place.namespace:
        raise method_not_allowed()
    body = await object_body(request, kind.kind)
    _refuse_other_kind(kind, body)
    if text_at(body, "metadata", "resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    body, warnings = _decoded_as(kind, body, wish)
    check_types(kind, body)
    stored = api.create(kind, place.namespace, _fresh(kind, body), manager=wish.manager, dry_run=wish.dry_run)
    return Written(stored, new=True, warnings=warnings)


def _fresh(kind: Kind, body: JsonObject) -> JsonObject:
    """A new object without what only the server sets."""
    metadata = {key: value for key, value in object_at(body, "metadata").items() if key not in _OF_THE_SERVER}
    dropped = "status" if "status" in kind.subresources else ""
    return {key: value for key, value in body.items() if key != dropped} | {"metadata": metadata}


def _decoded_as(kind: Kind, body: JsonObject, wish: _Wish) -> tuple[JsonObject, tuple[str, ...]]:
    try:
        return wish.known(kind, body)
    except ValueError as error:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
        raise bad_request(message) from error


def _refuse_other_kind(kind: Kind, body: JsonObject) -> None:
    if "metadata" in body and not isinstance(body["metadata"], dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): metadata is no object")
    named, version = body.get("kind", kind.kind), body.get("apiVersion", kind.api_version)
    if (named or kind.kind, version or kind.api_version) != (kind.kind, kind.api_version):
        shown = str(version).rpartition("/")[2][:100]
        why = f'no kind "{str(named)[:100]}" is registered for version "{str(version)[:100]}" in the sandbox'
        raise bad_request(f'{str(named)[:100]} in version "{shown}" cannot be handled as a {kind.kind}: {why}')


async def replaced(api: ClusterApi, place: Place, request: Request) -> Written:
    wish = _wish(request, "UpdateOptions")
    kind = place.kind
    scaling = place.subresource == "scale"
    _refuse_unstored(place)
    body = await object_body(request, "Scale" if scaling else kind.kind)
    if scaling:
        return _scaled(api, place, body, wish)
    _refuse_other_kind(kind, body)
    body, warnings = _decoded_as(kind, body, wish)
    if not text_at(body, "metadata", "name"):
        raise bad_request(f"the name of the object () does not match the name on the URL ({place.name})")
    if kind.is_custom and not text_at(body, "metadata", "resourceVersion"):
        api.live(kind, place.namespace, place.name)
        problem = wrong("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(kind.kind, kind.group, place.name, [problem])
    return Written(_updated(api, place, body, wish), warnings=warnings)


def _refuse_unstored(place: Place) -> None:
    if not place.name or place.subresource == "log":
        raise method_not_allowed()
    if not place.kind.stored:
        raise not_here(f"changing {place.kind.resource}", 501)


def _updated(api: ClusterApi, place: Place, body: JsonObject, wish: _Wish) -> JsonObject:
    part: Part = "status" if place.subresource == "status" else "main"
    return api.update(
        place.kind,
        place.namespace,
        place.name,
        body,
        manager=wish.manager,
        dry_run=wish.dry_run,
        part=part,
    )


def _scaled(api: ClusterApi, place: Place, scale: JsonObject, wish: _Wish) -> Written:
    live = api.live(place.kind, place.namespace, place.name)
    after = api.update(
        place.kind,
        place.namespace,
        place.name,
        scaled(place.kind, live, scale),
        manager=wish.manager,
        dry_run=wish.dry_run,
        part="main",
        subresource="scale",
    )
    return Written(scale_of(after))


async def patched(api: ClusterApi, place: Place, request: Request) -> Written:
    type_ = media_type(request)
    _refuse_unstored(place)
    content = await read_body(request)
    if type_ == APPLY:
        return _applied(api, place, content, request)
    if type_ not in _PATCHES:
        raise failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    patch = _patch_value(content)
    wish = _wish(request, "PatchOptions")
    live = api.live(place.kind, place.namespace, place.name)
    if place.subresource == "scale":
        return _scaled(api, place, _result(place.kind, scale_of(live), patch, type_), wish)
    body = _result(place.kind, live, patch, type_)
    _refuse_new_uid(place.kind, live, body)
    warnings: tuple[str, ...] = ()
    try:
        body, warnings = wish.known(place.kind, body)
    except ValueError as error:
        raise _unfit(body, str(error)) from error
    if found := mismatch(place.kind, body):
        raise _unfit(body, found)
    return Written(_updated(api, place, body, wish), warnings=warnings)


def _unfit(body: JsonObject, why: str) -> Refused:
    """A patch that leaves something that is no object of its kind."""
    return invalid("", "", "", [wrong("patch", orjson.dumps(body).decode()[:10_000], why)])


def _patch_value(content: bytes) -> JsonValue:
    try:
        return decoded(content, "application/json")
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error


def _result(kind: Kind, target: JsonObject, patch: JsonValue, type_: str) -> JsonObject:
    if type_ == _PATCHES[0]:
        found = json_patched(target, patch)
    elif not isinstance(patch, dict):
        problem = "json: cannot unmarshal array into Go value of type map[string]interface {}"
        raise bad_request(f"error decoding patch: {problem}")
    elif type_ == _PATCHES[1]:
        found = merge_patched(target, patch)
    elif kind.is_custom:
        message = "the body of the request was in an unknown format - accepted media types include: "
        known = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        raise failure(415, "UnsupportedMediaType", message + known)
    else:
        found = strategic_patched(kind, target, patch)
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise bad_request("error decoding patch: what it leaves is no object")
    return found


def _refuse_new_uid(kind: Kind, live: JsonObject, body: JsonObject) -> None:
    uid = object_at(body, "metadata").get("uid")
    if uid is not None and uid != text_at(live, "metadata", "uid"):
        problem = wrong("metadata.uid", uid, "field is immutable")
        raise invalid(kind.kind, kind.group, text_at(live, "metadata", "name"), [problem])


def _applied(api: ClusterApi, place: Place, content: bytes, request: Request) -> Written:
    """Server-side apply."""
    wish = _wish(request, "PatchOptions", apply=True)
    if place.subresource:
        raise not_here(f"applying to {place.kind.resource}/{place.subresource}", 501)
    config = _configuration(place, content)
    kept, unknown = known_only(place.kind, config)
    found = f".{unknown[0]}: field not declared in schema" if unknown else mismatch(place.kind, config)
    if found:
        about = f"{place.namespace}/{place.name}; {place.kind.api_version}, Kind={place.kind.kind}"
        raise bad_request(f"failed to create typed patch object ({about}): {found}")
    live = api.state.get(place.kind, place.namespace, place.name)
    if live is not None:
        _refuse_new_uid(place.kind, live, kept)
    force = request.query_params.get("force", "").lower() in ("1", "t", "true")
    body, new = api.apply(
        place.kind,
        place.namespace,
        place.name,
        kept,
        manager=wish.manager,
        dry_run=wish.dry_run,
        force=force,
    )
    return Written(body, new=new)


def _configuration(place: Place, content: bytes) -> JsonObject:
    """What an apply's body says, checked against the path. Raises `Refused` (400)."""
    kind = place.kind
    try:
        config = decoded(content, "application/yaml")
    except ValueError as error:
        raise bad_request(f"error decoding YAML: {error}") from error
    if not isinstance(config, dict):
        raise bad_request("error decoding YAML: json: cannot unmarshal into Go value of type map[string]interface {}")
    if (config.get("apiVersion"), config.get("kind")) != (kind.api_version, kind.kind):
        about = f"{str(config.get('apiVersion') or '/')[:100]}, Kind={str(config.get('kind') or '')[:100]}"
        raise bad_request(f"invalid object type: {about}")
    metadata = config.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("metadata is no object")
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    name, namespace = metadata.setdefault("name", place.name), metadata.get("namespace") or place.namespace
    if name != place.name:
        raise bad_request(
            f"the name of the object ({str(name)[:300]}) does not match the name on the URL ({place.name})"
        )
    if namespace != place.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return config
