"""Which kinds an API server has, by any of their names, from its aggregated discovery."""

from skyflo_tools.clock import Clock
from skyflo_tools.errors import BadArguments
from skyflo_tools.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at
from skyflo_tools.kubernetes.client import KubeClient, Request
from skyflo_tools.kubernetes.paths import Resource

CACHE_SECONDS = 600.0
MISS_SECONDS = 5.0
_ACCEPT = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)


class Discovery:
    """The kinds of one API server: cached for ten minutes, asked anew when a name is not found."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._resources: list[Resource] = []
        self._at = float("-inf")

    async def find(self, name: str) -> Resource:
        """The kind for `pods`, `po`, `Pod`, `deployments.apps`, `apps/v1/Deployment`. Raises BadArguments."""
        age = self._clock.monotonic() - self._at
        if age < CACHE_SECONDS and (found := match(self._resources, name)):
            return found
        if age >= MISS_SECONDS:
            await self.refresh()
        if found := match(self._resources, name):
            return found
        raise BadArguments(
            f"cluster {self._client.name} has no kind {name[:80]!r}",
            code="unknown_kind",
            hint="use a plural, a short name or apiVersion/Kind, such as deployments, deploy or apps/v1/Deployment",
        )

    async def refresh(self) -> None:
        found: list[Resource] = []
        for root in ("/api", "/apis"):
            answer = await self._client.send(Request("GET", root, accept=_ACCEPT))
            found += parse(answer.json())
        self._resources, self._at = found, self._clock.monotonic()


def parse(listing: JsonObject) -> list[Resource]:
    """The resources of an APIGroupDiscoveryList, in the server's order of preference."""
    return [
        resource
        for group in objects_at(listing, "items")
        for version in objects_at(group, "versions")
        for entry in objects_at(version, "resources")
        if (resource := _resource(text_at(group, "metadata", "name"), text_at(version, "version"), entry))
    ]


def _resource(group: str, version: str, entry: JsonObject) -> Resource | None:
    kind = text_at(entry, "responseKind", "kind")
    if not kind:
        return None
    return Resource(
        group=text_at(entry, "responseKind", "group") or group,
        version=text_at(entry, "responseKind", "version") or version,
        kind=kind,
        plural=text_at(entry, "resource"),
        namespaced=text_at(entry, "scope") == "Namespaced",
        singular=text_at(entry, "singularResource"),
        short_names=tuple(_strings(object_at(entry).get("shortNames"))),
        subresources=tuple(text_at(sub, "subresource") for sub in objects_at(entry, "subresources")),
    )


def _strings(value: JsonValue) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def match(resources: list[Resource], name: str) -> Resource | None:
    """The first resource that the name fits: exact kinds and plurals before short names."""
    if "/" in name:
        api_version, _, kind = name.rpartition("/")
        return next((r for r in resources if r.api_version == api_version and _is_called(r, kind)), None)
    plain, _, group = name.partition(".")
    for called in (_is_called, _is_short):
        for resource in resources:
            if called(resource, plain) and _is_of(resource, group):
                return resource
    return None


def _is_called(resource: Resource, name: str) -> bool:
    return name.lower() in (resource.kind.lower(), resource.plural, resource.singular)


def _is_short(resource: Resource, name: str) -> bool:
    return name.lower() in resource.short_names


def _is_of(resource: Resource, group: str) -> bool:
    return not group or group in (resource.group, f"{resource.version}.{resource.group}")
