"""Preview and execution of any change: both read, both ask the API server's own dry-run, and the same request follows.

Execution does what was shown or nothing: it compares with the preconditions first (the object's uid, the values that
the change touches before and after), and writes with the uid and resourceVersion that it has just read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from skyflo_tools.concurrency import together
from skyflo_tools.errors import ApiRefused, BadArguments, Stale, ToolFailure
from skyflo_tools.jsontypes import JsonObject, text_at
from skyflo_tools.kubernetes.access import Access, Verb, review
from skyflo_tools.kubernetes.client import Answer
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.rendering import DIFF_BYTES, bounded_lines, diff
from skyflo_tools.pins import ObjectPin, Preconditions, pin
from skyflo_tools.plan import Plan, Target, Write
from skyflo_tools.preview import ChangedObject, ChangeResult, Preview
from skyflo_tools.tool import Call, Output

ATTEMPTS = 5
ATTEMPT_SECONDS = 10.0


@dataclass(frozen=True)
class Trial:
    """One object as it is, and as the API server says that it would be."""

    write: Write
    live: KubeObject | None
    after: JsonObject | None
    warnings: tuple[str, ...] = ()
    unchecked: str = ""
    refused: ApiRefused | None = None

    def pin(self, call: Call) -> ObjectPin:
        return pin(self.write, self.live, self.after, bool(self.unchecked), call.services.fingerprints)

    def shown(self, call: Call) -> str:
        before = self.live.body if self.live else None
        return diff(before, self.after, str(self.write.target), call.services.fingerprints)


@dataclass(frozen=True)
class Written(Trial):
    """One object as it was just before, and as it is now."""

    found: KubeObject | None = None


async def preview(plan: Plan, call: Call) -> Output:
    """What the plan would do, asked of the API server and told in full. Raises what the dry-run refuses."""
    trials = await together(_preview_trial(write, call) for write in plan.writes)
    unchecked = list(dict.fromkeys(trial.unchecked for trial in trials if trial.unchecked))
    result = Preview(
        summary=plan.summary,
        objects=[_described(trial.write.target, trial.live) for trial in trials],
        diff=_diff(trials, call),
        warnings=_warnings(plan, trials),
        allowed=await _access(trials, call),
        risk=plan.risk,
        preconditions=Preconditions(pinned=dict(plan.pinned), objects=[trial.pin(call) for trial in trials]),
        no_preview="; ".join(unchecked) or None,
    )
    return Output(result.text(), result)


async def execute(plan: Plan, expected: Preconditions, call: Call) -> Output:
    """Does what was shown. Raises Stale where that would no longer be the same."""
    call.effects.total = len(plan.writes)
    if len(plan.writes) != len(expected.objects):
        raise Stale(f"the change is now about {len(plan.writes)} objects, not {len(expected.objects)}")
    trials = await together(_checked_trial(*pair, call) for pair in zip(plan.writes, expected.objects, strict=True))
    written: list[Written] = []
    for trial, pinned in zip(trials, expected.objects, strict=True):
        written.append(await _write(trial, pinned, call))
    result = ChangeResult(
        summary=plan.done,
        objects=[_described(each.write.target, each.found) for each in written],
        diff=_diff(written, call),
        warnings=list(dict.fromkeys(warning for each in written for warning in each.warnings)),
    )
    return Output(result.text(), result)


async def _checked_trial(write: Write, expected: ObjectPin, call: Call) -> Trial:
    """A trial that matches what was shown."""
    if expected.cluster != write.target.cluster.name:
        raise Stale(f"what was shown is about cluster {expected.cluster}, not {write.target.cluster.name}")
    trial = await _trial(write, call)
    if trial.refused is not None:
        raise trial.refused
    if difference := trial.pin(call).difference(expected):
        raise Stale(
            f"{write.target}: {difference} since it was shown",
            hint="look at the object as it is now and propose the change again",
        )
    return trial


async def _write(trial: Trial, expected: ObjectPin, call: Call) -> Written:
    """Writes what was tried. Where the object moved meanwhile, begins again: reads, tries, compares."""
    clock, client = call.services.clock, trial.write.target.cluster.client
    until = clock.monotonic() + ATTEMPT_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        request = trial.write.operation.request(trial.write.target, trial.live)
        try:
            answer = await call.effects.send(client, request, call.identity)
            return _written(trial, answer)
        except ApiRefused as error:
            moved = await _moved(trial, error, call)
            if not moved or attempt == ATTEMPTS or clock.monotonic() >= until:
                raise _explained(error, trial.write.target) from error
        trial = await _checked_trial(trial.write, expected, call)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _written(trial: Trial, answer: Answer) -> Written:
    """The object as the API server says that it now is."""
    body = answer.json()
    if trial.write.operation.verb != "delete":
        return Written(trial.write, trial.live, body, answer.warnings, found=KubeObject(body))
    left = KubeObject(body) if text_at(body, "kind") != "Status" else None
    stays = (f"{trial.write.target} stays until {_last_duties(left)}",) if left else ()
    return Written(trial.write, trial.live, None, (*answer.warnings, *stays), found=trial.live)


def _last_duties(left: KubeObject) -> str:
    finalizers = left.at("metadata", "finalizers")
    names = [str(name) for name in finalizers] if isinstance(finalizers, list) else []
    return f"its finalizers are done: {', '.join(names)}" if names else "its grace period is over"


async def _moved(trial: Trial, error: ApiRefused, call: Call) -> bool:
    """Whether the refusal only means that the object is no longer in the state that was read. A JSON Patch, whose
    first step tests for that, is refused with 422."""
    if error.is_conflict:
        return True
    if error.status != 422 or trial.live is None:
        return False
    now = await _read(trial.write.target, call)
    return now is None or now.resource_version != trial.live.resource_version


async def _preview_trial(write: Write, call: Call) -> Trial:
    trial = await _trial(write, call)
    if trial.refused is None:
        return trial
    if trial.refused.status != 403:
        raise trial.refused
    why = "not checked by the API server, for these credentials may not make this change"
    return replace(trial, refused=None, unchecked=why, after=write.operation.guess(trial.live))


async def _trial(write: Write, call: Call) -> Trial:
    """Reads and tries; where the object moves in between, again."""
    for _ in range(ATTEMPTS - 1):
        trial = await _try_once(write, call)
        if trial.refused is None or not await _moved(trial, trial.refused, call):
            return trial
    return await _try_once(write, call)


async def _try_once(write: Write, call: Call) -> Trial:
    live = await _read(write.target, call)
    if live is None and not write.may_be_absent:
        raise ApiRefused(f"{write.target} not found", status=404, reason="NotFound", code="not_found")
    if write.unchecked:
        return Trial(write, live, write.operation.guess(live), unchecked=write.unchecked)
    request = write.operation.request(write.target, live, dry_run=True)
    try:
        answer = await write.target.cluster.client.send(request, call.identity)
    except ApiRefused as error:
        if why := _no_dry_run(error):
            return Trial(write, live, write.operation.guess(live), unchecked=why)
        return Trial(write, live, None, refused=_explained(error, write.target))
    after = None if write.operation.verb == "delete" else answer.json()
    return Trial(write, live, after, answer.warnings)


def _no_dry_run(error: ApiRefused) -> str:
    """The reason, if the request can't be tried because a webhook on its way has side effects."""
    return f"no preview: {error.message}" if "does not support dry run" in error.message else ""


def _explained(error: ApiRefused, target: Target) -> ApiRefused:
    """The refusal with a way out; where it may quote a Secret, without the API server's words."""
    if "FieldManagerConflict" in error.causes:
        hint = "another manager owns these fields: leave them out, or pass force=true to take them over"
        return error.told(error.message, code="field_conflict", hint=hint)
    if target.resource.kind == "Secret" and error.status in (400, 422):
        fields = ", ".join(error.fields) or "unknown"
        return error.told(
            f"{target} is refused as {error.reason} (fields: {fields}); its words are withheld, for they may quote it"
        )
    return error


async def _read(target: Target, call: Call) -> KubeObject | None:
    try:
        return KubeObject(await target.cluster.client.get(target.path, call.identity))
    except ApiRefused as error:
        if error.is_missing:
            return None
        raise


async def _access(trials: list[Trial], call: Call) -> Access:
    """Whether the API server's authorizer allows every verb that the change needs."""
    client = trials[0].write.target.cluster.client  # a change is about one cluster
    for verb in dict.fromkeys(verb for trial in trials for verb in _verbs(trial)):
        try:
            answer = await review(client, verb, call.identity)
        except ToolFailure as error:
            return Access(allowed=False, reason=f"could not be asked: {error.message}")
        if not answer.allowed:
            return answer
    return Access(allowed=True, reason="")


def _verbs(trial: Trial) -> list[Verb]:
    """What RBAC has to allow: to create by apply takes the right to create, too."""
    verbs = [trial.write.operation.verb] + (["create"] if trial.live is None else [])
    return [_verb(verb, trial.write.target) for verb in verbs]


def _verb(verb: str, target: Target) -> Verb:
    return Verb(
        verb=verb,
        group=target.resource.group,
        resource=target.resource.plural,
        subresource=target.subresource,
        namespace=target.namespace,
        name=target.name,
    )


def _described(target: Target, live: KubeObject | None) -> ChangedObject:
    return ChangedObject(
        cluster=target.cluster.name,
        api_version=target.resource.api_version,
        kind=target.resource.kind,
        namespace=target.namespace or None,
        name=target.name,
        uid=live.uid if live else None,
        resource_version=live.resource_version if live else None,
    )


def _diff(trials: Sequence[Trial], call: Call) -> str:
    texts = [text for trial in trials if (text := trial.shown(call))]
    return bounded_lines("\n".join(texts).splitlines(), DIFF_BYTES, "diff lines")


def _warnings(plan: Plan, trials: list[Trial]) -> list[str]:
    found = [*plan.warnings]
    for trial in trials:
        found += trial.warnings
        if trial.live is not None and trial.live.deleting:
            found.append(f"{trial.write.target} is already being deleted")
    return list(dict.fromkeys(found))


def sole_cluster(plan: Plan) -> str:
    """The cluster that a plan is about. Raises BadArguments for several."""
    names = {write.target.cluster.name for write in plan.writes}
    if len(names) != 1:
        raise BadArguments("a change is about exactly one cluster")
    return names.pop()
