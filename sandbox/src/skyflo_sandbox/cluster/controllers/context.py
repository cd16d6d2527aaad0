"""The controller interface, and what all controllers share."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.controllers.events import EventRecorder
from skyflo_sandbox.cluster.controllers.objects import name_of, namespace_of
from skyflo_sandbox.cluster.controllers.timings import Timings
from skyflo_sandbox.cluster.controllers.work_queue import WorkItem, WorkQueue
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.ports import Api
from skyflo_sandbox.cluster.state import Change, State

__all__ = ["Context", "Controller", "Key"]

Key = tuple[str, str]
"""Namespace and name."""


class Controller(Protocol):
    """A controller. Its methods do not block; they put later work into the work queue."""

    name: str

    def affected_keys(self, change: Change) -> Iterable[Key]:
        """Return the objects to reconcile after a change."""

    def sync(self, namespace: str, name: str) -> None:
        """Reconcile one object."""


@dataclass(frozen=True)
class Context:
    """Shared by all controllers of a cluster. `names` is the source of random name suffixes."""

    api: Api
    clock: Clock
    work_queue: WorkQueue
    recorder: EventRecorder
    timings: Timings
    names: Random

    @property
    def state(self) -> State:
        return self.api.state

    def timestamp(self) -> str:
        return rfc3339(self.clock.now())

    def requeue_after(self, controller: str, body: JsonObject, seconds: float) -> None:
        """Have the controller reconcile the object again within `seconds`."""
        self.work_queue.add_after(WorkItem(controller, namespace_of(body), name_of(body)), seconds)

    def write_status(self, kind: Kind, body: JsonObject, status: JsonObject) -> JsonObject:
        """Store a status; an unchanged one is not written."""
        return self.state.replace(kind, {**body, "status": status})
