"""Read the state of Argo Rollouts' objects: phase, step, weight, versions, analyses. No I/O."""

from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, dig, number_at, object_at, objects_at, text_at
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import Resource
from skyflo_tools.kubernetes.rendering import to_yaml
from skyflo_tools.kubernetes.workloads import RolloutState
from skyflo_tools.shortening import one_line

GROUP = "argoproj.io"
POD_HASH = "rollouts-pod-template-hash"
REVISION = "rollout.argoproj.io/revision"
NOT_OBSERVED = "its controller has not seen the latest change yet"
STEP_CHARACTERS = 160
MESSAGE_CHARACTERS = 600
MAX_METRICS_SHOWN = 10
_STATES: dict[str, RolloutState] = {"Healthy": "complete", "Degraded": "failed", "Paused": "paused"}


def is_argo_rollout(resource: Resource) -> bool:
    return (resource.group, resource.kind) == (GROUP, "Rollout")


@dataclass(frozen=True)
class ArgoRollout:
    """A Rollout with the parts of its spec and status that the tools use."""

    found: KubeObject

    def __str__(self) -> str:
        return str(self.found)

    @property
    def is_observed(self) -> bool:
        """Whether the status is about the present spec. The controller writes the generation as text."""
        observed = text_at(self.found.body, "status", "observedGeneration")
        generation = number_at(self.found.body, "metadata", "generation") or 0
        return not observed.isdecimal() or len(observed) > 18 or int(observed) >= generation

    @property
    def phase(self) -> str:
        return (text_at(self.found.body, "status", "phase") if self.is_observed else "") or "Progressing"

    @property
    def message(self) -> str:
        if not self.is_observed or "status" not in self.found.body:
            return NOT_OBSERVED
        return one_line(text_at(self.found.body, "status", "message"), MESSAGE_CHARACTERS)

    @property
    def state(self) -> RolloutState:
        return _STATES.get(self.phase, "progressing")

    @property
    def is_canary(self) -> bool:
        return isinstance(dig(self.found.body, "spec", "strategy", "canary"), dict)

    @property
    def strategy(self) -> str:
        names = {"canary": "Canary", "blueGreen": "BlueGreen"}
        kinds = object_at(self.found.body, "spec", "strategy")
        return next((name for key, name in names.items() if key in kinds), "none")

    @property
    def steps(self) -> list[JsonObject]:
        return objects_at(self.found.body, "spec", "strategy", "canary", "steps")

    @property
    def step(self) -> int | None:
        """The index of the step that runs now; as many as there are steps when all are done; None without steps."""
        if not self.steps:
            return None
        return number_at(self.found.body, "status", "currentStepIndex") or 0

    @property
    def step_text(self) -> str:
        return "" if self.step is None else f"{self.step}/{len(self.steps)}"

    @property
    def weight(self) -> str:
        """The share of the new version in percent: what a router reports, else what the steps so far have set."""
        actual = number_at(self.found.body, "status", "canary", "weights", "canary", "weight")
        if actual is not None:
            return str(actual)
        if not self.is_canary or not self.is_rolling_out:
            return "100" if self.is_canary else ""
        done = self.steps[: (self.step or 0) + 1]
        weights = [weight for each in done if (weight := number_at(each, "setWeight")) is not None]
        return "0" if self.is_aborted else str(weights[-1] if weights else 0 if self.steps else 100)

    @property
    def new_hash(self) -> str:
        return text_at(self.found.body, "status", "currentPodHash")

    @property
    def stable_hash(self) -> str:
        return text_at(self.found.body, "status", "stableRS")

    @property
    def is_rolling_out(self) -> bool:
        """Whether a new version is on its way: it differs from the stable one."""
        return self.new_hash != self.stable_hash

    @property
    def is_aborted(self) -> bool:
        return dig(self.found.body, "status", "abort") is True

    @property
    def is_paused_by_spec(self) -> bool:
        return dig(self.found.body, "spec", "paused") is True

    @property
    def pause_reasons(self) -> list[str]:
        return [text_at(each, "reason") for each in objects_at(self.found.body, "status", "pauseConditions")]

    @property
    def is_inconclusive(self) -> bool:
        """Whether it waits because the analysis of the present step has no clear result."""
        status = text_at(self.found.body, "status", "canary", "currentStepAnalysisRunStatus", "status")
        return bool(self.pause_reasons) and status == "Inconclusive"

    @property
    def workload_reference(self) -> str:
        """The workload whose pod template it uses, such as `deployment/api`; empty if it has one of its own."""
        reference = object_at(self.found.body, "spec", "workloadRef")
        return f"{text_at(reference, 'kind').lower()}/{text_at(reference, 'name')}" if reference else ""

    def count(self, field: str) -> int:
        return number_at(self.found.body, "status", field) or 0

    @property
    def replicas(self) -> int:
        wanted = number_at(self.found.body, "spec", "replicas")
        return 1 if wanted is None else wanted

    def role_of(self, pod_hash: str) -> str:
        """Say what a version is to the Rollout: stable, canary, active, preview."""
        blue_green = object_at(self.found.body, "status", "blueGreen")
        roles = {
            "stable": self.stable_hash,
            "canary": self.new_hash if self.is_canary and self.is_rolling_out else "",
            "active": text_at(blue_green, "activeSelector"),
            "preview": text_at(blue_green, "previewSelector"),
        }
        return ", ".join(role for role, which in roles.items() if which and which == pod_hash)

    def lines(self) -> list[str]:
        """Return what holds or moves the rollout, each fact in a line."""
        lines = [f"strategy {self.strategy}"]
        if self.step is not None:
            lines[0] += f", step {self.step_text}"
        lines[0] += f", weight of the new version {self.weight} %" if self.weight else ""
        counts = {name: self.count(f"{name}Replicas") for name in ("ready", "updated", "available")}
        lines.append(f"{self.replicas} replicas wanted; " + ", ".join(f"{n} {name}" for name, n in counts.items()))
        if self.pause_reasons:
            lines.append(f"waits ({', '.join(self.pause_reasons)}) until it is promoted (argo_promote) or aborted")
        if self.is_paused_by_spec:
            lines.append("paused by spec.paused until argo_resume_rollout")
        if self.is_aborted:
            lines.append("ABORTED: the stable version serves; argo_retry tries the new one again")
        if self.workload_reference:
            lines.append(f"its pod template is that of {self.workload_reference}: change that one")
        return lines

    def step_lines(self) -> list[str]:
        """Return the steps of a canary, with a mark at the present one."""
        present = self.step
        marks = {True: "done", False: "to come"}
        return [
            f"step {number}: {describe_step(step)} ({'now' if number == present else marks[number < (present or 0)]})"
            for number, step in enumerate(self.steps)
        ]


def describe_step(step: JsonObject) -> str:
    """Return a step in one line, such as `setWeight: 20` or `pause: {}`."""
    return one_line(to_yaml(step), STEP_CHARACTERS)


def describe_run(run: KubeObject) -> str:
    """Return the state of an AnalysisRun or Experiment, with the metrics that explain it."""
    status = object_at(run.body, "status")
    phase = text_at(status, "phase") or "without status"
    message = one_line(text_at(status, "message"), MESSAGE_CHARACTERS)
    parts = [f"{phase}: {message}" if message else phase]
    metrics = objects_at(status, "metricResults")
    parts += [_describe_metric(each) for each in metrics[:MAX_METRICS_SHOWN]]
    parts += [f"… {len(metrics) - MAX_METRICS_SHOWN} more metrics"] if len(metrics) > MAX_METRICS_SHOWN else []
    parts += [
        f"{text_at(each, 'name')} {text_at(each, 'phase') or text_at(each, 'status')}"
        for name in ("templateStatuses", "analysisRuns")
        for each in objects_at(status, name)[:MAX_METRICS_SHOWN]
    ]
    return "; ".join(parts)


def _describe_metric(metric: JsonObject) -> str:
    counts = {name: number_at(metric, name) for name in ("successful", "failed", "inconclusive", "error")}
    counted = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    latest = objects_at(metric, "measurements")[-1:]
    value = f", latest value {one_line(text_at(latest[0], 'value'), 80)}" if latest and "value" in latest[0] else ""
    message = one_line(text_at(metric, "message"), MESSAGE_CHARACTERS)
    return (
        f"{text_at(metric, 'name')} {text_at(metric, 'phase')}"
        + (f" ({counted}{value})" if counted or value else "")
        + (f": {message}" if message else "")
    )
