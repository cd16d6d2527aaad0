"""A Kubernetes object with properties for common fields."""

from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, objects_at, strings_at, text_at


@dataclass(frozen=True)
class KubeObject:
    """An object as the API server returned it."""

    body: JsonObject

    @property
    def api_version(self) -> str:
        return text_at(self.body, "apiVersion")

    @property
    def kind(self) -> str:
        return text_at(self.body, "kind")

    @property
    def name(self) -> str:
        return text_at(self.body, "metadata", "name")

    @property
    def namespace(self) -> str:
        return text_at(self.body, "metadata", "namespace")

    @property
    def uid(self) -> str:
        return text_at(self.body, "metadata", "uid")

    @property
    def resource_version(self) -> str:
        return text_at(self.body, "metadata", "resourceVersion")

    @property
    def labels(self) -> dict[str, str]:
        return strings_at(self.body, "metadata", "labels")

    @property
    def annotations(self) -> dict[str, str]:
        return strings_at(self.body, "metadata", "annotations")

    @property
    def is_deleting(self) -> bool:
        return bool(text_at(self.body, "metadata", "deletionTimestamp"))

    @property
    def owners(self) -> list[JsonObject]:
        return objects_at(self.body, "metadata", "ownerReferences")

    @property
    def conditions(self) -> list[JsonObject]:
        return objects_at(self.body, "status", "conditions")

    def at(self, *path: str) -> JsonValue:
        return dig(self.body, *path)

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}" + (f" in {self.namespace}" if self.namespace else "")
