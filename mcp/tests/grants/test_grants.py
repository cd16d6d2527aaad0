"""Grants: no change runs without one, and a grant permits one call."""

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cluster_namespace import KubeNamespace
from fake_clock import FakeClock, set_clock
from tool_client import KEY, ToolClient, grant_claims, open_tool_client, settings_for, sign_token

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.grants.claims import GRANT_META
from skyflo_tools.grants.postgres import PostgresGrantStore
from skyflo_tools.grants.sqlite import SqliteGrantStore
from skyflo_tools.grants.store import GrantStore
from skyflo_tools.tool import Services
from tests.support.services import Cluster
from tests.support.waiting import PATIENCE

OLD_KEY = "the grant key that is replaced of 32 bytes or more"


def scale_arguments(namespace: KubeNamespace, replicas: int = 5) -> JsonObject:
    return {"kind": "deployment", "name": "web", "namespace": namespace.name, "replicas": replicas}


async def read_replicas(namespace: KubeNamespace) -> object:
    return (await namespace.get("deployments", "web")).at("spec", "replicas")


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
async def test_grant_for_another_call_is_refused(
    tool_client: ToolClient, namespace: KubeNamespace, change: JsonObject, code: str
) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace))
    claims = grant_claims("k8s_scale", scale_arguments(namespace), preview["preconditions"]) | change
    claims = {key: value for key, value in claims.items() if value is not None or key == "cluster"}
    result = await tool_client.call("k8s_scale", scale_arguments(namespace), {GRANT_META: sign_token(claims)})
    assert result.has_error(code), result.text
    assert await read_replicas(namespace) == 3


def unsigned(claims: JsonObject) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
    ]
    return ".".join([*parts, ""])


@pytest.mark.promise("no-approval-no-effect")
async def test_missing_or_forged_grant_runs_nothing(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace))
    claims = grant_claims("k8s_scale", scale_arguments(namespace), preview["preconditions"])
    assert (await tool_client.call("k8s_scale", scale_arguments(namespace))).has_error("grant_missing")
    forged = [sign_token(claims, "another key, also of 32 bytes or more"), unsigned(claims), "rubbish", "a.b.c"]
    for token in forged:
        assert (await tool_client.call("k8s_scale", scale_arguments(namespace), {GRANT_META: token})).has_error(
            "grant_invalid"
        )
    assert (await tool_client.call("k8s_scale", scale_arguments(namespace), {GRANT_META: 7})).has_error("grant_missing")
    assert await read_replicas(namespace) == 3


@pytest.mark.promise("bound")
async def test_grant_for_other_arguments_is_refused(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace, 5))
    token = sign_token(grant_claims("k8s_scale", scale_arguments(namespace, 5), preview["preconditions"]))
    assert (await tool_client.call("k8s_scale", scale_arguments(namespace, 0), {GRANT_META: token})).has_error(
        "grant_mismatch"
    )
    extra = scale_arguments(namespace, 5) | {"cluster": None}
    assert (await tool_client.call("k8s_scale", extra, {GRANT_META: token})).has_error("grant_mismatch")
    assert await read_replicas(namespace) == 3


async def test_grant_is_valid_until_it_expires(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace))
    claims = grant_claims("k8s_scale", scale_arguments(namespace), preview["preconditions"])
    expires = claims["exp"] = int(float(str(claims["exp"])))
    assert tool_client.dispatcher is not None
    set_clock(tool_client.dispatcher, FakeClock(expires))
    assert (
        await tool_client.call("k8s_scale", scale_arguments(namespace), {GRANT_META: sign_token(claims)})
    ).has_error("grant_expired")
    set_clock(tool_client.dispatcher, FakeClock(expires - 0.001))
    assert not (
        await tool_client.call("k8s_scale", scale_arguments(namespace), {GRANT_META: sign_token(claims)})
    ).is_error


@pytest.mark.promise("fail-closed")
async def test_no_change_runs_if_the_store_is_unavailable(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace))
    assert tool_client.dispatcher is not None
    tool_client.dispatcher.services = _with(tool_client, SqliteGrantStore(Path("/nowhere/grants.sqlite3")))
    result = await tool_client.call_with_grant("k8s_scale", scale_arguments(namespace), preview["preconditions"])
    assert result.has_error("store_unavailable")
    tool_client.dispatcher.services = _with(tool_client, PostgresGrantStore("postgresql://127.0.0.1:1/none"))
    result = await tool_client.call_with_grant("k8s_scale", scale_arguments(namespace), preview["preconditions"])
    assert result.has_error("store_unavailable")
    assert await read_replicas(namespace) == 3


def _with(tool_client: ToolClient, store: GrantStore) -> Services:
    assert tool_client.dispatcher is not None
    return replace(tool_client.dispatcher.services, grants=store)


@pytest.mark.promise("once")
async def test_concurrent_uses_of_one_grant_run_once(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_config_map("log", a="1")
    arguments: JsonObject = {
        "kind": "cm",
        "name": "log",
        "namespace": namespace.name,
        "type": "json",
        "patch": [{"op": "add", "path": "/data/b", "value": "2"}],
    }
    preview = await tool_client.preview("k8s_patch", arguments)
    token = sign_token(grant_claims("k8s_patch", arguments, preview["preconditions"]))
    results = await asyncio.gather(*(tool_client.call("k8s_patch", arguments, {GRANT_META: token}) for _ in range(50)))
    assert sum(not result.is_error for result in results) == 1
    assert all(result.has_error("grant_used") for result in results if result.is_error)


@pytest.mark.promise("once", "no-approval-no-effect")
async def test_grant_runs_once_although_the_key_is_replaced(
    cluster: Cluster, namespace: KubeNamespace, tmp_path: Path
) -> None:
    """The steps of docs/operations/keys.md, on one store of grants. Each step's server gets both grants."""
    await namespace.create_deployment()
    arguments, preconditions = scale_arguments(namespace), None
    answers = []
    for keys in (OLD_KEY, f"{OLD_KEY},{KEY}", f"{KEY}, {OLD_KEY}", KEY):
        settings = settings_for(cluster.kubeconfig, cluster.context, tmp_path, grant_key=keys)
        async with open_tool_client(settings) as client:
            preconditions = preconditions or (await client.preview("k8s_scale", arguments))["preconditions"]
            for key in (KEY, OLD_KEY):
                result = await client.call_with_grant("k8s_scale", arguments, preconditions, key, jti="approval-1")
                answers.append(result.data.get("code", "ran"))
    assert answers == ["grant_invalid", "ran", *["grant_used"] * 4, "grant_used", "grant_invalid"]
    assert (await namespace.get("deployments", "web")).at("metadata", "generation") == 2


class RunningChanges(set[asyncio.Task[Any]]):
    """The dispatcher's changes in flight. A change takes less time than the pause between two looks at them."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()

    def add(self, change: asyncio.Task[Any], /) -> None:
        super().add(change)
        self.began.set()


@pytest.mark.promise("once")
async def test_disconnected_client_does_not_cancel_a_change(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace))
    assert tool_client.dispatcher is not None
    tool_client.dispatcher._running = running = RunningChanges()
    task = asyncio.create_task(
        tool_client.call_with_grant("k8s_scale", scale_arguments(namespace), preview["preconditions"], jti="left")
    )
    await asyncio.wait_for(running.began.wait(), PATIENCE)
    assert running, "the change is in flight"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await tool_client.dispatcher.drain(10)
    assert (await tool_client.read("grant_settle", id="left")).data["state"] == "succeeded"
    assert await read_replicas(namespace) == 5
