"""The ways to write an object, as requests to the API server: create, apply, patch, delete. No I/O."""

from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlencode

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical
from skyflo_tools.json_patch import StepFailed, apply_json_patch
from skyflo_tools.kubernetes.client import ApiRequest
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import Resource
from skyflo_tools.merge_patches import apply_merge_patch, apply_strategic_patch
from skyflo_tools.requested_fields import (
    RequestedFields,
    fields_of_json_patch,
    fields_of_manifest,
    fields_of_merge_patch,
    fields_of_strategic_patch,
)

FIELD_MANAGER = "skyflo"
_READ_AT_OBJECT = ("eviction", "exec", "status")
"""Subresources that can only be written, or whose state is that of the whole object, which more people may read."""
ABSENT_RESOURCE_VERSION = "1"  # the revision of an empty etcd: no object has it, so it matches only an absent object


@dataclass(frozen=True)
class Target:
    """The object that a request writes, or a subresource of it."""

    cluster: Cluster
    resource: Resource
    namespace: str
    name: str
    subresource: str = ""
    is_kind_new: bool = False
    """Whether the API server may not serve the kind yet, so that it can't tell whether the object exists."""

    @property
    def path(self) -> str:
        return self.resource.object_path(self.namespace, self.name, self.subresource)

    @property
    def read_path(self) -> str:
        """The path at which the state before a write is read."""
        readable = "" if self.subresource in _READ_AT_OBJECT else self.subresource
        return self.resource.object_path(self.namespace, self.name, readable)

    @property
    def has_status(self) -> bool:
        """Whether the status is a subresource, so that writes to the object itself can't change it."""
        return "status" in self.resource.subresources

    def __str__(self) -> str:
        return f"{self.resource.kind.lower()}/{self.name}" + (f" in {self.namespace}" if self.namespace else "")


class Operation(Protocol):
    """One way to write an object: apply, patch or delete."""

    @property
    def verb(self) -> str:
        """The RBAC verb that the operation needs."""

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        """Build the request. It carries the live object's uid and resourceVersion, so it fails for any other state.

        `dry_run` adds `dryRun=All` and changes nothing else.
        """

    def requested_fields(self, live: KubeObject) -> RequestedFields:
        """Return the fields that the operation sets on an object that exists."""

    def predict_result(self, live: KubeObject | None, /) -> JsonObject | None:
        """Predict the object after the operation without a dry run; None if it would be deleted."""


def _params(dry_run: bool, **extra: str) -> dict[str, str]:
    """Return the query of a write. The API server rejects unknown and repeated fields instead of dropping them."""
    checks = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    return {**checks, **({"dryRun": "All"} if dry_run else {}), **extra}


@dataclass(frozen=True)
class Apply:
    """Server-side apply of one manifest."""

    manifest: JsonObject
    force: bool = False
    verb: str = "patch"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        metadata = self.manifest.get("metadata")
        checked: JsonObject = {**metadata} if isinstance(metadata, dict) else {}
        checked |= {"resourceVersion": live.resource_version if live else ABSENT_RESOURCE_VERSION}
        if live:
            checked["uid"] = live.uid
        body: JsonObject = {**self.manifest, "metadata": checked}
        params = _params(dry_run, force="true") if self.force else _params(dry_run)
        return ApiRequest("PATCH", target.path, params, canonical(body), "application/apply-patch+yaml")

    def requested_fields(self, live: KubeObject) -> RequestedFields:
        return fields_of_manifest(self.manifest, live.body, FIELD_MANAGER)

    def predict_result(self, live: KubeObject | None) -> JsonObject:
        return apply_merge_patch(live.body, self.manifest) if live else self.manifest


@dataclass(frozen=True)
class Create:
    """Creation of an object that must not exist yet."""

    manifest: JsonObject
    verb: str = "create"

    def request(self, target: Target, _: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        path = target.resource.collection_path(target.namespace)
        return ApiRequest("POST", path, _params(dry_run), canonical(self.manifest))

    def requested_fields(self, live: KubeObject) -> RequestedFields:
        return fields_of_manifest(self.manifest, live.body, FIELD_MANAGER)

    def predict_result(self, _: KubeObject | None) -> JsonObject:
        return self.manifest


@dataclass(frozen=True)
class MergePatch:
    """A JSON merge patch (RFC 7386) or a strategic merge patch."""

    patch: JsonObject
    strategic: bool = False
    verb: str = "patch"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        metadata = self.patch.get("metadata")
        checked: JsonObject = {**metadata} if isinstance(metadata, dict) else {}
        if live:
            checked |= {"uid": live.uid, "resourceVersion": live.resource_version}
        kind = "strategic-merge-patch" if self.strategic else "merge-patch"
        body: JsonObject = {**self.patch, "metadata": checked}
        return ApiRequest("PATCH", target.path, _params(dry_run), canonical(body), f"application/{kind}+json")

    def requested_fields(self, _: KubeObject) -> RequestedFields:
        return fields_of_strategic_patch(self.patch) if self.strategic else fields_of_merge_patch(self.patch)

    def predict_result(self, live: KubeObject | None) -> JsonObject:
        apply = apply_strategic_patch if self.strategic else apply_merge_patch
        return apply(live.body if live else {}, self.patch)


@dataclass(frozen=True)
class JsonPatch:
    """A JSON Patch (RFC 6902), preceded by `test` steps for the uid and resourceVersion that were read."""

    steps: list[JsonObject]
    verb: str = "patch"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        tests: list[JsonValue] = []
        if live:
            tests.append({"op": "test", "path": "/metadata/uid", "value": live.uid})
            tests.append({"op": "test", "path": "/metadata/resourceVersion", "value": live.resource_version})
        return ApiRequest(
            "PATCH", target.path, _params(dry_run), canonical([*tests, *self.steps]), "application/json-patch+json"
        )

    def requested_fields(self, live: KubeObject) -> RequestedFields:
        return fields_of_json_patch(self.steps, live.body)

    def predict_result(self, live: KubeObject | None) -> JsonObject:
        body = live.body if live else {}
        try:
            return apply_json_patch(body, self.steps)
        except StepFailed:
            return body


@dataclass(frozen=True)
class Delete:
    """Deletion of an object, with the uid and resourceVersion that were read as preconditions."""

    propagation: Literal["Background", "Foreground", "Orphan"]
    grace_seconds: int | None = None
    verb: str = "delete"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        body: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": self.propagation}
        if live:
            body["preconditions"] = {"uid": live.uid, "resourceVersion": live.resource_version}
        if self.grace_seconds is not None:
            body["gracePeriodSeconds"] = self.grace_seconds
        if dry_run:
            body["dryRun"] = ["All"]  # the API server ignores the query if there is a body; the query is for its logs
        return ApiRequest("DELETE", target.path, {"dryRun": "All"} if dry_run else {}, canonical(body))

    def requested_fields(self, _: KubeObject) -> RequestedFields:
        return RequestedFields(())

    def predict_result(self, _: KubeObject | None) -> None:
        return None


@dataclass(frozen=True)
class Evict:
    """Eviction of a pod, with its uid as precondition. A disruption budget may refuse it."""

    grace_seconds: int | None = None
    verb: str = "delete"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        options: JsonObject = {"preconditions": {"uid": live.uid}} if live else {}
        if self.grace_seconds is not None:
            options["gracePeriodSeconds"] = self.grace_seconds
        if dry_run:
            options["dryRun"] = ["All"]
        metadata: JsonObject = {"name": target.name, "namespace": target.namespace}
        body: JsonObject = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        return ApiRequest("POST", target.path, body=canonical(body | {"deleteOptions": options}))

    def requested_fields(self, _: KubeObject) -> RequestedFields:
        return RequestedFields(())

    def predict_result(self, _: KubeObject | None) -> None:
        return None


@dataclass(frozen=True)
class Exec:
    """A command in a container of a pod that runs. The request opens a websocket."""

    argv: tuple[str, ...]
    container: str
    verb: str = "exec"

    def request(self, target: Target, _: KubeObject | None, *, dry_run: bool = False) -> ApiRequest:
        if dry_run:
            raise NotImplementedError("a command has no dry run")
        query = [("container", self.container), ("stdout", "true"), ("stderr", "true")]
        query += [("command", item) for item in self.argv]
        return ApiRequest("GET", f"{target.path}?{urlencode(query)}", accept="*/*")

    def requested_fields(self, _: KubeObject) -> RequestedFields:
        return RequestedFields(())

    def predict_result(self, _: KubeObject | None) -> None:
        return None
