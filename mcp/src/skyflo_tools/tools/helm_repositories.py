"""The tools helm_repo_add, helm_repo_update and helm_repo_remove: where charts may come from."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import InvalidArguments, NoDifference, StalePreview, ToolFailure
from skyflo_tools.helm.charts import REPOSITORY_HINT
from skyflo_tools.helm.repositories import Repository, RepositoryList, parse_repository
from skyflo_tools.kubernetes.diffs import diff_objects
from skyflo_tools.plan import Plan
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ToolArguments, ToolInfo
from skyflo_tools.tools.helm_arguments import HELM_TAGS

RUN_SECONDS = 240.0
LIST_PIN = "helm_repositories"
RepositoryName = Annotated[str, Field(max_length=63, description="Its name here.")]


class AddArguments(ToolArguments):
    name: RepositoryName
    url: Annotated[
        str,
        Field(max_length=500, description="https://..., or oci://HOST/PATH."),
    ]


class UpdateArguments(ToolArguments):
    name: Annotated[
        str | None,
        Field(default=None, max_length=63, description="Default: all."),
    ]


class RemoveArguments(ToolArguments):
    name: RepositoryName


async def add(arguments: AddArguments, call: CallContext) -> Plan:
    added = parse_repository(arguments.name, arguments.url)
    known = await _read_pinned(call)
    found = known.find(added.name)
    if found == added:
        raise NoDifference(f"no difference: the repository {added.name} is known", hint="helm_repo_update fetches it")
    if found is not None:
        raise InvalidArguments(f"the repository {added.name} has another address: {found.url}", hint="remove it first")
    warnings = [] if added.is_encrypted else ["the address is not encrypted: others may change what comes from it"]
    risk = Risk(level="medium", reason="charts of this address may be used from then on")
    return Plan(
        writes=(),
        summary=f"Add the chart repository {added.name} at {added.url}",
        done_summary=f"Added the chart repository {added.name}",
        risk=risk if added.is_encrypted else Risk(level="high", reason="the address is not encrypted"),
        warnings=tuple(warnings),
        pinned_values=_pin(known, call),
        changes_more=True,
        own_diff=tuple(_diff(known, known.with_added(added))),
        run=lambda: _add(added, call),
    )


async def update(arguments: UpdateArguments, call: CallContext) -> Plan:
    known = await _read_pinned(call)
    chosen = [each for each in known.repositories if arguments.name in (None, each.name)]
    fetched = [each for each in chosen if not each.is_oci]
    if arguments.name and not chosen:
        raise InvalidArguments(f"there is no repository {arguments.name}", hint=REPOSITORY_HINT)
    if not fetched:
        raise NoDifference("no difference: OCI registries have no index to update", hint=REPOSITORY_HINT)
    names = [each.name for each in fetched]
    return Plan(
        writes=(),
        summary=f"Fetch the indexes of the chart repositories {', '.join(names)}",
        done_summary=f"Fetched the indexes of {', '.join(names)}",
        risk=Risk(level="low", reason="only shows which charts there are now"),
        pinned_values=_pin(known, call),
        changes_more=True,
        own_diff=tuple(f"fetch {each.url}" for each in fetched),
        run=lambda: _update(names, call),
    )


async def remove(arguments: RemoveArguments, call: CallContext) -> Plan:
    known = await _read_pinned(call)
    found = known.find(arguments.name)
    if found is None:
        raise InvalidArguments(f"there is no repository {arguments.name}", hint=REPOSITORY_HINT)
    return Plan(
        writes=(),
        summary=f"Remove the chart repository {found.name} at {found.url}",
        done_summary=f"Removed the chart repository {found.name}",
        risk=Risk(level="low", reason="releases stay; its charts can't be used until it is added again"),
        pinned_values=_pin(known, call),
        changes_more=True,
        own_diff=tuple(_diff(known, known.without(found.name))),
        run=lambda: _remove(found.name, call),
    )


async def _read_pinned(call: CallContext) -> RepositoryList:
    """Read the list. Raises StalePreview if it is not that of the preview that was approved."""
    known = await call.services.helm.repositories.read()
    if call.pinned_values and dict(call.pinned_values) != _pin(known, call):
        raise StalePreview("the list of repositories has changed since the preview", hint="propose the change again")
    return known


def _pin(known: RepositoryList, call: CallContext) -> dict[str, str]:
    return {LIST_PIN: call.services.fingerprints.of(known.model_dump_json())}


def _diff(before: RepositoryList, after: RepositoryList) -> list[str]:
    return diff_objects(_addresses(before), _addresses(after), "chart repositories")


def _addresses(known: RepositoryList) -> JsonObject:
    return {"repositories": {each.name: each.url for each in known.repositories}}


async def _add(added: Repository, call: CallContext) -> Sequence[str]:
    call.effects.begin()
    try:
        await call.services.helm.repositories.add(added)
    except ToolFailure:
        call.effects.settle("none")
        raise
    call.effects.settle("done")
    return ()


async def _update(names: list[str], call: CallContext) -> Sequence[str]:
    call.effects.begin()
    try:
        await call.services.helm.repositories.update(names)
    except ToolFailure:
        call.effects.settle("partial" if names[1:] else "none")
        raise
    call.effects.settle("done")
    return ()


async def _remove(name: str, call: CallContext) -> Sequence[str]:
    call.effects.begin()
    await call.services.helm.repositories.remove(name)
    call.effects.settle("done")
    return ()


def _tool_info(name: str, title: str, description: str) -> ToolInfo:
    return ToolInfo(name, title, description, tags=HELM_TAGS)


ADD = ChangeTool(
    _tool_info("helm_repo_add", "Add a chart repository", "Adds a chart repository or OCI registry to those allowed."),
    AddArguments,
    add,
    deadline=RUN_SECONDS,
)
UPDATE = ChangeTool(
    _tool_info("helm_repo_update", "Update chart repositories", "Fetches the indexes of chart repositories again."),
    UpdateArguments,
    update,
    deadline=RUN_SECONDS,
)
REMOVE = ChangeTool(
    _tool_info(
        "helm_repo_remove", "Remove a chart repository", "Removes a chart repository. Releases are not touched."
    ),
    RemoveArguments,
    remove,
    deadline=RUN_SECONDS,
)
