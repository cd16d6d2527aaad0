"""What the two halves of the cluster know of each other: the wire asks life for logs, life writes through the API."""

from dataclasses import dataclass
from typing import Literal, Protocol

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.state import State
from skyflo_sandbox.jsontypes import JsonObject

__all__ = ["Api", "LogLine", "Logs", "NoLog", "Part"]

Part = Literal["whole", "main", "status"]
"""What of an object an update writes: all of it, all but its status, or its status alone."""


class NoLog(Exception):
    """There is nothing to read, in the words of a kubelet: `container "app" in pod "x" is waiting to start: ...`."""


@dataclass(frozen=True)
class LogLine:
    """`at` in seconds since the epoch."""

    at: float
    text: str


class Logs(Protocol):
    def lines(self, namespace: str, pod: str, container: str, *, previous: bool) -> list[LogLine]:
        """All that is kept, oldest first; bounded. Raises `NoLog`. The pod and the container are there."""


class Api(Protocol):
    """The write path of the API server, without HTTP: defaults, validation, field managers, dry-run.

    Raises `statuses.Refused`, which is the Status that a client would see. Bodies that are handed over are not
    changed, and what comes back is what is stored: not to be changed in place.
    """

    state: State

    def create(
        self, kind: Kind, namespace: str, body: JsonObject, *, manager: str, dry_run: bool = False
    ) -> JsonObject:
        """Stores a new object. A uid, a creationTimestamp and a status in the body are kept, so that seeds can have
        a past. `metadata.generateName` works."""

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: JsonObject,
        *,
        manager: str,
        dry_run: bool = False,
        part: Part = "whole",
    ) -> JsonObject:
        """Stores a changed object: status included, unless `part` says otherwise. One whose deletion was waiting for
        its finalizers only is taken out with the last of them."""

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        propagation: str = "Background",
        dry_run: bool = False,
        grace_seconds: int | None = None,
        uid: str = "",
        revision: str = "",
    ) -> JsonObject:
        """Marks it for deletion, or takes it out where nothing has to be done before. What depends on it is `life`'s.

        Marked are: a pod that has a node, until `life` ends its grace with `grace_seconds=0`; a namespace, until
        `life` has emptied it; an object with finalizers, which are `foregroundDeletion` or `orphan` by `propagation`.
        `uid` and `revision`, where given, must be the stored ones.
        """
