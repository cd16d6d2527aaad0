"""Fills an empty cluster: everything is deployed a week ago and lives, in a moment, through what has happened since.

So ages, revisions, restart counts, events and logs are not made up: they are what the controllers made of it.
"""

from datetime import timedelta
from importlib.resources import files
from random import Random

import yaml
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.kinds import ALL, NODE, Kind
from skyflo_sandbox.cluster.life import Life, LogBook
from skyflo_sandbox.cluster.life.images import Catalogue
from skyflo_sandbox.cluster.life.tempo import REAL
from skyflo_sandbox.cluster.ports import Api
from skyflo_sandbox.cluster.shop.nodes import nodes
from skyflo_sandbox.jsontypes import JsonObject, object_at, objects_at, text_at

__all__ = ["Traveller", "catalogue", "seed"]

SET_UP = timedelta(days=9, hours=2)
DEPLOYED = timedelta(days=8, hours=5)
NAMESPACE = "shop"
_OBJECTS = TypeAdapter(list[JsonObject])


class Step(BaseModel):
    """One change that somebody made, so long before the cluster is opened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ago: timedelta
    kind: str
    name: str
    by: str
    image: str = ""
    patch: dict[str, JsonValue] = {}


class History(BaseModel):
    steps: tuple[Step, ...]


class Traveller:
    """A clock that can be somewhere in the past, and returns to the present for good."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._past: float | None = None
        self._present = clock.now(), clock.monotonic()

    def now(self) -> float:
        return self._clock.now() if self._past is None else self._past

    def monotonic(self) -> float:
        if self._past is None:
            return self._clock.monotonic()
        return self._present[1] - (self._present[0] - self._past)

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def travel(self, to: float) -> None:
        """Time stands still there until the next travel."""
        self._past = to

    def arrive(self) -> None:
        self._past = None


def catalogue() -> Catalogue:
    """The images of the shop."""
    return Catalogue.model_validate(yaml.safe_load(_read("images.yaml")))


def seed(api: Api, clock: Traveller, book: LogBook, images: Catalogue) -> None:
    """Into an empty state. When it returns, the clock is in the present and nothing is under way but the faults."""
    present, names = clock.now(), Random(2305)  # noqa: S311 - names of pods, the same in every sandbox
    clock.travel(present - SET_UP.total_seconds())
    life = Life(api, clock, book, images, REAL, names)
    for node in nodes(clock.now()):
        api.create(NODE, "", node, manager="kubelet")
    _create(api, "cluster.yaml")
    _live(life, clock, present - DEPLOYED.total_seconds())
    _create(api, "shop.yaml")
    for step in History.model_validate(yaml.safe_load(_read("history.yaml"))).steps:
        _live(life, clock, present - step.ago.total_seconds())
        _change(api, step, clock.now())
    _live(life, clock, present)
    life.leave()
    clock.arrive()


def _live(life: Life, clock: Traveller, until: float) -> None:
    """Jumps from one thing that is due to the next, up to that time."""
    while True:
        while life.turn():
            pass
        wait = life.next_in()
        if wait is None or clock.now() + wait > until:
            clock.travel(until)
            return
        clock.travel(clock.now() + wait)


def _create(api: Api, file: str) -> None:
    for body in _OBJECTS.validate_python(list(yaml.safe_load_all(_read(file)))):
        namespace = text_at(body, "metadata", "namespace")
        api.create(_kind(text_at(body, "kind")), namespace, body, manager="kubectl-create")


def _change(api: Api, step: Step, now: float) -> None:
    kind = _kind(step.kind)
    before = api.state.get(kind, NAMESPACE, step.name) or {}
    after = _with_image(before, step.image) if step.image else _merged(before, step.patch, rfc3339(now))
    api.update(kind, NAMESPACE, step.name, after, manager=step.by)


def _with_image(body: JsonObject, image: str) -> JsonObject:
    pod = object_at(body, "spec", "template", "spec")
    containers: list[JsonValue] = [{**each, "image": image} for each in objects_at(pod, "containers")]
    template: JsonObject = {**object_at(body, "spec", "template"), "spec": {**pod, "containers": containers}}
    return {**body, "spec": {**object_at(body, "spec"), "template": template}}


def _merged(base: JsonObject, patch: JsonObject, now: str) -> JsonObject:
    """A JSON merge patch."""
    result = {key: value for key, value in base.items() if patch.get(key, value) is not None}
    for key, value in patch.items():
        if isinstance(value, dict):
            result[key] = _merged(object_at(base, key), value, now)
        elif value is not None:
            result[key] = now if value == "@now" else value
    return result


def _kind(name: str) -> Kind:
    return next(kind for kind in ALL if kind.kind == name)


def _read(file: str) -> str:
    return files("skyflo_sandbox.cluster.shop").joinpath(file).read_text(encoding="utf-8")
