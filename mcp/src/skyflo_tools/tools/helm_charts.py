"""The tools helm_template, helm_show_values, helm_search_repo and helm_repo_list: charts and where they come from."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from skyflo_common.redaction import redact_large_text
from skyflo_tools.errors import InvalidArguments, ToolFailure
from skyflo_tools.helm.binary import HelmFolder, open_folder, refuse_flags
from skyflo_tools.helm.charts import REPOSITORY_HINT, ChartReference, ChartVersion, fetch_chart
from skyflo_tools.helm.given_values import GivenValues, write_values
from skyflo_tools.helm.manifests import parse_objects
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines, to_yaml
from skyflo_tools.kubernetes.shrinking import describe_cuts, shrink
from skyflo_tools.output import redact_object
from skyflo_tools.shortening import one_line
from skyflo_tools.tool import CallContext, ReadTool, ToolArguments, ToolInfo, ToolOutput
from skyflo_tools.tools.helm_arguments import (
    DEFAULT_NAMESPACE,
    HELM_TAGS,
    ReleaseName,
    check_release_name,
    fitting_blocks,
)

CHART_SECONDS = 90.0
MAX_CHARTS_FOUND = 200
MAX_NAMES = 100
DESCRIPTION_CHARACTERS = 200


class ShowValuesArguments(ToolArguments):
    chart: ChartReference
    version: ChartVersion


class TemplateArguments(ShowValuesArguments):
    name: ReleaseName
    namespace: Annotated[str, Field(default=DEFAULT_NAMESPACE, max_length=63, description="For the templates.")]
    values: GivenValues
    kind: Annotated[str, Field(default="", max_length=100, description="Only this.")]


class SearchArguments(ToolArguments):
    keyword: Annotated[str, Field(default="", max_length=100, description="In name or description.")]
    versions: Annotated[bool, Field(default=False, description="List every version.")]


class NoArguments(ToolArguments):
    pass


class ChartValues(BaseModel):
    chart: str
    values: str


class RenderedChart(BaseModel):
    chart: str
    objects: list[str]
    """All objects that match, as kind/name."""
    left_out: int
    """How many of them the text does not show."""


class FoundChart(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    version: str
    app_version: str = ""
    description: str = ""


class FoundCharts(BaseModel):
    charts: list[FoundChart]
    left_out: int


class KnownRepository(BaseModel):
    name: str
    url: str


class KnownRepositories(BaseModel):
    repositories: list[KnownRepository]


_FOUND: TypeAdapter[list[FoundChart]] = TypeAdapter(list[FoundChart])


async def show_values(arguments: ShowValuesArguments, call: CallContext) -> ToolOutput[ChartValues]:
    async with open_folder(call.services.helm.settings) as folder:
        chart = await fetch_chart(arguments.chart, arguments.version, folder, call.services.helm.repositories)
        text = await folder.run("show", "values", str(chart.path))
    shown = await redact_large_text(call.redactor(), text)
    result = ChartValues(chart=arguments.chart, values=limit_lines(shown.splitlines(), TEXT_BYTES, "lines"))
    return ToolOutput(result.values or "The chart has no values.", result)


async def template(arguments: TemplateArguments, call: CallContext) -> ToolOutput[RenderedChart]:
    check_release_name(arguments.name)
    refuse_flags(namespace=arguments.namespace)
    async with open_folder(call.services.helm.settings) as folder:
        chart = await fetch_chart(arguments.chart, arguments.version, folder, call.services.helm.repositories)
        values = await write_values(arguments.values, folder, call)
        text = await folder.run(
            "template", f"--namespace={arguments.namespace}", *values, "--", arguments.name, str(chart.path)
        )
    objects = await parse_objects(text, arguments.namespace, f"chart {arguments.chart}")
    for each in objects:
        await call.hide_values_of(each.body)
    chosen = [each for each in objects if arguments.kind.lower() in ("", each.kube.kind.lower())]
    blocks = []
    for each in chosen:
        body, cuts = shrink(await redact_object(each.body, call.redactor()), TEXT_BYTES)
        blocks.append(f"---\n{to_yaml(body)}{describe_cuts(cuts)}".rstrip())
    names = [each.title for each in chosen]
    shown = fitting_blocks(blocks)
    result = RenderedChart(chart=arguments.chart, objects=names, left_out=len(blocks) - len(shown))
    rest = [f"… {result.left_out} more objects, name a kind"] if result.left_out else []
    head = f"{len(names)} objects: {', '.join(names[:MAX_NAMES])}"
    return ToolOutput("\n".join([head, *shown, *rest]), result)


async def search(arguments: SearchArguments, call: CallContext) -> ToolOutput[FoundCharts]:
    refuse_flags(keyword=arguments.keyword)
    async with open_folder(call.services.helm.settings) as folder:
        known = await call.services.helm.repositories.prepare(folder)
        if all(each.is_oci for each in known.repositories):
            raise InvalidArguments("no repository here can be searched", hint=REPOSITORY_HINT)
        found = await _search(arguments, folder)
    shown = [
        each.model_copy(update={"description": one_line(each.description, DESCRIPTION_CHARACTERS)})
        for each in found[:MAX_CHARTS_FOUND]
    ]
    result = FoundCharts(charts=shown, left_out=len(found) - len(shown))
    lines = [f"{each.name} {each.version} (app {each.app_version}): {each.description}" for each in shown]
    lines += [f"… {result.left_out} more charts, narrow with keyword"] if result.left_out else []
    note = "" if found else "No chart matches, in the indexes as they were fetched last (helm_repo_update)."
    return ToolOutput(note or limit_lines(lines, TEXT_BYTES, "charts", "narrow with keyword"), result)


async def _search(arguments: SearchArguments, folder: HelmFolder) -> list[FoundChart]:
    words = ["--", arguments.keyword] if arguments.keyword else []
    every = ["--versions"] if arguments.versions else []
    output = await folder.run("search", "repo", "--output=json", *every, *words)
    try:
        return _FOUND.validate_json(output)
    except ValidationError as error:
        raise ToolFailure("helm's answer to a search can't be read", code="helm_failed") from error


async def list_repositories(_: NoArguments, call: CallContext) -> ToolOutput[KnownRepositories]:
    known = await call.services.helm.repositories.read()
    result = KnownRepositories(
        repositories=[KnownRepository(name=each.name, url=each.url) for each in known.repositories]
    )
    lines = [f"{each.name} {each.url}" for each in result.repositories]
    return ToolOutput("\n".join(lines) or "No chart repositories: helm_repo_add adds one.", result)


TEMPLATE = ReadTool(
    ToolInfo(
        "helm_template",
        "Render a chart",
        "Renders a chart with values, without a cluster. To see what an installation would change, propose it.",
        tags=HELM_TAGS,
        deadline=CHART_SECONDS,
    ),
    TemplateArguments,
    template,
)
SHOW_VALUES = ReadTool(
    ToolInfo(
        "helm_show_values",
        "Values of a chart",
        "Shows the default values of a chart with their comments. helm_get_values shows those of a release.",
        tags=HELM_TAGS,
        deadline=CHART_SECONDS,
    ),
    ShowValuesArguments,
    show_values,
)
SEARCH = ReadTool(
    ToolInfo(
        "helm_search_repo",
        "Search charts",
        "Searches the charts of the known repositories. OCI registries can't be searched.",
        tags=HELM_TAGS,
        deadline=CHART_SECONDS,
    ),
    SearchArguments,
    search,
)
REPOSITORIES = ReadTool(
    ToolInfo(
        "helm_repo_list",
        "Chart repositories",
        "Lists the chart repositories and OCI registries that charts may come from.",
        tags=HELM_TAGS,
        open_world=False,
    ),
    NoArguments,
    list_repositories,
)
