"""Objects that move while a change runs: it begins again, and gives up with nothing done."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from toolkit import Toolbox, World
from wire import Fate, Proxy, is_write

from skyflo_tools.changes import ATTEMPTS
from skyflo_tools.jsontypes import JsonObject


def before_writes(proxy: Proxy, act: Callable[[int], Awaitable[None]]) -> None:
    """Runs `act(n)` just before the n-th write goes on."""

    async def arriving(method: str, path: str) -> None:
        if is_write(method, path):
            await act(len(proxy.writes()))

    proxy.arriving = arriving


ARGUMENTS: dict[str, JsonObject] = {
    "k8s_scale": {"kind": "deployment", "replicas": 5},
    "k8s_patch": {"kind": "deployment", "patch": {"spec": {"replicas": 5}}},
    "k8s_delete": {"kind": "deployment"},
    "k8s_rollout_restart": {},
}
JSON_PATCH: JsonObject = {
    "kind": "deployment",
    "type": "json",
    "patch": [{"op": "replace", "path": "/spec/replicas", "value": 5}],
}


@pytest.mark.promise("fresh")
@pytest.mark.parametrize(
    ("tool", "arguments"), [*ARGUMENTS.items(), ("k8s_patch", JSON_PATCH)], ids=[*ARGUMENTS, "json_patch"]
)
async def test_a_status_write_in_between_only_means_once_more(
    behind: Toolbox, between: tuple[Proxy, Path], world: World, tool: str, arguments: JsonObject
) -> None:
    await world.deployment()
    arguments = arguments | {"name": "web", "namespace": world.namespace}
    preview = await behind.preview(tool, arguments)

    async def touch(number: int) -> None:
        if number <= 2:
            await world.patch("deployments", "web", {"metadata": {"annotations": {"n": str(number)}}})

    before_writes(between[0], touch)
    result = await behind.granted(tool, arguments, preview["preconditions"])
    assert not result.is_error, result.text
    assert len(between[0].writes()) >= 3


@pytest.mark.promise("fresh")
async def test_an_object_that_never_rests_is_given_up_with_nothing_done(
    behind: Toolbox, between: tuple[Proxy, Path], world: World
) -> None:
    await world.deployment()
    arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": world.namespace, "replicas": 5}
    preview = await behind.preview("k8s_scale", arguments)

    async def touch(number: int) -> None:
        await world.patch("deployments", "web", {"metadata": {"annotations": {"n": str(number)}}})

    before_writes(between[0], touch)
    result = await behind.granted("k8s_scale", arguments, preview["preconditions"])
    assert result.has("conflict")
    assert len(between[0].writes()) == ATTEMPTS
    assert (await world.get("deployments", "web")).at("spec", "replicas") == 3


@pytest.mark.promise("fresh")
async def test_an_edit_at_the_last_moment_is_still_stale(
    behind: Toolbox, between: tuple[Proxy, Path], world: World
) -> None:
    await world.deployment()
    arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": world.namespace, "replicas": 5}
    preview = await behind.preview("k8s_scale", arguments)

    async def edit(number: int) -> None:
        await world.patch("deployments", "web", {"spec": {"replicas": 4}})

    before_writes(between[0], edit)
    result = await behind.granted("k8s_scale", arguments, preview["preconditions"])
    assert result.has("stale_preview")
    assert (await world.get("deployments", "web")).at("spec", "replicas") == 4


@pytest.mark.promise("unknown")
async def test_half_of_a_change_is_partial(behind: Toolbox, between: tuple[Proxy, Path], world: World) -> None:
    def config_map(name: str) -> str:
        return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '1'}}\n"

    arguments: JsonObject = {"manifests": f"{config_map('one')}---\n{config_map('two')}", "namespace": world.namespace}
    preview = await behind.preview("k8s_apply", arguments)

    async def create_second(number: int) -> None:
        if number == 2:
            await world.config_map("two", a="somebody else's")

    before_writes(between[0], create_second)
    result = await behind.granted("k8s_apply", arguments, preview["preconditions"])
    assert result.has("stale_preview", "partial") or result.has("field_conflict", "partial")
    assert (await world.get("configmaps", "two")).at("data", "a") == "somebody else's"


@pytest.mark.promise("fail-closed")
async def test_a_webhook_that_forbids_dry_runs_means_no_preview(
    behind: Toolbox, between: tuple[Proxy, Path], world: World
) -> None:
    await world.deployment()
    arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": world.namespace, "replicas": 5}
    between[0].fate = _forbidding
    preview = await behind.preview("k8s_scale", arguments)
    assert "does not support dry run" in str(preview["no_preview"])
    assert "+  replicas: 5" in str(preview["diff"])
    result = await behind.granted("k8s_scale", arguments, preview["preconditions"])
    assert not result.is_error, result.text


def _forbidding(method: str, path: str) -> Fate:
    return "no_dry_run" if "dryRun" in path else "forward"
