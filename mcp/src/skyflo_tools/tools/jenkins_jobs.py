"""The Jenkins tools that read the controller, its jobs and its queue."""

from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from skyflo_tools.jenkins import models
from skyflo_tools.jenkins.connect import open_jenkins
from skyflo_tools.jenkins.paths import job_name, job_path
from skyflo_tools.tool import CallContext, ReadTool, ToolArguments, ToolInfo, ToolOutput

JENKINS_TAGS = frozenset({"jenkins"})
MAX_ITEMS = 1000
SCM_TREE = "scm[userRemoteConfigs[url],branches[name]],actions[lastBuiltRevision[SHA1,branch[name]],remoteUrls]"

JobName = Annotated[str, Field(min_length=1, max_length=1000, description="Such as `folder/job` or `app/feature%2Fx`.")]


def jenkins_tool(name: str, title: str, description: str, deadline: float = 30.0) -> ToolInfo:
    """Return what a Jenkins tool publishes."""
    return ToolInfo(f"jenkins_{name}", title, description, tags=JENKINS_TAGS, integration="jenkins", deadline=deadline)


class NoArguments(ToolArguments):
    pass


class JobArguments(ToolArguments):
    job: JobName


class FolderArguments(ToolArguments):
    folder: Annotated[str, Field(default="", max_length=1000, description="Default: the top.")]


class WhoAmI(BaseModel):
    user: str
    anonymous: bool
    authorities: list[str]
    version: str
    address: str


class JobEntry(BaseModel):
    name: str
    kind: str
    color: str
    """Jenkins' ball: blue is a success, red a failure, `_anime` a running build."""


class JobList(BaseModel):
    jobs: list[JobEntry]
    is_complete: bool


class ParameterView(BaseModel):
    """A parameter of a job. The default of a secret is never shown."""

    name: str
    type: str
    default: JsonValue
    choices: list[str]
    description: str
    secret: bool


class JobView(BaseModel):
    name: str
    kind: str
    description: str
    buildable: bool
    in_queue: str
    next_build_number: int | None
    last_build: str
    parameters: list[ParameterView]
    jobs: list[str]


class ParameterList(BaseModel):
    parameters: list[ParameterView]


class ScmView(BaseModel):
    scm: str
    remotes: list[str]
    revisions: list[str]


class QueueEntry(BaseModel):
    id: int
    job: str
    why: str
    stuck: bool


class QueueView(BaseModel):
    items: list[QueueEntry]
    is_complete: bool


async def whoami(_: NoArguments, call: CallContext) -> ToolOutput[WhoAmI]:
    async with open_jenkins(call) as client:
        reply = await client.get("whoAmI/api/json")
        person = models.Person.model_validate_json(reply.body)
        found = WhoAmI(
            user=person.id or person.name or "",
            anonymous=person.anonymous,
            authorities=person.authorities[:100],
            version=reply.headers.get("X-Jenkins", "unknown"),
            address=client.access.api_url,
        )
    text = f"{found.user} on Jenkins {found.version} at {found.address}; groups: {', '.join(found.authorities)}"
    return ToolOutput(text, found)


async def get_jobs(arguments: FolderArguments, call: CallContext) -> ToolOutput[JobList]:
    path = job_path(arguments.folder) if arguments.folder else ""
    async with open_jenkins(call) as client:
        found = await client.read(models.Job, path, f"jobs[name,url,color]{{0,{MAX_ITEMS + 1}}}")
    prefix = f"{arguments.folder.strip('/')}/" if arguments.folder else ""
    jobs = found.jobs or []
    entries = [JobEntry(name=prefix + each.name, kind=each.kind, color=each.color or "") for each in jobs[:MAX_ITEMS]]
    lines = [f"{entry.name}  {entry.kind}  {entry.color}".rstrip() for entry in entries]
    if found.jobs is None:
        lines = [f"{arguments.folder} is a job, not a folder: use jenkins_get_job"]
    elif len(jobs) > MAX_ITEMS:
        lines.append(f"… there are more than {MAX_ITEMS}: read a folder")
    text = "\n".join(lines) or "There are no jobs here that this user may see."
    return ToolOutput(text, JobList(jobs=entries, is_complete=len(jobs) <= MAX_ITEMS))


async def get_job(arguments: JobArguments, call: CallContext) -> ToolOutput[JobView]:
    tree = (
        f"name,fullName,url,description,buildable,inQueue,nextBuildNumber,queueItem[{models.ITEM_TREE}],"
        f"lastBuild[{models.BUILD_TREE}],{models.PARAMETERS_TREE},jobs[name,url]{{0,{MAX_ITEMS}}}"
    )
    async with open_jenkins(call) as client:
        job = await client.read(models.Job, job_path(arguments.job), tree)
    last, waiting = job.last_build, job.queue_item
    view = JobView(
        name=arguments.job,
        kind=job.kind,
        description=job.description or "",
        buildable=job.buildable and job.jobs is None,
        in_queue=f"item {waiting.id}: {waiting.why or 'leaves the queue'}" if waiting else "",
        next_build_number=job.next_build_number,
        last_build=f"#{last.number} {last.state}" if last else "",
        parameters=[view_parameter(each) for each in job.parameters],
        jobs=[each.name for each in job.jobs or []],
    )
    facts = {
        "last build": view.last_build or "none",
        "in queue": view.in_queue or "no",
        "buildable": "yes" if view.buildable else "no",
        "description": view.description,
        "jobs": ", ".join(view.jobs),
    }
    lines = [f"{view.name} ({view.kind})", *(f"{name}: {value}" for name, value in facts.items() if value)]
    return ToolOutput("\n".join([*lines, *map(render_parameter, view.parameters)]), view)


async def get_job_parameters(arguments: JobArguments, call: CallContext) -> ToolOutput[ParameterList]:
    async with open_jenkins(call) as client:
        job = await client.read(models.Job, job_path(arguments.job), models.PARAMETERS_TREE)
    views = [view_parameter(each) for each in job.parameters]
    text = "\n".join(map(render_parameter, views)) or f"{arguments.job} takes no parameters."
    return ToolOutput(text, ParameterList(parameters=views))


async def get_job_scm(arguments: JobArguments, call: CallContext) -> ToolOutput[ScmView]:
    async with open_jenkins(call) as client:
        job = await client.read(models.ScmJob, job_path(arguments.job), f"{SCM_TREE},lastBuild[{SCM_TREE}]")
    return ToolOutput(*view_scm(job.scm, [*job.actions, *(job.last_build.actions if job.last_build else [])]))


async def get_queue(_: NoArguments, call: CallContext) -> ToolOutput[QueueView]:
    async with open_jenkins(call) as client:
        queue = await client.read(models.Queue, "queue/", f"items[{models.ITEM_TREE}]{{0,{MAX_ITEMS + 1}}}")
    items = [
        QueueEntry(id=each.id, job=job_name(each.task.url), why=each.why or "", stuck=each.stuck)
        for each in queue.items[:MAX_ITEMS]
    ]
    lines = [f"item {each.id}: {each.job}: {each.why}{' (stuck)' if each.stuck else ''}" for each in items]
    is_complete = len(queue.items) <= MAX_ITEMS
    lines += [] if is_complete else [f"… there are more than {MAX_ITEMS} items"]
    return ToolOutput("\n".join(lines) or "The queue is empty.", QueueView(items=items, is_complete=is_complete))


def view_parameter(definition: models.ParameterDefinition) -> ParameterView:
    return ParameterView(
        name=definition.name,
        type=definition.type.removesuffix("ParameterDefinition"),
        default=definition.default,
        choices=definition.choices or [],
        description=definition.description or "",
        secret=definition.is_secret,
    )


def render_parameter(view: ParameterView) -> str:
    choices = f", one of {', '.join(view.choices)}" if view.choices else ""
    default = "its default is hidden" if view.secret else f"default {view.default!r}"
    return f"parameter {view.name}: {view.type}{choices}, {default}. {view.description}".rstrip(". ")


def view_scm(scm: models.Scm | None, actions: list[models.Action]) -> tuple[str, ScmView]:
    """Describe where sources come from, and which revision was built."""
    revisions = [
        " ".join([revision.sha1, *(str(each.get("name", "")) for each in revision.branch)])
        for revision in (action.last_built_revision for action in actions)
        if revision is not None
    ]
    remotes = [url for action in actions for url in action.remote_urls]
    remotes += [each.url for each in (scm.user_remote_configs if scm else []) if each.url]
    view = ScmView(scm=scm.kind if scm else "", remotes=list(dict.fromkeys(remotes)), revisions=revisions)
    lines = [f"scm: {view.scm or 'not told'}", *(f"remote: {each}" for each in view.remotes)]
    lines += [f"built: {each}" for each in view.revisions]
    return "\n".join(lines), view


READS = (
    ReadTool(jenkins_tool("whoami", "Who am I on Jenkins", "Shows the user, groups and version."), NoArguments, whoami),
    ReadTool(jenkins_tool("get_jobs", "List Jenkins jobs", "Lists jobs and folders."), FolderArguments, get_jobs),
    ReadTool(
        jenkins_tool(
            "get_job", "Show a Jenkins job", "Shows a job: last build, queue, parameters, or a folder's jobs."
        ),
        JobArguments,
        get_job,
    ),
    ReadTool(
        jenkins_tool("get_job_parameters", "List parameters", "Lists a job's parameters."),
        JobArguments,
        get_job_parameters,
    ),
    ReadTool(jenkins_tool("get_job_scm", "Show sources", "Shows a job's repository."), JobArguments, get_job_scm),
    ReadTool(
        jenkins_tool("get_queue", "Show the queue", "Lists what waits for an executor, and why."),
        NoArguments,
        get_queue,
    ),
)
