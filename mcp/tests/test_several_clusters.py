"""Where several clusters may be changed, a change names its cluster, and its summary says it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from cluster_namespace import KubeNamespace
from tool_client import ToolClient, open_tool_client, settings_for

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.tools import CHANGES
from tests.support.services import Cluster


def write_kubeconfig(cluster: Cluster, folder: Path) -> Path:
    """Write a kubeconfig with two contexts of one cluster; the current one is prod."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    context = next(each["context"] for each in config["contexts"] if each["name"] == cluster.context)
    config["contexts"] = [{"name": name, "context": context} for name in ("staging", "prod")]
    config["current-context"] = "prod"
    file = folder / "two.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
async def two_clusters(cluster: Cluster, tmp_path: Path) -> AsyncIterator[ToolClient]:
    async with open_tool_client(settings_for(write_kubeconfig(cluster, tmp_path), "staging,prod", tmp_path)) as client:
        yield client


def change_calls(namespace: KubeNamespace) -> dict[str, JsonObject]:
    """Return arguments for every change of a cluster, without the cluster."""
    named: JsonObject = {"name": "web", "namespace": namespace.name}
    one, container = named | {"kind": "deployment"}, {"container": "app"}
    manifest = f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: {namespace.name}}}}}"
    return {
        "k8s_scale": one | {"replicas": 2},
        "k8s_patch": one | {"patch": {"spec": {"replicas": 2}}},
        "k8s_delete": one,
        "k8s_rollout_restart": named,
        "k8s_rollout_undo": named,
        "k8s_rollout_pause": named,
        "k8s_rollout_resume": named,
        "k8s_apply": {"manifests": manifest},
        "k8s_set_image": one | container | {"image": "web:3"},
        "k8s_set_env": one | container | {"variables": {"MODE": "fast"}},
        "k8s_set_resources": one | container | {"requests": {"cpu": "10m"}},
        "k8s_label": one | {"labels": {"tier": "shop"}},
        "k8s_annotate": one | {"annotations": {"note": "hello"}},
        "k8s_cordon": {"name": "node"},
        "k8s_uncordon": {"name": "node"},
        "k8s_drain": {"name": "node"},
        "k8s_create_job": named | {"image": "web:1"},
        "k8s_run_pod": named | {"image": "web:1"},
        "k8s_exec": {"pod": "web", "argv": ["ls"], "namespace": namespace.name},
        "helm_install": named | {"chart": "./shop"},
        "helm_upgrade": named | {"chart": "./shop"},
        "helm_rollback": named | {"revision": 1},
        "helm_uninstall": named,
        "argo_promote": named,
        "argo_pause_rollout": named,
        "argo_resume_rollout": named,
        "argo_abort_rollout": named,
        "argo_retry": named,
        "argo_rollout_restart": named,
        "argo_set_image": named | container | {"image": "web:3"},
        "argo_undo": named,
    }


NOT_PREVIEWED = frozenset(
    {"k8s_rollout_undo", "k8s_rollout_resume", "k8s_cordon", "k8s_uncordon", "k8s_drain", "k8s_exec"}
)
"""Changes that a new Deployment alone gives nothing to do."""


@pytest.mark.promise("bound")
async def test_change_without_a_cluster_is_refused_with_the_names(
    two_clusters: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    calls = change_calls(namespace)
    assert set(calls) == {change.info.name for change in CHANGES if "cluster" in change.arguments.model_fields}
    for tool, arguments in calls.items():
        for given in (arguments, arguments | {"cluster": None}):
            refused = await two_clusters.call(f"{tool}__preview", given)
            assert refused.has_error("which_cluster"), (tool, refused.text)
            assert "staging, prod" in refused.text
        if tool in NOT_PREVIEWED or tool.startswith(("helm_", "argo_")):
            continue
        preview = await two_clusters.preview(tool, arguments | {"cluster": "staging"})
        assert str(preview["summary"]).endswith(" on cluster staging"), tool


async def test_single_cluster_that_may_be_changed_needs_no_name(
    cluster: Cluster, namespace: KubeNamespace, tmp_path: Path
) -> None:
    await namespace.create_deployment()
    arguments = change_calls(namespace)["k8s_scale"]
    file = write_kubeconfig(cluster, tmp_path)
    async with open_tool_client(settings_for(file, "staging:read,prod", tmp_path)) as client:
        preview = await client.preview("k8s_scale", arguments)
        assert preview["summary"] == f"Scale deployment/web in {namespace.name} from 3 to 2 on cluster prod"
    async with open_tool_client(settings_for(file, "staging,prod:read", tmp_path)) as client:
        assert (await client.call("k8s_scale__preview", arguments)).has_error("cluster_read_only")
