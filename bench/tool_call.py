"""Measure a tool call from the engine's client through the tool server to an API server, next to a bare client."""

import time
from collections.abc import Sequence

import anyio
import httpx2

from bench.harness import Harness
from bench.processes import wait_until
from bench.results import Measurement, median
from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.client import ssl_context
from src.api.adapters.tools.endpoint import Endpoint, FixedEndpoint, ServerConfig
from src.api.ports import ToolRequest
from src.api.utils.canonical import canonical
from tests.support.counting_process import GRANT_KEY
from tests.support.services import Cluster
from tests.support.tool_harness import ToolHarness, open_tool_harness

__all__ = ["tool_call"]

ROUNDS = 100
WARM_UP = 5
READ = canonical({"kind": "configmap", "name": "kube-root-ca.crt", "namespace": "default"})
PATH = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"


def tool_call(harness: Harness) -> Sequence[Measurement]:
    """Read one object both ways in turn: what is added is the difference of the medians."""
    cluster = harness.cluster
    server = harness.new_tool_server(KUBECONFIG=str(cluster.kubeconfig), CLUSTERS=cluster.context)
    wait_until(lambda: '"listening"' in server.read_log(), "the tool server")
    before = server.cpu_seconds()
    calls, bare = anyio.run(_time_both, f"{server.url}/mcp", cluster)
    cpu = (server.cpu_seconds() - before) * 1000 / (ROUNDS + WARM_UP)
    name = "one read: engine, tool server, API server and back"
    return (
        Measurement(f"{name}, added to a bare client", median(calls) - median(bare), "ms", target=10, runs=ROUNDS),
        Measurement(name, median(calls), "ms", floor=median(bare), runs=ROUNDS),
        Measurement(f"{name}, CPU of the tool server", cpu, "ms", runs=ROUNDS, note="with its first connection"),
    )


async def _time_both(url: str, cluster: Cluster) -> tuple[list[float], list[float]]:
    config = ServerConfig("own", FixedEndpoint(Endpoint(url, {}, GRANT_KEY)), trusted=True)
    connection = kubeconfig.load(str(cluster.kubeconfig)).connections[cluster.context]
    context = ssl_context(connection.cluster, connection.user)
    headers = {"Authorization": f"Bearer {connection.user.token}"} if connection.user.token else {}
    calls: list[float] = []
    bare: list[float] = []
    async with (
        open_tool_harness(config) as servers,
        httpx2.AsyncClient(base_url=connection.cluster.server, verify=context, headers=headers) as client,
    ):
        await servers.wait_for_state("up")
        for _ in range(ROUNDS + WARM_UP):
            calls.append(await _time_call(servers))
            began = time.perf_counter()
            (await client.get(PATH)).raise_for_status()
            bare.append((time.perf_counter() - began) * 1000)
    return calls[WARM_UP:], bare[WARM_UP:]


async def _time_call(servers: ToolHarness) -> float:
    began = time.perf_counter()
    reply = await servers.servers.call(ToolRequest("own", "k8s_get", READ, 60))
    elapsed = (time.perf_counter() - began) * 1000
    if reply.outcome != "succeeded":
        raise RuntimeError(f"the read failed: {reply.error}")
    return elapsed
