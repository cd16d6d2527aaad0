"""k8s_apply: server-side apply of manifests."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from skyflo_tools.concurrency import together
from skyflo_tools.errors import ApiRefused, BadArguments
from skyflo_tools.jsontypes import JsonObject, text_at
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.locate import Place, fetch_or_none, place
from skyflo_tools.kubernetes.manifests import parse
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.plan import Apply, Plan, Risk, Target, Write
from skyflo_tools.redaction import secret_values
from skyflo_tools.tool import Call, Change, ClusterArguments, Description, Namespace
from skyflo_tools.tools.cautions import cautions, raised
from skyflo_tools.tools.manifest_cautions import manifest_cautions

NAMED_AT_MOST = 5


class ApplyArguments(ClusterArguments):
    manifests: Annotated[
        str,
        Field(min_length=1, max_length=256 * 1024, description="One or several YAML documents, or JSON. No aliases."),
    ]
    namespace: Namespace
    force: Annotated[
        bool,
        Field(default=False, description="Take over fields that another field manager owns. Raises the risk."),
    ]


@dataclass(frozen=True)
class _Wanted:
    """One document, where it belongs, and what is there now."""

    manifest: JsonObject
    where: Place
    live: KubeObject | None

    @property
    def target(self) -> Target:
        name = text_at(self.manifest, "metadata", "name")
        return Target(self.where.cluster, self.where.resource, self.where.namespace, name)

    @property
    def action(self) -> str:
        return f"{'update' if self.live else 'create'} {self.target}"


async def apply(arguments: ApplyArguments, call: Call) -> Plan:
    cluster = call.services.clusters.writable(arguments.cluster)
    manifests = parse(arguments.manifests)
    for manifest in manifests:
        call.secrets.extend(secret_values(manifest) if text_at(manifest, "kind") == "Secret" else [])
    wanted = await together(_wanted(each, cluster, arguments.namespace, call) for each in manifests)
    _refuse_twice(wanted)
    new_namespaces = {each.target.name for each in wanted if each.where.resource.kind == "Namespace" and not each.live}
    warnings = await together(_cautions(each, arguments.force, new_namespaces, call) for each in wanted)
    actions = [each.action for each in wanted]
    listed = ", ".join(actions[:NAMED_AT_MOST]) + (f" and {len(actions) - NAMED_AT_MOST} more" if actions[5:] else "")
    return Plan(
        writes=tuple(_write(each, arguments.force, new_namespaces) for each in wanted),
        summary=f"Apply {len(wanted)} object{'s' if wanted[1:] else ''}: {listed}",
        done=f"Applied: {listed}",
        risk=_risk(wanted, arguments.force),
        warnings=tuple(warning for found in warnings for warning in found),
    )


async def _wanted(manifest: JsonObject, cluster: Cluster, default: str | None, call: Call) -> _Wanted:
    kind = f"{text_at(manifest, 'apiVersion')}/{text_at(manifest, 'kind')}"
    named = text_at(manifest, "metadata", "namespace")
    where = await place(cluster, kind, named or default)
    metadata = manifest["metadata"]
    if isinstance(metadata, dict) and where.resource.namespaced:
        manifest = {**manifest, "metadata": {**metadata, "namespace": where.namespace}}
    live = await fetch_or_none(where, text_at(manifest, "metadata", "name"), call.identity)
    return _Wanted(manifest, where, live)


def _refuse_twice(wanted: list[_Wanted]) -> None:
    paths = [each.target.path for each in wanted]
    for each in wanted:
        if paths.count(each.target.path) > 1:
            raise BadArguments(f"{each.target} appears twice in the manifests")


def _write(wanted: _Wanted, force: bool, new_namespaces: set[str]) -> Write:
    early = wanted.live is None and wanted.where.namespace in new_namespaces
    unchecked = "no preview: its namespace is created by this same change" if early else ""
    return Write(wanted.target, Apply(wanted.manifest, force), may_be_absent=True, unchecked=unchecked)


async def _cautions(wanted: _Wanted, force: bool, new_namespaces: set[str], call: Call) -> list[str]:
    found = cautions(wanted.live) if wanted.live else []
    if wanted.where.namespace not in new_namespaces:
        found += await manifest_cautions(wanted.manifest, wanted.where, call)
    if force and (conflict := await _conflict(wanted, call)):
        found.append(f"takes fields of {wanted.target} over by force: {conflict}")
    return found


async def _conflict(wanted: _Wanted, call: Call) -> str:
    """Who owns what `force` would take, in the API server's words."""
    if wanted.live is None:
        return ""
    request = Apply(wanted.manifest).request(wanted.target, wanted.live, dry_run=True)
    try:
        await wanted.where.cluster.client.send(request, call.identity)
    except ApiRefused as error:
        return error.message if "FieldManagerConflict" in error.causes else ""
    return ""


def _risk(wanted: list[_Wanted], force: bool) -> Risk:
    updates = sum(1 for each in wanted if each.live)
    risk = Risk(level="low", reason="only creates what is not there")
    if updates:
        risk = Risk(level="medium", reason=f"changes {updates} existing object{'s' if updates > 1 else ''}")
    for each in wanted:
        risk = raised(risk, each.target)
    return risk.at_least("high", "takes fields over from other managers by force") if force else risk


APPLY = Change(
    Description(
        "k8s_apply",
        "Apply manifests",
        "Creates or updates objects by server-side apply. Fields of another manager are a conflict that names it.",
    ),
    ApplyArguments,
    apply,
)
