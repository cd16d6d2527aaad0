"""Fixtures of the tool server's tests. They use a real API server: see `cluster` in the shared plugin."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chart_repository import push_charts, serve_charts
from cluster_namespace import KubeNamespace, connect_as_admin
from fault_proxy import FaultProxy, open_fault_proxy
from helm_releases import CHARTS, HelmCommand
from tool_client import ToolClient, open_tool_client, settings_for

from skyflo_tools.kubernetes import discovery_reader
from skyflo_tools.kubernetes.client import ApiRequest, KubeClient, json_request
from tests.support.services import Cluster
from tests.support.waiting import PATIENCE


@pytest.fixture(autouse=True)
def patient_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine list its kinds in its own time. Tests of the limits set their own."""
    for limit in ("ROOT_SECONDS", "GROUP_SECONDS"):
        monkeypatch.setattr(discovery_reader, limit, PATIENCE)


@pytest.fixture
async def admin_client(cluster: Cluster) -> AsyncIterator[KubeClient]:
    """A client for the API server with administrator rights."""
    client = connect_as_admin(cluster.kubeconfig, cluster.context)
    yield client
    await client.aclose()


@pytest.fixture
async def namespace(admin_client: KubeClient, cluster: Cluster) -> AsyncIterator[KubeNamespace]:
    """A new namespace, emptied after the test, and deleted if the cluster outlives the tests."""
    name = f"t-{secrets.token_hex(5)}"
    await admin_client.send(json_request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}))
    created = KubeNamespace(admin_client, name)
    yield created
    if cluster.is_temporary:
        await created.remove_workloads()
    else:
        await admin_client.send(ApiRequest("DELETE", f"/api/v1/namespaces/{name}"))


@pytest.fixture
async def fault_proxy(cluster: Cluster, tmp_path: Path) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the API server that injects faults."""
    async with open_fault_proxy(cluster.kubeconfig, cluster.context, tmp_path) as proxy:
        yield proxy


@pytest.fixture
async def proxied_client(fault_proxy: FaultProxy, tmp_path: Path) -> AsyncIterator[ToolClient]:
    """A tool server in this process that reaches the cluster through the proxy."""
    async with open_tool_client(settings_for(fault_proxy.kubeconfig, "proxied", tmp_path)) as client:
        yield client


@pytest.fixture
async def tool_client(cluster: Cluster, tmp_path: Path) -> AsyncIterator[ToolClient]:
    """A tool server in this process that may change the cluster."""
    async with open_tool_client(settings_for(cluster.kubeconfig, cluster.context, tmp_path)) as client:
        yield client


@pytest.fixture
def helm(helm_binary: str, cluster: Cluster, tmp_path: Path) -> HelmCommand:
    """The real helm, run as a person would run it."""
    return HelmCommand(helm_binary, cluster.kubeconfig, cluster.context, tmp_path)


@pytest.fixture
async def helm_client(cluster: Cluster, helm_binary: str, tmp_path: Path) -> AsyncIterator[ToolClient]:
    """A tool server in this process with helm and the folder of test charts."""
    settings = settings_for(cluster.kubeconfig, cluster.context, tmp_path, helm_binary=helm_binary, helm_charts=CHARTS)
    async with open_tool_client(settings) as client:
        yield client


@pytest.fixture(scope="session")
def chart_repository(helm_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a chart repository by HTTP."""
    with serve_charts(helm_binary, tmp_path_factory.mktemp("charts")) as url:
        yield url


@pytest.fixture(scope="session")
def oci_charts(helm_binary: str, oci_registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the test charts in an OCI registry."""
    return push_charts(helm_binary, tmp_path_factory.mktemp("oci"), oci_registry)
