"""The Jenkins tools that read builds and their logs."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_tools.jenkins import models
from skyflo_tools.jenkins.connect import open_jenkins
from skyflo_tools.jenkins.logs import read_build_log
from skyflo_tools.jenkins.paths import job_path
from skyflo_tools.kubernetes.log_reader import LogQuery, parse_alternatives
from skyflo_tools.tool import CallContext, ReadTool, ToolOutput
from skyflo_tools.tools.jenkins_jobs import SCM_TREE, JobArguments, ScmView, jenkins_tool, view_scm

LOG_BYTES = 128 * 1024 * 1024
LOG_SECONDS = 60.0
LINE_CHARACTERS = 2000
MAX_CHANGES = 100
CHANGES_TREE = f"items[commitId,msg,author[fullName],affectedPaths]{{0,{MAX_CHANGES}}}"

BuildNumber = Annotated[int, Field(ge=1, le=1_000_000_000, description="The build's number.")]


class LastBuildsArguments(JobArguments):
    limit: Annotated[int, Field(default=10, ge=1, le=100, description="How many.")]


class BuildArguments(JobArguments):
    number: BuildNumber


class BuildLogArguments(BuildArguments):
    tail: Annotated[int, Field(default=100, ge=1, le=5000, description="How many lines: the last ones.")]
    grep: Annotated[
        str, Field(default="", max_length=200, description="Only lines with this, or one of `error|fatal`.")
    ]
    start: Annotated[int | None, Field(default=None, ge=0, le=2**53, description="`next_start` of an earlier result.")]


class BuildView(BaseModel):
    number: int
    state: str
    """`building`, or Jenkins' result."""
    name: str
    started: str
    seconds: float
    queue_id: int | None
    description: str
    causes: list[str] = []
    parameters: dict[str, str] = {}
    """Values; those of secret parameters are not returned by Jenkins."""


class BuildList(BaseModel):
    builds: list[BuildView]


class BuildLogView(BaseModel):
    lines: list[str]
    read: int
    matching: int
    start: int
    next_start: int
    is_growing: bool
    is_complete: bool


class CommitView(BaseModel):
    commit: str
    author: str
    message: str
    paths: list[str]


class Changes(BaseModel):
    changes: list[CommitView]


def view_build(build: models.Build) -> BuildView:
    values = [each for action in build.actions for each in action.parameters]
    return BuildView(
        number=build.number,
        state=build.state,
        name=build.display_name or f"#{build.number}",
        started=datetime.fromtimestamp(build.timestamp / 1000, UTC).isoformat(timespec="seconds"),
        seconds=build.duration / 1000,
        queue_id=build.queue_id,
        description=build.description or "",
        causes=[cause.short_description for action in build.actions for cause in action.causes],
        parameters={each.name: "(hidden)" if each.value is None else str(each.value) for each in values},
    )


def render_build(view: BuildView) -> str:
    facts = [f"#{view.number} {view.state}", f"started {view.started}"]
    facts += [f"took {view.seconds:.0f} s"] if view.seconds else []
    facts += [", ".join(view.causes)] if view.causes else []
    facts += [" ".join(f"{name}={value}" for name, value in view.parameters.items())] if view.parameters else []
    return "; ".join(facts)


async def get_last_builds(arguments: LastBuildsArguments, call: CallContext) -> ToolOutput[BuildList]:
    tree = f"builds[{models.BUILD_TREE},{models.CAUSES_TREE}]{{0,{arguments.limit}}}"
    async with open_jenkins(call) as client:
        job = await client.read(models.Job, job_path(arguments.job), tree)
    views = [view_build(each) for each in job.builds]
    text = "\n".join(map(render_build, views)) or f"{arguments.job} has no builds."
    return ToolOutput(text, BuildList(builds=views))


async def get_build(arguments: BuildArguments, call: CallContext) -> ToolOutput[BuildView]:
    tree = f"{models.BUILD_TREE},{models.CAUSES_TREE}"
    async with open_jenkins(call) as client:
        build = await client.read(models.Build, build_path(arguments), tree)
    view = view_build(build)
    return ToolOutput("\n".join(filter(None, [f"{arguments.job} {render_build(view)}", view.description])), view)


async def get_build_log(arguments: BuildLogArguments, call: CallContext) -> ToolOutput[BuildLogView]:
    grep = parse_alternatives(arguments.grep)
    query = LogQuery(arguments.tail, grep, from_start=False, max_bytes=LOG_BYTES)
    async with open_jenkins(call) as client:
        log = await read_build_log(client, build_path(arguments), arguments.start, query)
    lines = [str(line.cut(LINE_CHARACTERS, grep)) for line in log.read.lines]
    is_complete = log.start == 0 and len(lines) == log.read.read and not log.read.stopped and not log.is_growing
    view = BuildLogView(
        lines=lines,
        read=log.read.read,
        matching=log.read.matching,
        start=log.start,
        next_start=log.next_start,
        is_growing=log.is_growing,
        is_complete=is_complete,
    )
    notes = _describe_reading(view, arguments, log.read.stopped)
    return ToolOutput("\n".join([*notes, *lines]), view)


def _describe_reading(view: BuildLogView, arguments: BuildLogArguments, stopped: str) -> list[str]:
    """Say which part of the log was read and what is not shown."""
    notes = []
    if stopped:
        notes.append(f"… reading stopped: {stopped}; later lines were not read")
    if arguments.start is not None and view.start != arguments.start:
        notes.append(f"… the log is shorter than start={arguments.start}: it was read from its beginning")
    elif view.start > 0:
        notes.append(f"… read from offset {view.start}; earlier lines: grep, or start=0 with a larger tail")
    if arguments.grep:
        notes.append(f"… {view.matching} of {view.read} lines match, {len(view.lines)} are shown")
    elif len(view.lines) < view.read:
        notes.append(f"… {view.read - len(view.lines)} earlier lines are not shown: use a larger tail or grep")
    if view.is_growing:
        notes.append(f"… the build still runs: more from start={view.next_start}")
    if not view.read:
        notes.append("… the log is empty" if view.start == 0 else "… no new lines")
    return notes


async def get_build_scm(arguments: BuildArguments, call: CallContext) -> ToolOutput[ScmView]:
    async with open_jenkins(call) as client:
        build = await client.read(models.Build, build_path(arguments), SCM_TREE)
    return ToolOutput(*view_scm(None, build.actions))


async def get_build_changesets(arguments: BuildArguments, call: CallContext) -> ToolOutput[Changes]:
    tree = f"number,changeSet[{CHANGES_TREE}],changeSets[{CHANGES_TREE}]"
    async with open_jenkins(call) as client:
        build = await client.read(models.Build, build_path(arguments), tree)
    sets = [*build.change_sets, *([build.change_set] if build.change_set else [])]
    found = [
        CommitView(
            commit=each.commit_id or "", author=each.author.full_name, message=each.msg, paths=each.affected_paths[:50]
        )
        for change_set in sets
        for each in change_set.items
    ]
    lines = [f"{each.commit[:12]} {each.author}: {each.message} ({', '.join(each.paths)})" for each in found]
    lines += (
        [f"… at most {MAX_CHANGES} of a repository are shown"]
        if any(len(each.items) >= MAX_CHANGES for each in sets)
        else []
    )
    return ToolOutput("\n".join(lines) or "This build has no changes.", Changes(changes=found))


def build_path(arguments: BuildArguments) -> str:
    return f"{job_path(arguments.job)}{arguments.number}/"


READS = (
    ReadTool(
        jenkins_tool("get_last_builds", "List builds", "Lists a job's newest builds."),
        LastBuildsArguments,
        get_last_builds,
    ),
    ReadTool(
        jenkins_tool("get_build", "Show a build", "Shows a build: state, causes, parameters."),
        BuildArguments,
        get_build,
    ),
    ReadTool(
        jenkins_tool(
            "get_build_log", "Read a build's log", "Reads the end of a build's log, or searches all of it.", LOG_SECONDS
        ),
        BuildLogArguments,
        get_build_log,
    ),
    ReadTool(
        jenkins_tool("get_build_scm", "Show built sources", "Shows the revision that a build used."),
        BuildArguments,
        get_build_scm,
    ),
    ReadTool(
        jenkins_tool("get_build_changesets", "List commits", "Lists the commits that are new in a build."),
        BuildArguments,
        get_build_changesets,
    ),
)
