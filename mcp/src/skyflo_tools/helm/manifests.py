"""Split the manifests of releases into objects."""

import asyncio
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue, text_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.helm.release import Hook, Release, UnreadableRelease
from skyflo_tools.helm.values import find_marked_values
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.yaml_documents import read_documents
from skyflo_tools.tool import CallContext

MAX_OBJECTS = 300
KEEP_POLICY = "helm.sh/resource-policy"


@dataclass(frozen=True)
class ReleaseObject:
    """An object of a manifest. `hook` is set for one that belongs to a hook."""

    body: JsonObject
    namespace: str
    """Its own namespace, or that of the release; meaningless for kinds without namespaces."""
    hook: Hook | None = None

    @property
    def kube(self) -> KubeObject:
        return KubeObject(self.body)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies the object from one revision to another, whichever version of its API is used."""
        group = self.kube.api_version.rpartition("/")[0]
        return (group, self.kube.kind, self.namespace, self.kube.name)

    @property
    def resource_key(self) -> tuple[str, str]:
        """What identifies the object's kind."""
        return (self.kube.api_version, self.kube.kind)

    @property
    def is_kept(self) -> bool:
        """Whether Helm leaves the object in the cluster when its release no longer has it."""
        return self.kube.annotations.get(KEEP_POLICY, "").lower() == "keep"

    @property
    def title(self) -> str:
        return f"{self.kube.kind.lower()}/{self.kube.name}"


async def read_objects(release: Release) -> list[ReleaseObject]:
    """Return the objects of a release, without those of its hooks. Raises UnreadableRelease."""
    return await asyncio.to_thread(_parse, release.manifest, release.namespace, str(release), None)


async def read_hooks(release: Release) -> list[ReleaseObject]:
    """Return the objects of the hooks, in the order in which Helm runs them. Raises UnreadableRelease."""
    ordered = sorted(release.hooks, key=lambda hook: (hook.weight, hook.name))
    parsed = [await asyncio.to_thread(_parse, hook.manifest, release.namespace, str(release), hook) for hook in ordered]
    return [each for objects in parsed for each in objects]


async def parse_objects(text: str, namespace: str, what: str) -> list[ReleaseObject]:
    """Return the objects of a manifest that is rendered for a namespace. Raises UnreadableRelease."""
    return await asyncio.to_thread(_parse, text, namespace, what, None)


def _parse(text: str, namespace: str, what: str, hook: Hook | None) -> list[ReleaseObject]:
    try:
        documents = read_documents(text)
    except InvalidArguments as error:
        raise UnreadableRelease(f"the manifest of {what} can't be read: {error.message}") from error
    found = [
        ReleaseObject(body, text_at(body, "metadata", "namespace") or namespace, hook)
        for document in documents
        for body in _split_list(document.value)
    ]
    if len(found) > MAX_OBJECTS:
        raise UnreadableRelease(f"{what} has {len(found)} objects, more than the {MAX_OBJECTS} that can be shown")
    return found


def _split_list(value: JsonValue) -> list[JsonObject]:
    """Return the objects of a document. Helm sends a List as the objects in it."""
    if not isinstance(value, dict):
        return []
    items = value.get("items")
    if text_at(value, "kind") == "List" and isinstance(items, list):
        return [item for item in items if isinstance(item, dict)]
    return [value]


async def hide_secrets_of(release: Release, call: CallContext) -> None:
    """Hide the values of the release's Secrets, and of its secret-looking values, in the whole result of this call."""
    for each in [*await read_objects(release), *await read_hooks(release)]:
        await call.hide_values_of(each.body)
    await call.hide_values_of({"values": release.config})
    await call.hide_values_of({"values": release.chart.values})
    call.secrets.extend(find_marked_values(release))
