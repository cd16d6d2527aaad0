"""Lost replies and killed processes: one request on the wire, and the truth about what is known."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from toolkit import Toolbox, World, claims_for, signed
from wire import Child, Fate, Proxy, child, environment, forward, is_write, proxy

from skyflo_tools.grants.claims import GRANT
from skyflo_tools.jsontypes import JsonObject, canonical
from skyflo_tools.kubernetes.client import KubeClient
from tests.support.services import Cluster


@pytest.fixture
async def server(between: tuple[Proxy, Path], tmp_path: Path) -> AsyncIterator[Child]:
    """A tool server of its own process that reaches the cluster through the proxy."""
    async with child(environment(between[1], "behind", tmp_path)) as running:
        yield running


def scaled(world: World) -> JsonObject:
    return {"kind": "deployment", "name": "web", "namespace": world.namespace, "replicas": 5}


async def replicas(world: World) -> object:
    return (await world.get("deployments", "web")).at("spec", "replicas")


def on_write(fate: Fate) -> Callable[[str, str], Fate]:
    def decide(method: str, path: str) -> Fate:
        return fate if is_write(method, path) else "forward"

    return decide


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize("fate", ["drop_after", "gateway_error_after"])
async def test_a_lost_reply_is_unknown_and_nothing_is_sent_again(
    between: tuple[Proxy, Path], behind: Toolbox, world: World, fate: Fate
) -> None:
    await world.deployment()
    between[0].fate = on_write(fate)
    preview = await behind.preview("k8s_scale", scaled(world))
    result = await behind.granted("k8s_scale", scaled(world), preview["preconditions"], jti="lost")
    assert result.is_error
    assert result.data["effect"] == "unknown"
    assert len(between[0].writes()) == 1
    assert await replicas(world) == 5
    settled = (await behind.read("grant_settle", id="lost")).data
    assert (settled["state"], settled["effect"]) == ("failed", "unknown")


@pytest.mark.promise("unknown")
async def test_a_change_that_hangs_ends_as_unknown(
    between: tuple[Proxy, Path], behind: Toolbox, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skyflo_tools.door.CHANGE_DEADLINE", 1.0)
    await world.deployment()
    between[0].fate = on_write("hang_after")
    preview = await behind.preview("k8s_scale", scaled(world))
    result = await behind.granted("k8s_scale", scaled(world), preview["preconditions"])
    assert result.has("deadline_passed", "unknown")
    assert len(between[0].writes()) == 1


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize("tool", ["k8s_delete", "k8s_patch", "k8s_apply"])
async def test_no_kind_of_change_is_sent_again(
    between: tuple[Proxy, Path], behind: Toolbox, world: World, tool: str
) -> None:
    await world.config_map("one", a="1")
    between[0].fate = on_write("drop_after")
    one: JsonObject = {"kind": "cm", "name": "one", "namespace": world.namespace}
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"b": "1"}}
    arguments: JsonObject = {
        "k8s_delete": one,
        "k8s_patch": one | {"patch": {"data": {"a": "2"}}},
        "k8s_apply": {"manifests": canonical(manifest), "namespace": world.namespace},
    }[tool]
    preview = await behind.preview(tool, arguments)
    result = await behind.granted(tool, arguments, preview["preconditions"])
    assert result.has("api_unreachable", "unknown")
    asked: JsonObject = {"tool": tool, "arguments": arguments, "preconditions": preview["preconditions"]}
    assert (await behind.read("grant_evidence", **asked)).data["evidence"] == "looks_applied"
    assert len(between[0].writes()) == 1


@pytest.mark.promise("once")
async def test_the_audit_log_of_the_api_server_counts_one(cluster: Cluster, tmp_path: Path, api: KubeClient) -> None:
    alice = f"{cluster.context}-alice"
    if not cluster.audit_log.exists() or alice not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: audit log: TEST_KUBECONFIG is a cluster without one")
    shop = World(api, "shop")
    name = f"audited-{secrets.token_hex(4)}"
    await shop.config_map(name, a="1")
    arguments: JsonObject = {"kind": "cm", "name": name, "namespace": "shop", "patch": {"data": {"a": "2"}}}
    async with proxy(cluster.kubeconfig, alice, tmp_path) as (between, config):
        between.fate = on_write("drop_after")
        async with child(environment(config, "behind", tmp_path)) as running, running.toolbox() as toolbox:
            preview = await toolbox.preview("k8s_patch", arguments)
            result = await toolbox.granted("k8s_patch", arguments, preview["preconditions"], jti="audited-1")
    assert result.data["effect"] == "unknown"
    lines = [json.loads(line) for line in cluster.audit_log.read_text().splitlines() if name in line]
    written = [each for each in lines if each["verb"] == "patch" and "dryRun" not in each["requestURI"]]
    assert len(written) == 1
    assert written[0]["user"]["username"] == "alice"
    assert "approval/audited-1" in written[0]["userAgent"]
    await shop.delete("configmaps", name)


@pytest.mark.promise("once", "unknown")
async def test_killed_between_started_and_effect(
    between: tuple[Proxy, Path], server: Child, world: World, tmp_path: Path
) -> None:
    await world.deployment()
    between[0].fate = on_write("hang_before")
    async with server.toolbox() as toolbox:
        preview = await toolbox.preview("k8s_scale", scaled(world))
    token = signed(claims_for("k8s_scale", scaled(world), preview["preconditions"], jti="killed"))

    async def approve() -> None:
        async with server.toolbox() as toolbox:
            await toolbox.call("k8s_scale", scaled(world), {GRANT: token})

    going = asyncio.create_task(approve())
    await between[0].waiting.wait()
    server.process.kill()
    await asyncio.gather(going, return_exceptions=True)  # whatever the client makes of a dead server
    between[0].fate = forward
    async with child(environment(between[1], "behind", tmp_path)) as again, again.toolbox() as toolbox:
        settled = (await toolbox.read("grant_settle", id="killed")).data
        assert settled == {"state": "started", "effect": "unknown", "result": None}
        used = await toolbox.call("k8s_scale", scaled(world), {GRANT: token})
        assert used.has("grant_used")
        asked: JsonObject = {
            "tool": "k8s_scale",
            "arguments": scaled(world),
            "preconditions": preview["preconditions"],
        }
        assert (await toolbox.read("grant_evidence", **asked)).data["evidence"] == "looks_not_applied"
    assert await replicas(world) == 3
    assert len(between[0].writes()) == 1
