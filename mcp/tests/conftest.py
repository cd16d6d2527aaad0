"""Fixtures of the tool server's tests. The API server is real: see `cluster` in the shared plugin."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from toolkit import Toolbox, World, admin, serving, settings_for
from wire import Proxy, proxy

from skyflo_tools.kubernetes.client import KubeClient, Request, json_request
from tests.support.services import Cluster


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[KubeClient]:
    """The API server, asked by its administrator."""
    client = admin(cluster.kubeconfig, cluster.context)
    yield client
    await client.aclose()


@pytest.fixture
async def world(api: KubeClient) -> AsyncIterator[World]:
    """A namespace of the test's own."""
    name = f"t-{secrets.token_hex(5)}"
    await api.send(json_request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}))
    yield World(api, name)
    await api.send(Request("DELETE", f"/api/v1/namespaces/{name}"))


@pytest.fixture
async def between(cluster: Cluster, tmp_path: Path) -> AsyncIterator[tuple[Proxy, Path]]:
    """A proxy in front of the API server that can misbehave, and a kubeconfig that leads through it."""
    async with proxy(cluster.kubeconfig, cluster.context, tmp_path) as found:
        yield found


@pytest.fixture
async def behind(between: tuple[Proxy, Path], tmp_path: Path) -> AsyncIterator[Toolbox]:
    """The tool server in this process, reaching the cluster through the proxy."""
    async with serving(settings_for(between[1], "behind", tmp_path)) as found:
        yield found


@pytest.fixture
async def toolbox(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Toolbox]:
    """The tool server in this process, allowed to change the cluster."""
    async with serving(settings_for(cluster.kubeconfig, cluster.context, tmp_path)) as found:
        yield found
