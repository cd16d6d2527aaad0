"""Interfaces between the HTTP side and the controllers: logs one way, the write path the other way."""

from dataclasses import dataclass
from typing import Literal, Protocol

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.state import State

__all__ = ["Api", "LogLine", "LogUnavailable", "Logs", "UpdateScope"]

UpdateScope = Literal["whole", "main", "status"]
"""What an update writes: the whole object, all but its status, or only its status."""


class LogUnavailable(Exception):
    """There is no log. The message is a kubelet's: `container "app" in pod "x" is waiting to start: ...`."""


@dataclass(frozen=True)
class LogLine:
    """One line of a log; `at` is in seconds since the epoch."""

    at: float
    text: str


class Logs(Protocol):
    def lines(self, namespace: str, pod: str, container: str, *, previous: bool) -> list[LogLine]:
        """Return all kept lines, oldest first; their number is bounded. Raises `LogUnavailable`.

        The pod and the container exist.
        """


class Api(Protocol):
    """The write path of the API server without HTTP: defaults, validation, field managers, dry run.

    Methods raise `errors.ApiError` with the Status that a client would see. They do not change the bodies that they
    get. Returned objects are the stored ones and must not be changed in place.
    """

    state: State

    def create(
        self, kind: Kind, namespace: str, body: JsonObject, *, manager: str, dry_run: bool = False
    ) -> JsonObject:
        """Store a new object. `metadata.generateName` is supported.

        A uid, a creationTimestamp and a status in the body are kept, so that fixtures can have a history.
        """

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: JsonObject,
        *,
        manager: str,
        dry_run: bool = False,
        scope: UpdateScope = "whole",
    ) -> JsonObject:
        """Store a changed object, including its status unless `scope` says otherwise.

        An object whose deletion waited only for finalizers is removed with the last of them.
        """

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
        """Mark an object for deletion, or remove it if nothing has to happen first.

        These are marked: a pod with a node, until the kubelet deletes it with `grace_seconds=0`; a namespace, until the
        controllers have emptied it; an object with finalizers, to which `propagation` may add `foregroundDeletion` or
        `orphan`. Controllers delete the dependents. `uid` and `revision`, if given, must match the stored object.
        """
