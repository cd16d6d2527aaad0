"""The Jenkins tools that start, rename and stop builds."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from skyflo_tools.change_result import ChangeResult
from skyflo_tools.errors import InvalidArguments, NoDifference, StalePreview, ToolFailure
from skyflo_tools.jenkins import models, queue
from skyflo_tools.jenkins.client import JenkinsClient, JenkinsUnreachable
from skyflo_tools.jenkins.connect import open_jenkins
from skyflo_tools.jenkins.parameters import BuildValues, choose_values
from skyflo_tools.jenkins.paths import job_path, queue_number
from skyflo_tools.jenkins.queue import QueueOutcome, find_request, follow_item
from skyflo_tools.plan import Plan
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool
from skyflo_tools.tools.jenkins_builds import BuildArguments, build_path, render_build, view_build
from skyflo_tools.tools.jenkins_jobs import JobArguments, jenkins_tool

CONTROLLER_PIN = "jenkins_controller"
STATE_PIN = "jenkins_state"
REQUEST_PIN = "jenkins_request"
LOOK_HINT = "look for it with jenkins_get_queue and jenkins_get_last_builds before you propose it again"
STOP_SECONDS = 15.0
MAX_WAIT_SECONDS = 120
STALE_HINT = "read the job again, then propose the change again"


class SecretParameter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(max_length=200)]
    password: Annotated[str, Field(max_length=16 * 1024)]


class TriggerArguments(JobArguments):
    parameters: Annotated[
        dict[str, Annotated[str, Field(max_length=256 * 1024)]],
        Field(
            default={},
            max_length=100,
            description="Values by name; of a file parameter its text. Others keep their defaults.",
        ),
    ]
    secret_parameters: Annotated[
        list[SecretParameter], Field(default=[], max_length=50, description="Values of secret parameters.")
    ]
    wait_seconds: Annotated[
        int, Field(default=20, ge=0, le=MAX_WAIT_SECONDS, description="How long to wait for the build's number.")
    ]


class UpdateArguments(BuildArguments):
    display_name: Annotated[str | None, Field(default=None, max_length=500, description="New name.")]
    description: Annotated[str | None, Field(default=None, max_length=16 * 1024, description="New text.")]


class StopArguments(BuildArguments):
    how: Annotated[
        Literal["stop", "term", "kill"],
        Field(default="stop", description="term and kill are for a pipeline that does not stop."),
    ]


@dataclass
class _Triggered:
    """What the request has led to, between sending it and following it."""

    item: int | None = None
    found: QueueOutcome | None = None
    text: str = ""


async def trigger_build(arguments: TriggerArguments, call: CallContext) -> Plan:
    for each in arguments.secret_parameters:
        call.secrets.append(each.password)
    tree = f"buildable,lastBuild[number,building],queueItem[id,why],jobs[name],{models.PARAMETERS_TREE}"
    async with open_jenkins(call) as client:
        job = await client.read(models.Job, job_path(arguments.job), tree)
        where = client.access.api_url
    if job.jobs is not None:
        raise InvalidArguments(f"{arguments.job} is a folder", hint="name one of its jobs: jenkins_get_jobs")
    if not job.buildable:
        raise InvalidArguments(f"{arguments.job} is disabled or can't be built")
    given_secrets = {each.name: each.password for each in arguments.secret_parameters}
    if len(given_secrets) != len(arguments.secret_parameters):
        raise InvalidArguments("a secret parameter is given twice")
    values = choose_values(job.parameters, arguments.parameters, given_secrets, call.pinned_values.get(REQUEST_PIN, ""))
    definitions = ",".join(each.model_dump_json() for each in job.parameters)
    triggered = _Triggered()
    return Plan(
        writes=(),
        summary=f"Start a build of {arguments.job} on {where}",
        done_summary=f"Requested a build of {arguments.job}",
        risk=Risk(level="medium", reason="a build does whatever its job says"),
        warnings=tuple(_warn_of_others(job)),
        pinned_values=_pin(call, definitions) | ({REQUEST_PIN: values.request_id} if values.request_id else {}),
        changes_more=True,
        own_diff=(f"--- {arguments.job}", f"+++ {arguments.job}: a new build", *values.lines),
        run=lambda: _request_build(arguments, job, values, triggered, call),
        finish=lambda result, _: _follow_build(arguments, triggered, result, call),
    )


def _warn_of_others(job: models.Job) -> list[str]:
    warnings = []
    if job.queue_item is not None:
        warnings.append(f"item {job.queue_item.id} of this job waits already: an equal request is merged with it")
    if job.last_build is not None and job.last_build.building:
        warnings.append(f"build #{job.last_build.number} of this job runs now")
    return warnings


def _pin(call: CallContext, state: str) -> dict[str, str]:
    """Pin the controller and the state that was shown. Raises StalePreview if they are not those of the preview."""
    access, fingerprints = call.jenkins, call.services.fingerprints
    address = f"{access.api_url} {access.username}" if access is not None else ""
    pins = {CONTROLLER_PIN: fingerprints.of(address), STATE_PIN: fingerprints.of(state)}
    for name, what in ((CONTROLLER_PIN, "the Jenkins integration"), (STATE_PIN, "the job or the build")):
        if call.pinned_values and call.pinned_values.get(name) != pins[name]:
            raise StalePreview(f"{what} has changed since the preview", hint=STALE_HINT)
    return pins


async def _request_build(
    arguments: TriggerArguments, job: models.Job, values: BuildValues, triggered: _Triggered, call: CallContext
) -> Sequence[str]:
    """Send the request once, and tell a new queue item from one that waited already."""
    path = job_path(arguments.job)
    async with open_jenkins(call) as client:
        try:
            if job.parameters:
                where = f"{path}buildWithParameters"
                reply = await client.change(where, call.effects, values.form, values.files or None)
            else:
                reply = await client.change(f"{path}build", call.effects)
        except JenkinsUnreachable as error:
            triggered.found = await _find_lost(client, path, values, error, call)
            return ["the answer of Jenkins was lost; the build was found by its request id"]
    triggered.item = queue_number(reply.headers.get("Location", ""))
    waited = job.queue_item is not None and job.queue_item.id == triggered.item
    if reply.status == 303 or waited:
        triggered.text = f"an equal request waited already as item {triggered.item}: no build of its own was added"
    return ()


async def _find_lost(
    client: JenkinsClient, path: str, values: BuildValues, error: JenkinsUnreachable, call: CallContext
) -> QueueOutcome:
    """Look for a request whose answer was lost by its own id. Raises the error where it is not found."""
    if not error.sent:
        raise error
    if values.request_id:
        try:
            found = await find_request(client, path, values.request_id)
        except ToolFailure:
            found = None  # the first error says more
        if found is not None:
            call.effects.settle("done")
            return found
    message = f"{error.message}. It is not known whether Jenkins has queued the build"
    raise ToolFailure(message, code=error.code, effect="unknown", hint=LOOK_HINT) from error


async def _follow_build(
    arguments: TriggerArguments, triggered: _Triggered, result: ChangeResult, call: CallContext
) -> ChangeResult:
    report = [triggered.text] if triggered.text else []
    if triggered.found is not None:
        report.append(triggered.found.text)
    elif triggered.item is None:
        report.append("Jenkins did not name the queue item: jenkins_get_last_builds shows the build")
    else:
        path, seconds = job_path(arguments.job), float(arguments.wait_seconds)
        async with open_jenkins(call) as client:
            try:
                outcome = await follow_item(client, path, triggered.item, seconds, call.services.clock)
                report.append(outcome.text)
            except ToolFailure as error:
                report.append(f"item {triggered.item} was queued; then {error.message}")
    return result.model_copy(update={"report": report})


async def update_build(arguments: UpdateArguments, call: CallContext) -> Plan:
    async with open_jenkins(call) as client:
        build = await client.read(models.Build, build_path(arguments), models.BUILD_TREE)
    before = {"display_name": build.display_name or "", "description": build.description or ""}
    wanted = {"display_name": arguments.display_name, "description": arguments.description}
    changed = {name: value for name, value in wanted.items() if value is not None and value != before[name]}
    if not changed:
        raise NoDifference("no difference: the build has this name and description")
    lines = [line for name, value in changed.items() for line in (f"-{name}: {before[name]}", f"+{name}: {value}")]
    what = f"build #{arguments.number} of {arguments.job}"
    return Plan(
        writes=(),
        summary=f"Change {' and '.join(changed)} of {what}",
        done_summary=f"Changed {what}",
        risk=Risk(level="low", reason="only what people read of the build changes"),
        pinned_values=_pin(call, json.dumps(before)),
        changes_more=True,
        own_diff=(f"--- {what}", f"+++ {what}", *lines),
        run=lambda: _send_update(arguments, before | changed, changed, call),
    )


async def _send_update(
    arguments: UpdateArguments, after: dict[str, str], changed: dict[str, str], call: CallContext
) -> Sequence[str]:
    path, form = f"{build_path(arguments)}submitDescription", {"description": after["description"]}
    if "display_name" in changed:
        path = f"{build_path(arguments)}configSubmit"
        form = {"json": json.dumps({"displayName": after["display_name"], "description": after["description"]})}
    async with open_jenkins(call) as client:
        await client.change(path, call.effects, form)
    return ()


async def stop_build(arguments: StopArguments, call: CallContext) -> Plan:
    async with open_jenkins(call) as client:
        tree = f"{models.BUILD_TREE},{models.CAUSES_TREE}"
        build = await client.read(models.Build, build_path(arguments), tree)
    what = f"build #{arguments.number} of {arguments.job}"
    if not build.building:
        raise NoDifference(f"no difference: {what} has ended: {build.state}")
    return Plan(
        writes=(),
        summary=f"Stop {what}",
        done_summary=f"Asked Jenkins to stop {what}",
        risk=Risk(level="destructive", reason="what the build was doing stays half done"),
        pinned_values=_pin(call, f"{build.timestamp} {build.queue_id}"),
        changes_more=True,
        own_diff=(f"--- {what}", f"+++ {what}", f"-{render_build(view_build(build))}", f"+{arguments.how}"),
        run=lambda: _send_stop(arguments, call),
        finish=lambda result, _: _follow_stop(arguments, result, call),
    )


async def _send_stop(arguments: StopArguments, call: CallContext) -> Sequence[str]:
    async with open_jenkins(call) as client:
        await client.change(f"{build_path(arguments)}{arguments.how}", call.effects)
    return ()


async def _follow_stop(arguments: StopArguments, result: ChangeResult, call: CallContext) -> ChangeResult:
    """Wait for the end of the build: the status of the request says nothing, also where nothing was building."""
    clock = call.services.clock
    give_up_at, text = clock.monotonic() + STOP_SECONDS, "it is not known whether the build has ended"
    async with open_jenkins(call) as client:
        while clock.monotonic() < give_up_at:
            try:
                build = await client.read(models.Build, build_path(arguments), models.BUILD_TREE)
            except ToolFailure as error:
                text = f"the build could not be read: {error.message}"
            else:
                text = f"the build has ended: {build.state}" if not build.building else "the build still runs"
                if not build.building:
                    break
            await asyncio.sleep(queue.STEP_SECONDS)
    return result.model_copy(update={"report": [text]})


CHANGES = (
    ChangeTool(
        jenkins_tool("trigger_build", "Start a build", "Starts a build of a job and follows the queue to its number."),
        TriggerArguments,
        trigger_build,
        idempotent=False,
        deadline=60.0 + MAX_WAIT_SECONDS,
    ),
    ChangeTool(
        jenkins_tool("update_build", "Describe a build", "Sets a build's display name and description."),
        UpdateArguments,
        update_build,
    ),
    ChangeTool(
        jenkins_tool("stop_build", "Stop a build", "Stops a running build."),
        StopArguments,
        stop_build,
        destructive=True,
    ),
)
