"""Read a list of objects page by page to its end, or say why it is not complete."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from skyflo_common.clock import Clock
from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_tools.errors import ToolFailure, UnreadableResponse
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.lookup import ResourceScope

PAGE_SIZE = 500
LIST_SECONDS = 15.0
T = TypeVar("T")


@dataclass(frozen=True)
class Listing(Generic[T]):
    """The items of a list. `unread` says why there may be more of them; it is empty if the list was read to its end."""

    items: list[T]
    unread: str = ""


def list_items(response: JsonObject) -> list[JsonObject]:
    """Return the items of a list. Raises UnreadableResponse for anything else, which must not pass as an empty list."""
    if isinstance(response.get("items", ""), list | None):
        return objects_at(response, "items")
    found = text_at(response, "kind") or "an unknown object"
    raise UnreadableResponse(f"the API server's answer is no list but {found}", sent=True)


@dataclass(frozen=True)
class ListReader:
    """Reads lists as one user, within bounds of count and time."""

    identity: Identity | None
    clock: Clock
    at_most: int
    seconds: float = LIST_SECONDS

    async def read(
        self, scope: ResourceScope, parse: Callable[[JsonObject], T], *, labels: str = "", fields: str = ""
    ) -> Listing[T]:
        """Read all objects that match. Raises ToolFailure if not even the first page can be read."""
        started = self.clock.monotonic()
        params = {"limit": str(PAGE_SIZE), "labelSelector": labels, "fieldSelector": fields}
        path = scope.resource.collection_path(scope.namespace)
        items: list[T] = []
        cursor = ""
        while True:
            chosen = {key: value for key, value in (params | {"continue": cursor}).items() if value}
            try:
                response = await scope.cluster.client.get(path, self.identity, **chosen)
            except ToolFailure as error:
                if not cursor:
                    raise
                return Listing(items, f"only {len(items)} {scope.resource.plural} were read: {error.message}")
            items += [parse(item) for item in list_items(response)]
            cursor = text_at(response, "metadata", "continue")
            if not cursor:
                return Listing(items)
            if len(items) >= self.at_most or self.clock.monotonic() - started > self.seconds:
                return Listing(items, f"only the first {len(items)} {scope.resource.plural} by name were read")
