"""What a change intends: requests about objects, one sentence, its risk. Nothing here talks to anyone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import BaseModel

from skyflo_tools.jsontypes import JsonObject, JsonValue, canonical
from skyflo_tools.kubernetes.client import Request
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import Resource
from skyflo_tools.kubernetes.touched import Path

FIELD_MANAGER = "skyflo"
NEVER_EXISTED = "1"  # the revision of an empty etcd: no object has it, so it fits only where nothing is
RiskLevel = Literal["low", "medium", "high", "destructive"]
LEVELS: tuple[RiskLevel, ...] = ("low", "medium", "high", "destructive")


class Risk(BaseModel):
    """How bad it could be, and why."""

    level: RiskLevel
    reason: str

    def at_least(self, level: RiskLevel, reason: str) -> "Risk":
        return Risk(level=level, reason=reason) if LEVELS.index(level) > LEVELS.index(self.level) else self


@dataclass(frozen=True)
class Target:
    """The object that a request is about."""

    cluster: Cluster
    resource: Resource
    namespace: str
    name: str
    subresource: str = ""

    @property
    def path(self) -> str:
        return self.resource.item(self.namespace, self.name, self.subresource)

    def __str__(self) -> str:
        return f"{self.resource.kind.lower()}/{self.name}" + (f" in {self.namespace}" if self.namespace else "")


class Operation(Protocol):
    """How one object is written."""

    @property
    def verb(self) -> str:
        """RBAC's name for it."""

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> Request:
        """The request for an object in this state: it fits no other object and no other state. With `dry_run` the very
        same request, only tried."""

    def guess(self, live: KubeObject | None, /) -> JsonObject | None:
        """The likely outcome where the API server can't be asked; None if the object would be gone."""


def _params(dry_run: bool, **extra: str) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {}), **extra}


@dataclass(frozen=True)
class Apply:
    """Server-side apply of one manifest."""

    manifest: JsonObject
    force: bool = False
    verb: str = "patch"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> Request:
        metadata = self.manifest.get("metadata")
        pinned: JsonObject = {**metadata} if isinstance(metadata, dict) else {}
        pinned |= {"resourceVersion": live.resource_version if live else NEVER_EXISTED}
        if live:
            pinned["uid"] = live.uid
        body: JsonObject = {**self.manifest, "metadata": pinned}
        params = _params(dry_run, force="true") if self.force else _params(dry_run)
        return Request("PATCH", target.path, params, canonical(body), "application/apply-patch+yaml")

    def guess(self, live: KubeObject | None) -> JsonObject:
        return merged(live.body, self.manifest) if live else self.manifest


@dataclass(frozen=True)
class MergePatch:
    """A JSON merge patch, or Kubernetes' strategic one."""

    patch: JsonObject
    strategic: bool = False
    verb: str = "patch"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> Request:
        metadata = self.patch.get("metadata")
        pinned: JsonObject = {**metadata} if isinstance(metadata, dict) else {}
        if live:
            pinned |= {"uid": live.uid, "resourceVersion": live.resource_version}
        kind = "strategic-merge-patch" if self.strategic else "merge-patch"
        body: JsonObject = {**self.patch, "metadata": pinned}
        return Request("PATCH", target.path, _params(dry_run), canonical(body), f"application/{kind}+json")

    def guess(self, live: KubeObject | None) -> JsonObject:
        return merged(live.body if live else {}, self.patch)


@dataclass(frozen=True)
class JsonPatch:
    """RFC 6902. Its first steps test that the object is the one that was read."""

    steps: list[JsonObject]
    verb: str = "patch"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> Request:
        tests: list[JsonValue] = []
        if live:
            tests.append({"op": "test", "path": "/metadata/uid", "value": live.uid})
            tests.append({"op": "test", "path": "/metadata/resourceVersion", "value": live.resource_version})
        return Request(
            "PATCH", target.path, _params(dry_run), canonical([*tests, *self.steps]), "application/json-patch+json"
        )

    def guess(self, live: KubeObject | None) -> JsonObject:
        return live.body if live else {}


@dataclass(frozen=True)
class Delete:
    """Deletion of the very object that was read."""

    propagation: Literal["Background", "Foreground", "Orphan"]
    grace_seconds: int | None = None
    verb: str = "delete"

    def request(self, target: Target, live: KubeObject | None, *, dry_run: bool = False) -> Request:
        body: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": self.propagation}
        if live:
            body["preconditions"] = {"uid": live.uid, "resourceVersion": live.resource_version}
        if self.grace_seconds is not None:
            body["gracePeriodSeconds"] = self.grace_seconds
        if dry_run:
            body["dryRun"] = ["All"]  # beside a body the API server does not look at the query, which is for the logs
        return Request("DELETE", target.path, {"dryRun": "All"} if dry_run else {}, canonical(body))

    def guess(self, _: KubeObject | None) -> None:
        return None


@dataclass(frozen=True)
class Write:
    """One object and what is to be done with it."""

    target: Target
    operation: Operation
    may_be_absent: bool = False
    also_pin: tuple[Path, ...] = ()
    unchecked: str = ""
    """Why the API server can't be asked beforehand; empty if it can."""


@dataclass(frozen=True)
class Plan:
    """The whole change."""

    writes: tuple[Write, ...]
    summary: str
    done: str
    risk: Risk
    warnings: tuple[str, ...] = ()
    pinned: Mapping[str, str] = field(default_factory=dict)
    """Values made up for this change, such as a restart's time: shown in the preview, used by the execution."""


def merged(base: JsonObject, patch: JsonObject) -> JsonObject:
    """RFC 7386."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old = result.get(key)
            result[key] = merged(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result
