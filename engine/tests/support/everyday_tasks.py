"""Run everyday tasks of a cluster's operator: known solutions, called by a scripted model and approved by a person.

A task is data: objects to start from, the symptom that must be there first, tool calls, and what the cluster must look
like afterwards. The tasks are in `engine/tests/e2e/tasks`.
"""

import asyncio
import functools
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tests.support.api_user import Answer, ApiUser
from tests.support.kubectl_proxy import ClusterReader, kubectl_proxy
from tests.support.model_script import Call, Reply, Rule, Script, Step, When
from tests.support.product import Product
from tests.support.waiting import PATIENCE, eventually

__all__ = ["EverydayTask", "load_tasks", "render_table", "run_tasks"]

TASKS = Path(__file__).parents[1] / "e2e" / "tasks"
AT_ONCE = 6
MAX_DECISIONS = 10
GLOBAL_KINDS = "storageclass,persistentvolume"
OWNED = "everyday-tasks"


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Observation(Data):
    """What an object or a list of objects in the task's namespace must show.

    `path` leads to a value by member names and positions; `*` goes through all items of a list. Without it the object
    must exist. A value matches by exactly one of `equals`, `matches` (a regular expression) and `count` (of a list).
    """

    get: str
    path: str = ""
    equals: JsonValue = None
    matches: str = ""
    count: int | None = None
    exists: bool = True

    def holds(self, found: Any) -> bool:
        if found is None or not self.exists:
            return (found is not None) == self.exists
        value = _at(found, self.path.split(".") if self.path else [])
        if self.count is not None:
            return isinstance(value, list) and len(value) == self.count
        if self.matches:
            return value is not None and re.search(self.matches, _text(value)) is not None
        return not self.path or value == self.equals


class TaskCall(Data):
    """One tool call. The task's namespace is added to the arguments, unless they have one; null leaves it out.

    `finds` is searched in the result before; its named groups fill `${name}` in the arguments. `shows` and `lacks` are
    searched in the result. A change has `preview`: searched in its summary, warnings and difference.
    """

    tool: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    finds: str = ""
    shows: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    preview: tuple[str, ...] = ()


class EverydayTask(Data):
    """A task. `source` and `name` say which public task has this situation; all of its data is our own."""

    name: str
    source: Literal["k8s-ai-bench", "HolmesGPT"]
    situation: str
    real_node: bool = False
    setup: str = ""
    symptom: tuple[Observation, ...] = ()
    calls: tuple[TaskCall, ...] = Field(min_length=1)
    outcome: tuple[Observation, ...] = ()

    @property
    def request(self) -> str:
        return f"Task {self.name}: {self.situation}"

    def in_namespace(self, namespace: str) -> "EverydayTask":
        """Return the task with its namespace filled in."""
        filled = json.loads(self.model_dump_json().replace("<namespace>", namespace))
        return EverydayTask.model_validate(filled)


def load_tasks(*, real_node: bool) -> Sequence[EverydayTask]:
    """Read the tasks for a real node, or those for simulated nodes."""
    return [task for task in _load_all_tasks() if task.real_node == real_node]


@functools.cache
def _load_all_tasks() -> Sequence[EverydayTask]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # each worker of the suite loads them; in C that is 0.1 s
    read = [yaml.load(file.read_text(), loader) for file in sorted(TASKS.glob("*.yaml"))]  # noqa: S506 - both are safe
    return [EverydayTask.model_validate(each) for listed in read for each in listed]


def render_table(tasks: Sequence[EverydayTask]) -> str:
    """Render the tasks as the Markdown table of `docs/everyday-tasks.md`."""
    head = "| situation | public task | node | calls |\n|---|---|---|---|\n"
    rows = (
        f"| {task.situation} | {task.source}: `{task.name}` | {'real' if task.real_node else 'simulated'} |"
        f" {', '.join(f'`{call.tool}`' for call in task.calls)} |\n"
        for task in tasks
    )
    return head + "".join(rows)


def run_tasks(product: Product, tasks: Sequence[EverydayTask]) -> Mapping[str, str]:
    """Run the tasks, several at a time, each in its own namespace. Return by name what went wrong, or nothing."""
    prefix = f"task-{secrets.token_hex(2)}"
    placed = [Placed(task.in_namespace(f"{prefix}-{n}"), f"{prefix}-{n}") for n, task in enumerate(tasks)]
    product.model.reset()
    product.model.script = Script(rules=[rule for each in placed for rule in each.rules()])
    try:
        with kubectl_proxy(product.kubectl) as address:
            return asyncio.run(_run_all(product, placed, address))
    finally:
        product.kubectl("delete", "namespace", *[each.namespace for each in placed], "--wait=false")
        product.kubectl("delete", GLOBAL_KINDS, f"--selector={OWNED}={prefix}", "--wait=false")


@dataclass(frozen=True)
class Placed:
    """A task and the namespace in which it runs."""

    task: EverydayTask
    namespace: str

    def rules(self) -> list[Rule]:
        """Return the model's turns: the calls, one after the other, then an answer."""
        asked = f"^Task {re.escape(self.task.name)}:"
        turns = [
            Rule(
                when=When(user=asked, turns=n, last_result=call.finds or None),
                reply=Reply(steps=[Step(calls=[Call(name=call.tool, arguments=self._arguments(call))])]),
            )
            for n, call in enumerate(self.task.calls)
        ]
        end = Rule(when=When(user=asked, turns=len(turns)), reply=Reply(steps=[Step(text="Done.")]))
        return [*turns, end]

    def _arguments(self, call: TaskCall) -> dict[str, JsonValue]:
        arguments = {"namespace": self.namespace, **call.arguments}
        return {name: value for name, value in arguments.items() if value is not None}


async def _run_all(product: Product, placed: Sequence[Placed], address: str) -> Mapping[str, str]:
    turn = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE) as client, product.engine.open_user() as me:
        reader = ClusterReader(client)
        await asyncio.to_thread(_create_namespaces, product, placed)
        for each in placed:
            await _until(reader, each.namespace, Observation(get="serviceaccounts/default"))
        documents = "\n---\n".join(_in_namespace(each) for each in placed)
        anywhere = replace(product.kubectl, namespace="")
        await asyncio.to_thread(anywhere, "create", "-f", "-", given=documents)

        async def run(each: Placed) -> str:
            async with turn:
                try:
                    await _run(each, reader, me)
                except (AssertionError, httpx.HTTPError) as error:
                    return str(error) or repr(error)
            return ""

        outcomes = await asyncio.gather(*[run(each) for each in placed])
    return {each.task.name: outcome for each, outcome in zip(placed, outcomes, strict=True)}


def _create_namespaces(product: Product, placed: Sequence[Placed]) -> None:
    names = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each.namespace}} for each in placed]
    product.kubectl("create", "-f", "-", given="\n---\n".join(json.dumps(name) for name in names))


def _in_namespace(placed: Placed) -> str:
    """Return the task's objects with their namespace, as YAML documents."""
    documents = [each for each in yaml.safe_load_all(placed.task.setup) if each]
    for each in documents:
        if each["kind"].lower() in GLOBAL_KINDS.split(","):
            each["metadata"]["labels"] = {OWNED: placed.namespace.rpartition("-")[0]}
        else:
            each["metadata"]["namespace"] = placed.namespace
    return "\n---\n".join(yaml.safe_dump(each) for each in documents)


async def _run(placed: Placed, reader: ClusterReader, me: ApiUser) -> None:
    task = placed.task
    for observation in task.symptom:
        await _until(reader, placed.namespace, observation)
    answers = [await me.ask(task.request)]
    while answers[-1].waiting:
        assert len(answers) <= MAX_DECISIONS, "more decisions than a task can have"
        call_id = answers[-1].waiting[0]
        shown = answers[-1]["tool.awaiting_approval"]
        answers.append(await me.decide(answers[0], call_id, digest=shown["digest"]))
    _check_calls(task, answers)
    for observation in task.outcome:
        await _until(reader, placed.namespace, observation)


def _check_calls(task: EverydayTask, answers: Sequence[Answer]) -> None:
    """Check that each call ran once and showed what it should, and that each change was previewed."""
    problems = [event for answer in answers for kind in ("tool.error", "tool.unknown") for event in answer.all(kind)]
    assert not problems, json.dumps(problems, indent=1)
    results = [event for answer in answers for event in answer.all("tool.result")]
    assert [event["tool"] for event in results] == [call.tool for call in task.calls], answers[-1].events[-5:]
    for call, event in zip(task.calls, results, strict=True):
        text = "\n".join(str(block.get("text", "")) for block in event["result"])
        missing = [pattern for pattern in call.shows if not re.search(pattern, text)]
        assert not missing, f"{call.tool} does not show {missing}:\n{text}"
        unwanted = [pattern for pattern in call.lacks if re.search(pattern, text)]
        assert not unwanted, f"{call.tool} shows {unwanted}:\n{text}"
    previews = [event for answer in answers for event in answer.all("tool.awaiting_approval")]
    changes = [call for call in task.calls if call.preview]
    assert [event["tool"] for event in previews] == [call.tool for call in changes]
    for call, event in zip(changes, previews, strict=True):
        preview = event["preview"]
        shown = "\n".join([preview["summary"], *preview["warnings"], preview["diff"]])
        missing = [pattern for pattern in call.preview if not re.search(pattern, shown)]
        assert not missing, f"the preview of {call.tool} does not show {missing}:\n{shown}"
    assert answers[-1].last["status"] == "completed", answers[-1].last


async def _until(reader: ClusterReader, namespace: str, observation: Observation) -> None:
    found: list[Any] = [None]

    async def holds() -> bool:
        found[0] = await reader.get(namespace, observation.get)
        return observation.holds(found[0])

    try:
        await eventually(holds, what=observation.model_dump_json(exclude_defaults=True))
    except AssertionError as error:
        raise AssertionError(f"{error}; last read: {json.dumps(found[0])[:3000]}") from error


def _at(value: Any, path: Sequence[str]) -> Any:
    """Return the value at a path; None if a member is missing."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(value, list):
        if first == "*":
            return [_at(item, rest) for item in value]
        return _at(value[int(first)], rest) if int(first) < len(value) else None
    return _at(value.get(first), rest) if isinstance(value, dict) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
