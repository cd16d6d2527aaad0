"""A stand-in for a Jenkins controller: its REST API as core 2.579 behaves, with state that a test controls.

No real controller is to be had where the tests run. What it does was read in Jenkins' sources, and clients that others
wrote against real controllers (`tests/jenkins/test_referees.py`) work with it.
"""

import hashlib
import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from jenkins_tree import prune
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

Json = dict[str, Any]
NOTE = "\x1b[8mha:////AAAA" + "x" * 40 + "\x1b[0m"
"""A console note: counted in the offset of a log, but not sent."""
WORKFLOW = "org.jenkinsci.plugins.workflow.job.WorkflowJob"
RUN = "org.jenkinsci.plugins.workflow.job.WorkflowRun"
FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
BRANCHES = "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject"
NOT_FOUND = Response("<html>Not Found</html>", 404, media_type="text/html")


@dataclass
class Build:
    job: "Job"
    number: int
    queue_id: int
    values: dict[str, str]
    log: str = ""
    result: str | None = None
    display_name: str = ""
    description: str | None = None

    @property
    def is_building(self) -> bool:
        return self.result is None

    def write(self, *lines: str) -> None:
        """Append lines to the log, each with a console note in front, as pipelines write them."""
        self.log += "".join(f"{NOTE}{line}\n" for line in lines)

    def bean(self, root: str) -> Json:
        secret = {each["name"] for each in self.job.parameters if each["type"] == "PasswordParameterDefinition"}
        values = [
            (
                {"_class": "hudson.model.PasswordParameterValue", "name": name}
                if name in secret
                else {"_class": "hudson.model.StringParameterValue", "name": name, "value": value}
            )
            for name, value in self.values.items()
        ]
        actions: list[Json] = [
            {"_class": "hudson.model.CauseAction", "causes": [{"shortDescription": "Started by user alice"}]},
            {"_class": "hudson.model.ParametersAction", "parameters": values},
            {
                "_class": "hudson.plugins.git.util.BuildData",
                "lastBuiltRevision": {"SHA1": "a" * 40, "branch": [{"SHA1": "a" * 40, "name": "origin/main"}]},
                "remoteUrls": ["https://git.example/shop.git"],
            },
        ]
        change = {
            "commitId": "b" * 40,
            "msg": "Fix the sum",
            "author": {"fullName": "Ann"},
            "affectedPaths": ["sum.py"],
        }
        return {
            "_class": RUN,
            "actions": actions,
            "building": self.is_building,
            "changeSets": [{"_class": "hudson.plugins.git.GitChangeSetList", "items": [change], "kind": "git"}],
            "description": self.description,
            "displayName": self.display_name or f"#{self.number}",
            "duration": 0 if self.is_building else 61_000,
            "estimatedDuration": 60_000,
            "fullDisplayName": f"{self.job.name} #{self.number}",
            "id": str(self.number),
            "inProgress": self.is_building,
            "keepLog": False,
            "number": self.number,
            "queueId": self.queue_id,
            "result": self.result,
            "timestamp": 1_790_000_000_000,
            "url": f"{root}{self.job.path}{self.number}/",
        }


@dataclass
class Job:
    full_name: str
    kind: str = WORKFLOW
    parameters: list[Json] = field(default_factory=list)
    is_buildable: bool = True
    builds: list[Build] = field(default_factory=list)
    """Newest first."""

    @property
    def name(self) -> str:
        return self.full_name.rpartition("/")[2]

    @property
    def is_folder(self) -> bool:
        return self.kind in (FOLDER, BRANCHES)

    @property
    def path(self) -> str:
        return "".join(f"job/{part.replace('%', '%25')}/" for part in self.full_name.split("/"))


@dataclass
class QueueItem:
    number: int
    job: Job
    values: dict[str, str]
    build: Build | None = None
    is_cancelled: bool = False
    is_forgotten: bool = False

    @property
    def is_waiting(self) -> bool:
        return self.build is None and not self.is_cancelled


Fault = Callable[[str, str], "Response | str | None"]


@dataclass
class Controller:
    """The state. `root` is the configured root URL, which may differ from the address of the server.

    `starts_when_asked` makes each queue item a build when its state is read the second time. `fault` may answer in
    place of the controller: before the request has an effect with a response, after it with "lose_reply".
    """

    root: str = "https://jenkins.internal.example/ci/"
    has_crumbs: bool = True
    starts_when_asked: bool = True
    fault: Fault = lambda _method, _path: None
    passwords: dict[str, str] = field(default_factory=lambda: {"alice": "alices-password"})
    tokens: dict[str, str] = field(default_factory=lambda: {"alice": "11" + "a" * 32})
    jobs: dict[str, Job] = field(default_factory=dict)
    queue: list[QueueItem] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    requests: list[tuple[str, str]] = field(default_factory=list)
    received: list[dict[str, str]] = field(default_factory=list)
    """The form of each request for a build."""
    _salt: str = field(default_factory=lambda: secrets.token_hex(8))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _asked: set[int] = field(default_factory=set)

    def add(self, *jobs: Job) -> None:
        self.jobs |= {job.full_name: job for job in jobs}

    def restart(self) -> None:
        """Forget what a restart forgets: sessions, crumbs and items that have left the queue."""
        self.sessions.clear()
        self._salt = secrets.token_hex(8)
        self.forget_left_items()

    def forget_left_items(self) -> None:
        """Forget items that have left the queue, as Jenkins does after five minutes."""
        for item in self.queue:
            item.is_forgotten = not item.is_waiting

    def start(self, item: QueueItem) -> Build:
        build = Build(item.job, len(item.job.builds) + 1, item.number, item.values)
        item.job.builds.insert(0, build)
        item.build = build
        return build

    def schedule(self, job: Job, values: dict[str, str]) -> tuple[QueueItem, bool]:
        """Return the queue item of a request, and whether it is a new one."""
        for item in self.queue:
            if item.job is job and item.is_waiting and item.values == values:
                return item, False
        item = QueueItem(next(self._numbers), job, values)
        self.queue.append(item)
        return item, True

    def crumb(self, user: str, session: str) -> str:
        return hashlib.sha256(f"{user};{session}{self._salt}".encode()).hexdigest()

    def children(self, folder: str) -> list[Job]:
        return [job for name, job in self.jobs.items() if name.rpartition("/")[0] == folder]

    def brief(self, job: Job) -> Json:
        bean = {"_class": job.kind, "name": job.name, "url": f"{self.root}{job.path}"}
        return bean if job.is_folder else {**bean, "color": "blue"}

    def job_bean(self, job: Job, *, deep: bool) -> Json:
        """Return a job with all that a `tree` may choose from, or without what stands below it."""
        bean = {**self.brief(job), "displayName": unquote(job.name), "fullName": unquote(job.full_name)}
        if job.is_folder:
            inner = [
                self.job_bean(each, deep=True) if deep else self.brief(each) for each in self.children(job.full_name)
            ]
            return {**bean, "jobs": inner, "views": []}
        builds = [build.bean(self.root) for build in job.builds]
        waiting = next((item for item in self.queue if item.job is job and item.is_waiting), None)
        definitions = [self._definition(each) for each in job.parameters]
        properties = [
            {"_class": "hudson.model.ParametersDefinitionProperty", "parameterDefinitions": definitions}
        ] * bool(definitions)
        short = [{key: build[key] for key in ("_class", "number", "url")} for build in builds]
        return {
            **bean,
            "buildable": job.is_buildable,
            "builds": builds if deep else short,
            "description": None,
            "disabled": not job.is_buildable,
            "inQueue": waiting is not None,
            "lastBuild": (builds if deep else short)[0] if builds else None,
            "nextBuildNumber": len(builds) + 1,
            "property": properties,
            "queueItem": self.item_bean(waiting) if waiting else None,
            "scm": {"_class": "hudson.plugins.git.GitSCM"},
        }

    def _definition(self, parameter: Json) -> Json:
        value = {} if parameter["type"] == "PasswordParameterDefinition" else {"value": parameter.get("default", "")}
        given = {key: parameter[key] for key in ("choices", "description") if key in parameter}
        return {
            "_class": f"hudson.model.{parameter['type']}",
            "defaultParameterValue": {"name": parameter["name"], **value},
            "name": parameter["name"],
            "type": parameter["type"],
            **given,
        }

    def item_bean(self, item: QueueItem) -> Json:
        bean: Json = {
            "_class": "hudson.model.Queue$WaitingItem" if item.is_waiting else "hudson.model.Queue$LeftItem",
            "blocked": False,
            "buildable": False,
            "id": item.number,
            "inQueueSince": int(time.time() * 1000),
            "params": "",
            "stuck": False,
            "task": self.brief(item.job),
            "url": f"queue/item/{item.number}/",
            "why": "In the quiet period. Expires in 4.9 sec" if item.is_waiting else None,
        }
        if item.is_waiting:
            return bean
        run = item.build and {"_class": RUN, "number": item.build.number, "url": item.build.bean(self.root)["url"]}
        return {**bean, "cancelled": item.is_cancelled, "executable": run}

    def note_read(self, item: QueueItem) -> None:
        """Start the build of an item that is read again."""
        if self.starts_when_asked and item.is_waiting and item.number in self._asked:
            self.start(item).write("begin")
        self._asked.add(item.number)


def tree_of(request: Request) -> str:
    return parse_qs(request.url.query).get("tree", [""])[0]


def answer(request: Request, bean: Json) -> Response:
    tree = tree_of(request)
    return JSONResponse(prune(bean, tree) if tree else bean)


def redirect(to: str) -> Response:
    return RedirectResponse(to, 302)
