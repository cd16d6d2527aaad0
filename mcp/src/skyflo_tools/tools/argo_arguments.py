"""What the Argo Rollouts tools share: arguments, and how a Rollout is found."""

from typing import Annotated

from pydantic import Field

from skyflo_tools.errors import InvalidArguments, ToolFailure
from skyflo_tools.kubernetes.argo_rollouts import GROUP, NOT_OBSERVED, ArgoRollout
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, resolve_scope
from skyflo_tools.tool import CallContext, ClusterArguments, Namespace

ARGO_TAGS = frozenset({"argo"})
VERSION = "version"
"""The pinned value of a change that is about one new version: its pod template hash."""

RolloutName = Annotated[str, Field(min_length=1, max_length=253, description="The Rollout.")]


class ArgoArguments(ClusterArguments):
    """Base for tools that use one Rollout."""

    name: RolloutName
    namespace: Namespace


async def resolve_argo_scope(
    cluster: Cluster, plural: str, namespace: str | None, *, everywhere: bool = False
) -> ResourceScope:
    """Resolve a kind of Argo Rollouts. Raises ToolFailure that says how to get it where it is not installed."""
    try:
        return await resolve_scope(cluster, f"{plural}.{GROUP}", namespace, everywhere=everywhere)
    except InvalidArguments as error:
        raise ToolFailure(
            f"cluster {cluster.name} has no Argo Rollouts: it does not serve the kind {plural}.{GROUP}",
            code="kind_missing",
            hint="Argo Rollouts is installed by its install.yaml or by the Helm chart argo-rollouts of argo-helm;"
            " Deployments have the tools k8s_rollout_*",
        ) from error


async def read_rollout(arguments: ArgoArguments, call: CallContext) -> tuple[ResourceScope, ArgoRollout]:
    """Read the Rollout that the arguments name."""
    return await _read_in(call.services.clusters.choose(arguments.cluster), arguments, call)


async def read_rollout_to_change(arguments: ArgoArguments, call: CallContext) -> tuple[ResourceScope, ArgoRollout]:
    """Read the Rollout to change. Raises ClusterError if the cluster is read-only here."""
    return await _read_in(call.services.clusters.choose_writable(arguments.cluster), arguments, call)


async def _read_in(cluster: Cluster, arguments: ArgoArguments, call: CallContext) -> tuple[ResourceScope, ArgoRollout]:
    scope = await resolve_argo_scope(cluster, "rollouts", arguments.namespace)
    return scope, ArgoRollout(await fetch(scope, arguments.name, call.identity))


def require_observed(rollout: ArgoRollout) -> None:
    """Refuse to decide by a status that is older than the spec. Raises InvalidArguments."""
    if not rollout.is_observed:
        raise InvalidArguments(
            f"{rollout}: {NOT_OBSERVED}, so its status does not say which version is on its way",
            hint="argo_status with wait_seconds waits for it; if that lasts, the controller does not run",
        )


def require_own_template(rollout: ArgoRollout) -> None:
    """Refuse to change the template of a Rollout that uses that of a workload. Raises InvalidArguments."""
    if rollout.workload_reference:
        raise InvalidArguments(
            f"{rollout} has no pod template of its own: it uses that of {rollout.workload_reference}",
            hint=f"change {rollout.workload_reference} (k8s_set_image, k8s_rollout_undo, k8s_patch)",
        )
