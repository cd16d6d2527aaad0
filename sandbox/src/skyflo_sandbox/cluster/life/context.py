"""What every controller works with."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.life.agenda import Agenda, Task
from skyflo_sandbox.cluster.life.events import Recorder
from skyflo_sandbox.cluster.life.objects import name_of, namespace_of
from skyflo_sandbox.cluster.life.tempo import Tempo
from skyflo_sandbox.cluster.ports import Api
from skyflo_sandbox.cluster.state import Change, State
from skyflo_sandbox.jsontypes import JsonObject

__all__ = ["Context", "Controller", "Key"]

Key = tuple[str, str]
"""Namespace and name."""


class Controller(Protocol):
    """One controller. Nothing in it waits: what is to be done later goes on the agenda."""

    name: str

    def hears(self, change: Change) -> Iterable[Key]:
        """The objects to look at after a change."""

    def sync(self, namespace: str, name: str) -> None:
        """Does what is due for one object."""


@dataclass(frozen=True)
class Context:
    """One for all controllers of a cluster. `names` is where random ends of names come from."""

    api: Api
    clock: Clock
    agenda: Agenda
    recorder: Recorder
    tempo: Tempo
    names: Random

    @property
    def state(self) -> State:
        return self.api.state

    def timestamp(self) -> str:
        return rfc3339(self.clock.now())

    def again(self, controller: str, body: JsonObject, seconds: float) -> None:
        """Has the controller look at the object again, at the latest in so many seconds."""
        self.agenda.later(Task(controller, namespace_of(body), name_of(body)), seconds)

    def write_status(self, kind: Kind, body: JsonObject, status: JsonObject) -> JsonObject:
        """Stores a status, if it is another one."""
        return self.state.replace(kind, {**body, "status": status})
