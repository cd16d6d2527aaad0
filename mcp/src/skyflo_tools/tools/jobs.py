"""The tools k8s_create_job and k8s_run_pod: run a command in the cluster to its end, and bring its output."""

import secrets
import string
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import JsonObject, dig, object_at, text_at
from skyflo_tools.change_result import ChangeResult
from skyflo_tools.dry_run import DryRun
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.lookup import fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.operations import Create, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ClusterArguments, Namespace, ToolInfo
from skyflo_tools.tools.command_end import CommandResult, EndReader

MAX_WAIT_SECONDS = 480
DEADLINE = MAX_WAIT_SECONDS + 60.0
MAX_GENERATED_PREFIX = 52
INSTANTIATED = "cronjob.kubernetes.io/instantiate"

ObjectName = Annotated[
    str | None, Field(default=None, max_length=63, description="Name of the new object. Default: a generated one.")
]
Argv = Annotated[list[Annotated[str, Field(max_length=16 * 1024)]], Field(min_length=1, max_length=100)]
WaitSeconds = Annotated[
    int, Field(default=60, ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the end and the output.")
]
Image = Annotated[str, Field(min_length=1, max_length=1000)]


class CreateJobArguments(ClusterArguments):
    name: ObjectName
    namespace: Namespace
    cron_job: Annotated[
        str | None, Field(default=None, max_length=253, description="CronJob whose job is run now. Or pass image.")
    ]
    image: Annotated[Image | None, Field(default=None, description="Image of the job's container.")]
    argv: Annotated[Argv | None, Field(default=None, description="Command as a list. Default: the image's own.")]
    wait_seconds: WaitSeconds


class RunPodArguments(ClusterArguments):
    name: ObjectName
    namespace: Namespace
    image: Annotated[Image, Field(description="Image of the container.")]
    argv: Annotated[Argv | None, Field(default=None, description="Command as a list. Default: the image's own.")]
    wait_seconds: WaitSeconds
    remove: Annotated[bool, Field(default=True, description="Delete the pod after its end.")]


async def create_job(arguments: CreateJobArguments, call: CallContext) -> Plan:
    if (arguments.cron_job is None) == (arguments.image is None):
        raise InvalidArguments("pass either cron_job or image", hint="argv belongs to image")
    if arguments.cron_job is not None and arguments.argv is not None:
        raise InvalidArguments("argv can't be passed with cron_job, whose own command is run")
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    jobs = await resolve_scope(cluster, "batch/v1/Job", arguments.namespace)
    warnings: list[str] = []
    if arguments.cron_job is not None:
        cron_jobs = await resolve_scope(cluster, "batch/v1/CronJob", arguments.namespace)
        cron_job = await fetch(cron_jobs, arguments.cron_job, call.identity)
        await call.hide_values_of(cron_job.body)
        name = _choose_name(arguments.name, f"{arguments.cron_job}-manual", call)
        manifest, source = _job_of_cron_job(cron_job, name), f"from {cron_job}"
        warnings = _cron_job_warnings(cron_job)
    else:
        name = _choose_name(arguments.name, "job", call)
        manifest, source = _job_of_command(name, arguments.image or "", arguments.argv), f"of image {arguments.image}"
    target = Target(cluster, jobs.resource, jobs.namespace, name)

    async def finish(result: ChangeResult, _writes: Sequence[DryRun]) -> ChangeResult:
        return await EndReader(jobs, name, call, arguments.wait_seconds).finish(result)

    return Plan(
        writes=(Write(target, Create(manifest), may_be_absent=True),),
        summary=f"Create {target} {source} and run it now",
        done_summary=f"Created {target} {source}",
        risk=Risk(level="medium", reason="runs a command in the cluster"),
        warnings=tuple(warnings),
        pinned_values={"name": name},
        finish=finish,
    )


def _job_of_cron_job(cron_job: KubeObject, name: str) -> JsonObject:
    """Build the Job that the CronJob's controller would create, marked as started by hand."""
    template = object_at(cron_job.body, "spec", "jobTemplate")
    annotations: JsonObject = {**object_at(template, "metadata", "annotations"), INSTANTIATED: "manual"}
    owner: JsonObject = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": cron_job.name,
        "uid": cron_job.uid,
        "controller": True,
    }
    metadata: JsonObject = {"name": name, "annotations": annotations, "ownerReferences": [owner]}
    if labels := object_at(template, "metadata", "labels"):
        metadata["labels"] = labels
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": object_at(template, "spec")}


def _cron_job_warnings(cron_job: KubeObject) -> list[str]:
    found = []
    if dig(cron_job.body, "spec", "suspend") is True:
        found.append(f"{cron_job} is suspended; this job runs all the same")
    active = dig(cron_job.body, "status", "active")
    if isinstance(active, list) and active:
        policy = text_at(cron_job.body, "spec", "concurrencyPolicy")
        found.append(f"{cron_job} has {len(active)} jobs that run now (concurrencyPolicy {policy})")
    return found


def _job_of_command(name: str, image: str, argv: list[str] | None) -> JsonObject:
    """Build a Job that runs its container once: a failed command is not repeated."""
    spec: JsonObject = {"backoffLimit": 0, "template": {"spec": _pod_spec(image, argv)}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _pod_spec(image: str, argv: list[str] | None) -> JsonObject:
    command: JsonObject = {"command": [*argv]} if argv else {}
    return {"restartPolicy": "Never", "containers": [{"name": "main", "image": image, **command}]}


async def run_pod(arguments: RunPodArguments, call: CallContext) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    pods = await resolve_scope(cluster, "v1/Pod", arguments.namespace)
    name = _choose_name(arguments.name, "run", call)
    spec = _pod_spec(arguments.image, arguments.argv)
    manifest: JsonObject = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    target = Target(cluster, pods.resource, pods.namespace, name)

    async def finish(result: ChangeResult, _writes: Sequence[DryRun]) -> ChangeResult:
        reader = EndReader(pods, name, call, arguments.wait_seconds, remove=arguments.remove)
        return await reader.finish(result)

    access = ("create", "delete") if arguments.remove else ("create",)
    removal = ", and delete it after its end" if arguments.remove else ""
    return Plan(
        writes=(Write(target, Create(manifest), may_be_absent=True, access=access),),
        summary=f"Run {target} of image {arguments.image}{removal}",
        done_summary=f"Ran {target} of image {arguments.image}",
        risk=Risk(level="medium", reason="runs a command in the cluster"),
        pinned_values={"name": name},
        finish=finish,
    )


def _choose_name(given: str | None, prefix: str, call: CallContext) -> str:
    """Return the given name, that of the preview, or a new one."""
    if given is not None:
        return given
    suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))
    return call.pinned_values.get("name") or f"{prefix[:MAX_GENERATED_PREFIX].rstrip('-.')}-{suffix}"


CREATE_JOB = ChangeTool(
    ToolInfo(
        "k8s_create_job",
        "Create a job",
        "Runs a job now, from a CronJob or from an image and command. Waits for its end and brings its output.",
    ),
    CreateJobArguments,
    create_job,
    idempotent=False,
    deadline=DEADLINE,
    output=CommandResult,
)
RUN_POD = ChangeTool(
    ToolInfo(
        "k8s_run_pod",
        "Run a pod",
        "Runs a new pod with a command to its end, brings its output, and deletes it. For a command in a pod that"
        " runs already take k8s_exec.",
    ),
    RunPodArguments,
    run_pod,
    idempotent=False,
    deadline=DEADLINE,
    output=CommandResult,
)
