"""The kubelets of all nodes: they run the pods that are bound to them, and stop those that are to go."""

from collections.abc import Iterable

from skyflo_sandbox.cluster.kinds import NODE, POD
from skyflo_sandbox.cluster.life.agenda import SLACK
from skyflo_sandbox.cluster.life.containers import CREATING, Cell, Runtime
from skyflo_sandbox.cluster.life.context import Context, Key
from skyflo_sandbox.cluster.life.environment import BadReference, environment, missing_volume
from skyflo_sandbox.cluster.life.images import Catalogue
from skyflo_sandbox.cluster.life.logbook import LogBook
from skyflo_sandbox.cluster.life.objects import deleting, name_of, namespace_of, uid_of
from skyflo_sandbox.cluster.life.podstatus import pod_status
from skyflo_sandbox.cluster.life.programs import played
from skyflo_sandbox.cluster.state import Change
from skyflo_sandbox.jsontypes import JsonObject, dig, number_at, object_at, objects_at, text_at

__all__ = ["Kubelet"]


class Kubelet:
    """Runs pods. What it keeps beside their status can be made anew from it."""

    name = "kubelet"

    def __init__(self, context: Context, catalogue: Catalogue, book: LogBook) -> None:
        self._context = context
        self._catalogue = catalogue
        self._book = book
        self._runtime = Runtime(context, catalogue, book)
        self._cells: dict[str, dict[str, Cell]] = {}
        self._stops: dict[str, float] = {}
        self._mounts: dict[str, float] = {}

    def hears(self, change: Change) -> Iterable[Key]:
        if change.kind is not POD:
            return []
        if change.type == "DELETED":
            self._forget(uid_of(change.object))
            return []
        return [(namespace_of(change.object), name_of(change.object))]

    def sync(self, namespace: str, name: str) -> None:
        pod = self._context.state.get(POD, namespace, name)
        if pod is None:
            return
        if deleting(pod):
            self._stop(pod)
        elif text_at(pod, "spec", "nodeName") and text_at(pod, "status", "phase") not in ("Succeeded", "Failed"):
            self._run(pod)

    def _run(self, pod: JsonObject) -> None:
        cells = self._cells_of(pod)
        if not self._mounted(pod):
            self._write(pod, list(cells.values()))
            self._context.again(self.name, pod, self._mounts[uid_of(pod)] - self._context.clock.monotonic())
            return
        for spec in objects_at(pod, "spec", "containers"):
            self._runtime.step(pod, spec, cells[text_at(spec, "name")])
        self._write(pod, list(cells.values()))
        due = [cell.due for cell in cells.values() if cell.due is not None]
        if due:
            self._context.again(self.name, pod, min(due) - self._context.clock.monotonic())

    def _write(self, pod: JsonObject, cells: list[Cell]) -> None:
        node = self._context.state.get(NODE, "", text_at(pod, "spec", "nodeName")) or {}
        addresses = objects_at(node, "status", "addresses")
        host = next((text_at(each, "address") for each in addresses if each.get("type") == "InternalIP"), "")
        ip = text_at(pod, "status", "podIP") or self._address(node)
        self._context.write_status(POD, pod, pod_status(pod, cells, host, ip, self._context.timestamp()))

    def _address(self, node: JsonObject) -> str:
        """The lowest address of the node's range that no pod has."""
        prefix = text_at(node, "spec", "podCIDR").rpartition(".")[0]
        taken = {text_at(pod, "status", "podIP") for pod in self._context.state.objects(POD)}
        return next((ip for host in range(2, 255) if (ip := f"{prefix}.{host}") not in taken), f"{prefix}.255")

    def _mounted(self, pod: JsonObject) -> bool:
        """Whether all volumes are there; tells of the first that is not, as long as nothing runs."""
        if any(cell.id for cell in self._cells_of(pod).values()):
            return True
        missing = missing_volume(self._context.state, pod)
        if missing is None:
            return True
        volume, why = missing
        now = self._context.clock.monotonic()
        if self._mounts.get(uid_of(pod), now) <= now + SLACK:
            self._tell(pod, "FailedMount", f'MountVolume.SetUp failed for volume "{volume}" : {why}', warning=True)
            self._mounts[uid_of(pod)] = now + self._context.tempo.of(self._context.tempo.config_retry)
        return False

    def _stop(self, pod: JsonObject) -> None:
        """Containers get a moment to end, within the pod's grace; then the pod is taken out."""
        uid, now = uid_of(pod), self._context.clock.monotonic()
        grace = number_at(pod, "metadata", "deletionGracePeriodSeconds")
        if uid not in self._stops:
            self._stops[uid] = now + self._seconds_to_stop(pod, 30 if grace is None else grace)
        if self._stops[uid] > now + SLACK:
            self._context.again(self.name, pod, self._stops[uid] - now)
        elif not dig(pod, "metadata", "finalizers"):
            self._context.state.remove(POD, namespace_of(pod), name_of(pod))

    def _seconds_to_stop(self, pod: JsonObject, grace: int) -> float:
        statuses = objects_at(pod, "status", "containerStatuses")
        running = [text_at(each, "name") for each in statuses if dig(each, "state", "running") is not None]
        for container in running:
            self._tell(pod, "Killing", f"Stopping container {container}", container=container)
        return min(float(grace), self._context.tempo.of(self._context.tempo.stop)) if running else 0.0

    def _forget(self, uid: str) -> None:
        self._cells.pop(uid, None)
        self._stops.pop(uid, None)
        self._mounts.pop(uid, None)
        self._book.forget(uid)

    def _tell(self, pod: JsonObject, reason: str, text: str, *, container: str = "", warning: bool = False) -> None:
        self._context.recorder.of_kubelet(pod, reason, text, container=container, warning=warning)

    def _cells_of(self, pod: JsonObject) -> dict[str, Cell]:
        if uid_of(pod) not in self._cells:
            statuses = {text_at(each, "name"): each for each in objects_at(pod, "status", "containerStatuses")}
            specs = {text_at(each, "name"): each for each in objects_at(pod, "spec", "containers")}
            self._cells[uid_of(pod)] = {name: self._found(pod, specs[name], statuses.get(name)) for name in specs}
        return self._cells[uid_of(pod)]

    def _found(self, pod: JsonObject, spec: JsonObject, status: JsonObject | None) -> Cell:
        """A container as its status tells of it: a new one, or one that another process has left running."""
        cell = Cell(name=text_at(spec, "name"), image=text_at(spec, "image"))
        if status is None:
            return cell
        now = self._context.clock.monotonic()
        cell.image, cell.image_id = text_at(status, "image") or cell.image, text_at(status, "imageID")
        cell.id, cell.state = text_at(status, "containerID"), object_at(status, "state") or CREATING
        cell.last, cell.restarts = object_at(status, "lastState"), number_at(status, "restartCount") or 0
        cell.ready, cell.started = status.get("ready") is True, status.get("started") is True
        cell.failures, cell.due = cell.restarts, now
        if cell.image_id:
            self._runtime.know(text_at(pod, "spec", "nodeName"), cell.image)
        self._resume(pod, spec, cell, now)
        return cell

    def _resume(self, pod: JsonObject, spec: JsonObject, cell: Cell, now: float) -> None:
        tempo = self._context.tempo
        reason = text_at(cell.state, "waiting", "reason")
        if "running" in cell.state:
            cell.stage, cell.code = "running", self._code(pod, spec, cell)
            cell.due = None if cell.ready else now + tempo.of(tempo.ready)
        elif "terminated" in cell.state:
            cell.stage, cell.failures = "exited", max(cell.failures, 1)
        elif reason == "CrashLoopBackOff":
            cell.stage, cell.until = "back_off", now + tempo.of(tempo.waits(cell.restarts))
            cell.due = now + tempo.of(min(tempo.reminder, tempo.waits(cell.restarts)))
        elif reason in ("ErrImagePull", "ImagePullBackOff"):
            cell.stage, cell.failures = "pull_failed", 4
            cell.until = now + tempo.of(tempo.waits(cell.failures))
            cell.due = now + tempo.of(min(tempo.reminder, tempo.waits(cell.failures)))

    def _code(self, pod: JsonObject, spec: JsonObject, cell: Cell) -> int | None:
        """Whether a run that goes on is going to end: the same question as at its start."""
        if cell.ready:
            return None
        try:
            variables = environment(self._context.state, pod, spec)
        except BadReference:
            return None
        return played(self._catalogue.program(cell.image), cell.image, name_of(pod), variables).code
