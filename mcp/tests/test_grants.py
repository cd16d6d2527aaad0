"""Grants: no change without one, and never two for one."""

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from toolkit import SteppingClock, Toolbox, World, at_time, claims_for, signed

from skyflo_tools.grants.claims import GRANT
from skyflo_tools.grants.postgres import PostgresGrants
from skyflo_tools.grants.sqlite import SqliteGrants
from skyflo_tools.grants.store import GrantStore
from skyflo_tools.jsontypes import JsonObject, canonical
from skyflo_tools.tool import Services
from tests.support.waiting import eventually


def scaled(world: World, replicas: int = 5) -> JsonObject:
    return {"kind": "deployment", "name": "web", "namespace": world.namespace, "replicas": replicas}


async def replicas(world: World) -> object:
    return (await world.get("deployments", "web")).at("spec", "replicas")


# -- what is refused


@pytest.mark.promise("no-approval-no-effect", "bound")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tool": "k8s_delete"}, "grant_mismatch"),
        ({"args_sha256": "0" * 64}, "grant_mismatch"),
        ({"cluster": "another"}, "grant_mismatch"),
        ({"exp": 1.0}, "grant_expired"),
        ({"exp": None}, "grant_invalid"),
        ({"jti": None}, "grant_invalid"),
        ({"jti": ""}, "grant_invalid"),
        ({"approver": None}, "grant_invalid"),
        ({"preconditions": None}, "grant_invalid"),
        ({"preconditions": {"nothing": 1}}, "grant_mismatch"),
        ({"iat": 99999999999.0, "exp": 99999999999.0}, "grant_invalid"),
    ],
)
async def test_a_grant_that_is_not_for_this_call_is_refused(
    toolbox: Toolbox, world: World, change: JsonObject, code: str
) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world))
    claims = claims_for("k8s_scale", scaled(world), preview["preconditions"]) | change
    claims = {key: value for key, value in claims.items() if value is not None or key == "cluster"}
    result = await toolbox.call("k8s_scale", scaled(world), {GRANT: signed(claims)})
    assert result.has(code), result.text
    assert await replicas(world) == 3


def unsigned(claims: JsonObject) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
    ]
    return ".".join([*parts, ""])


@pytest.mark.promise("no-approval-no-effect")
async def test_without_a_signature_of_ours_nothing_runs(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world))
    claims = claims_for("k8s_scale", scaled(world), preview["preconditions"])
    assert (await toolbox.call("k8s_scale", scaled(world))).has("grant_missing")
    forged = [signed(claims, "another key, also of 32 bytes or more"), unsigned(claims), "rubbish", "a.b.c"]
    for token in forged:
        assert (await toolbox.call("k8s_scale", scaled(world), {GRANT: token})).has("grant_invalid")
    assert (await toolbox.call("k8s_scale", scaled(world), {GRANT: 7})).has("grant_missing")
    assert await replicas(world) == 3


@pytest.mark.promise("bound")
async def test_other_arguments_than_the_approved_ones_are_refused(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world, 5))
    token = signed(claims_for("k8s_scale", scaled(world, 5), preview["preconditions"]))
    assert (await toolbox.call("k8s_scale", scaled(world, 0), {GRANT: token})).has("grant_mismatch")
    extra = scaled(world, 5) | {"cluster": None}
    assert (await toolbox.call("k8s_scale", extra, {GRANT: token})).has("grant_mismatch")
    assert await replicas(world) == 3


async def test_a_grant_is_in_time_until_it_expires(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world))
    claims = claims_for("k8s_scale", scaled(world), preview["preconditions"])
    expires = float(str(claims["exp"]))
    assert toolbox.door is not None
    at_time(toolbox.door, SteppingClock(expires))
    assert (await toolbox.call("k8s_scale", scaled(world), {GRANT: signed(claims)})).has("grant_expired")
    at_time(toolbox.door, SteppingClock(expires - 0.001))
    assert not (await toolbox.call("k8s_scale", scaled(world), {GRANT: signed(claims)})).is_error


@pytest.mark.promise("fail-closed")
async def test_where_the_store_is_down_nothing_runs(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world))
    assert toolbox.door is not None
    toolbox.door.services = _with(toolbox, SqliteGrants(Path("/nowhere/grants.sqlite3")))
    result = await toolbox.granted("k8s_scale", scaled(world), preview["preconditions"])
    assert result.has("store_unavailable")
    toolbox.door.services = _with(toolbox, PostgresGrants("postgresql://127.0.0.1:1/none"))
    result = await toolbox.granted("k8s_scale", scaled(world), preview["preconditions"])
    assert result.has("store_unavailable")
    assert await replicas(world) == 3


def _with(toolbox: Toolbox, store: GrantStore) -> Services:
    assert toolbox.door is not None
    return replace(toolbox.door.services, grants=store)


# -- single use


@pytest.mark.promise("once")
async def test_fifty_racing_uses_of_one_grant_have_one_effect(toolbox: Toolbox, world: World) -> None:
    await world.config_map("log", a="1")
    arguments: JsonObject = {
        "kind": "cm",
        "name": "log",
        "namespace": world.namespace,
        "type": "json",
        "patch": [{"op": "add", "path": "/data/b", "value": "2"}],
    }
    preview = await toolbox.preview("k8s_patch", arguments)
    token = signed(claims_for("k8s_patch", arguments, preview["preconditions"]))
    results = await asyncio.gather(*(toolbox.call("k8s_patch", arguments, {GRANT: token}) for _ in range(50)))
    assert sum(not result.is_error for result in results) == 1
    assert all(result.has("grant_used") for result in results if result.is_error)


@pytest.mark.promise("once", "unknown")
async def test_settling_before_during_and_after(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world))
    never = await toolbox.read("grant_settle", id="approval-never")
    assert never.data == {"state": "never_ran", "effect": "none", "result": None}
    late = await toolbox.granted("k8s_scale", scaled(world), preview["preconditions"], jti="approval-never")
    assert late.has("grant_revoked")
    assert await replicas(world) == 3
    done = await toolbox.granted("k8s_scale", scaled(world), preview["preconditions"], jti="approval-done")
    settled = await toolbox.read("grant_settle", id="approval-done")
    assert settled.data == {
        "state": "succeeded",
        "effect": "done",
        "result": {"text": done.text, "structuredContent": done.data},
    }
    stale = await toolbox.granted("k8s_scale", scaled(world), preview["preconditions"], jti="approval-stale")
    assert stale.has("stale_preview")
    failed = (await toolbox.read("grant_settle", id="approval-stale")).data
    assert (failed["state"], failed["effect"]) == ("failed", "none")


@pytest.mark.promise("unknown")
async def test_evidence_compares_with_what_was_shown(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world))
    asked: JsonObject = {"tool": "k8s_scale", "arguments": scaled(world), "preconditions": preview["preconditions"]}

    async def seen() -> object:
        return (await toolbox.read("grant_evidence", **asked)).data["evidence"]

    assert await seen() == "looks_not_applied"
    await world.patch("deployments", "web", {"spec": {"replicas": 5}})
    assert await seen() == "looks_applied"
    await world.patch("deployments", "web", {"spec": {"replicas": 4}})
    assert await seen() == "cannot_tell"
    await world.delete("deployments", "web")
    assert await seen() == "cannot_tell"


@pytest.mark.promise("unknown")
@pytest.mark.parametrize("tool", ["k8s_delete", "k8s_apply"])
async def test_evidence_of_creation_and_deletion(toolbox: Toolbox, world: World, tool: str) -> None:
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}}
    if tool == "k8s_delete":
        await world.config_map("one", a="1")
    arguments: JsonObject = {
        "k8s_delete": {"kind": "cm", "name": "one", "namespace": world.namespace},
        "k8s_apply": {"manifests": canonical(manifest), "namespace": world.namespace},
    }[tool]
    preview = await toolbox.preview(tool, arguments)
    asked: JsonObject = {"tool": tool, "arguments": arguments, "preconditions": preview["preconditions"]}
    before = await toolbox.read("grant_evidence", **asked)
    assert before.data["evidence"] == "looks_not_applied"
    await toolbox.granted(tool, arguments, preview["preconditions"])
    after = await toolbox.read("grant_evidence", **asked)
    assert after.data["evidence"] == "looks_applied"


@pytest.mark.promise("once")
async def test_a_client_that_goes_away_does_not_cancel_a_change(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world))
    going = asyncio.create_task(toolbox.granted("k8s_scale", scaled(world), preview["preconditions"], jti="left"))
    assert toolbox.door is not None
    running = toolbox.door._running
    await eventually(lambda: bool(running), what="the change in flight")
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    await toolbox.door.drain(10)
    assert (await toolbox.read("grant_settle", id="left")).data["state"] == "succeeded"
    assert await replicas(world) == 5
