"""The only place where an API path is put together. A name can't become another path, a query or a fragment."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from skyflo_tools.errors import BadArguments

# Kubernetes' own rule forbids "/", "%", "." and ".." in a path segment; nothing real needs more than this.
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,252}", re.ASCII)


def segment(value: str, what: str) -> str:
    """The value as one path segment. Raises BadArguments for anything that is not a Kubernetes name."""
    if not _SEGMENT.fullmatch(value):
        raise BadArguments(
            f"{value[:80]!r} is not a {what}", hint="Kubernetes names have letters, digits, '-', '.', ':'"
        )
    return quote(value, safe="")


@dataclass(frozen=True)
class Resource:
    """A kind as one API server serves it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection(self, namespace: str = "") -> str:
        """The path of all objects, in one namespace or everywhere."""
        root = f"/apis/{segment(self.group, 'group')}" if self.group else "/api"
        root = f"{root}/{segment(self.version, 'version')}"
        middle = f"/namespaces/{segment(namespace, 'namespace')}" if self.namespaced and namespace else ""
        return f"{root}{middle}/{segment(self.plural, 'resource')}"

    def item(self, namespace: str, name: str, subresource: str = "") -> str:
        """The path of one object, or of its subresource."""
        if self.namespaced and not namespace:
            raise BadArguments(f"{self.kind} needs a namespace")
        end = f"/{segment(subresource, 'subresource')}" if subresource else ""
        return f"{self.collection(namespace)}/{segment(name, 'name')}{end}"
