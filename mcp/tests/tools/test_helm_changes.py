"""Helm changes a release once, exactly as its preview showed, by one run of the real binary."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster_namespace import KubeNamespace
from helm_releases import CHARTS, HelmCommand, recorded_release
from tool_client import CallResult, ToolClient, open_tool_client, settings_for

from skyflo_common.jsontypes import JsonObject, JsonValue, objects_at, strings_at
from skyflo_tools.kubernetes.client import ApiRequest
from tests.support.services import Cluster

CANARY = "canary-4711-of-the-database"
RANDOM = """
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-random}
stringData: {password: {{ randAlphaNum 24 }}}
"""


@dataclass
class Charts:
    """A tool server with a folder of charts that the test may edit, and a binary that it may replace."""

    client: ToolClient
    folder: Path
    binary: Path
    log: Path

    def wrap(self, text: str) -> None:
        """Run shell commands in place of changes. `$HELM` is the real binary; dry runs stay as they are."""
        self.binary.write_text(self.binary.read_text().replace("# instead", text))

    def changes(self) -> list[str]:
        """Return the command of each run that was no dry run and no read."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[0] for line in lines]


@pytest.fixture
async def charts(cluster: Cluster, helm_binary: str, tmp_path: Path) -> AsyncIterator[Charts]:
    async with open_charts(cluster, helm_binary, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def open_charts(cluster: Cluster, helm_binary: str, tmp_path: Path) -> AsyncIterator[Charts]:
    shutil.copytree(CHARTS, tmp_path / "charts")
    binary, log = tmp_path / "helm-with-log", tmp_path / "runs"
    lines = [
        "#!/bin/sh",
        f"HELM={helm_binary}",
        'case "$* " in',
        '  *--dry-run*|pull*|"repo "*|"show "*|"template "*|"search "*) exec "$HELM" "$@" ;;',
        "esac",
        f'echo "$*" >> {log}',
        "# instead",
        'exec "$HELM" "$@"',
    ]
    binary.write_text("\n".join(lines))
    binary.chmod(0o755)
    settings = settings_for(
        cluster.kubeconfig, cluster.context, tmp_path, helm_binary=str(binary), helm_charts=tmp_path / "charts"
    )
    async with open_tool_client(settings) as client:
        yield Charts(client, tmp_path / "charts", binary, log)


def arguments(namespace: KubeNamespace, **given: JsonValue) -> JsonObject:
    return {"name": "web", "namespace": namespace.name, "chart": "./shop", **given}


def without_chart(namespace: KubeNamespace, **given: JsonValue) -> JsonObject:
    return {"name": "web", "namespace": namespace.name, **given}


def names(data: JsonObject) -> set[str]:
    return {f"{each['kind']}/{each['name']}" for each in objects_at(data, "objects")}


def pinned(preview: JsonObject) -> dict[str, str]:
    return strings_at(preview, "preconditions", "pinned")


@pytest.fixture(params=["helm_binary", "helm3_binary"])
async def charts_of_each_helm(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Charts]:
    async with open_charts(cluster, request.getfixturevalue(request.param), tmp_path) as opened:
        yield opened


@pytest.mark.promise("bound")
async def test_release_is_installed_upgraded_rolled_back_and_uninstalled(
    charts_of_each_helm: Charts, namespace: KubeNamespace
) -> None:
    charts = charts_of_each_helm
    values = f"{{database: {{password: {CANARY}}}, greeting: {CANARY}, hook: true}}"
    given = arguments(namespace, values=values)
    preview = await charts.client.preview("helm_install", given)
    assert names(preview) == {"Secret/web-login", "ConfigMap/web-settings", "Deployment/web", "ConfigMap/web-before"}
    assert "runs the hook configmap/web-before (pre-install, pre-upgrade, weight 0)" in str(preview["warnings"])
    assert "from web, revision 1." in str(preview["diff"])
    assert len(pinned(preview)["helm_chart"]) == 64
    done = await charts.client.call_with_grant("helm_install", given, preview["preconditions"])
    assert not done.is_error, done.text
    assert done.data["diff"] == preview["diff"]
    assert (await namespace.get("configmaps", "web-settings")).at("data", "greeting") == CANARY

    upgrade = arguments(namespace, values="{greeting: bye, replicas: 3}")
    preview = await charts.client.preview("helm_upgrade", upgrade)
    assert names(preview) == {"ConfigMap/web-settings", "Deployment/web", "ConfigMap/web-before"}
    assert "+  replicas: 3" in str(preview["diff"])
    assert not any("may revert the change" in str(each) for each in [preview["warnings"]])
    await charts.client.change("helm_upgrade", upgrade)
    assert (await namespace.get("deployments", "web")).at("spec", "replicas") == 3

    back = without_chart(namespace, revision=1)
    preview = await charts.client.preview("helm_rollback", back)
    assert "-  replicas: 3" in str(preview["diff"])
    await charts.client.change("helm_rollback", back)
    assert (await namespace.get("deployments", "web")).at("spec", "replicas") == 1

    gone = without_chart(namespace)
    preview = await charts.client.preview("helm_uninstall", gone)
    assert preview["risk"] == {
        "level": "destructive",
        "reason": "the objects of the release and its history are deleted",
    }
    assert names(preview) == {"Secret/web-login", "ConfigMap/web-settings", "Deployment/web"}
    result = await charts.client.change("helm_uninstall", gone)
    assert CANARY not in json.dumps(preview) + result.text + done.text + json.dumps(done.data)
    assert await namespace.list_objects("deployments") == []
    assert charts.changes() == ["install", "upgrade", "rollback", "uninstall"]


async def test_charts_of_a_repository_and_of_a_registry_are_installed(
    charts: Charts, namespace: KubeNamespace, chart_repository: str, oci_charts: str
) -> None:
    for name, url in (("local", chart_repository), ("oci", oci_charts)):
        await charts.client.change("helm_repo_add", {"name": name, "url": url})
        given = arguments(namespace, name=name, chart=f"{name}/shop", version="0.1.0")
        done = await charts.client.change("helm_install", given)
        assert "shop-0.1.0" in done.text
        upgrade = await charts.client.preview("helm_upgrade", {**given, "version": "0.2.0"})
        assert "-chart: shop-0.1.0\n+chart: shop-0.2.0" in str(upgrade["diff"])


@pytest.mark.promise("fresh")
@pytest.mark.parametrize("moved", ["release", "chart", "object"])
async def test_change_stops_if_anything_moved_since_its_preview(
    charts: Charts, namespace: KubeNamespace, helm: HelmCommand, moved: str
) -> None:
    await helm.install(namespace)
    given = arguments(namespace, values="replicas: 2")
    preview = await charts.client.preview("helm_upgrade", given)
    if moved == "release":
        await helm.install(namespace, greeting="hi")
    elif moved == "chart":
        (charts.folder / "shop" / "templates" / "more.yaml").write_text("# another file\n")
    else:
        await namespace.delete("configmaps", "web-settings")
    refused = await charts.client.call_with_grant("helm_upgrade", given, preview["preconditions"])
    assert refused.has_error("stale_preview"), refused.text
    assert charts.changes() == []


@pytest.mark.promise("once")
async def test_grant_runs_helm_once(charts: Charts, namespace: KubeNamespace) -> None:
    given = arguments(namespace)
    preview = await charts.client.preview("helm_install", given)
    first = await charts.client.call_with_grant("helm_install", given, preview["preconditions"], jti="one")
    second = await charts.client.call_with_grant("helm_install", given, preview["preconditions"], jti="one")
    assert not first.is_error
    assert second.has_error("grant_used")
    assert charts.changes() == ["install"]


@pytest.mark.promise("unknown")
@pytest.mark.parametrize(
    ("instead", "now", "evidence"),
    [
        ("kill -9 $$", "revision 1 is deployed", "looks_not_applied"),
        ('"$HELM" "$@"; kill -9 $$', "revision 2 is deployed", "looks_applied"),
    ],
)
async def test_killed_helm_leaves_an_unknown_effect_with_evidence(
    charts: Charts, namespace: KubeNamespace, helm: HelmCommand, instead: str, now: str, evidence: str
) -> None:
    await helm.install(namespace)
    charts.wrap(instead)
    given = arguments(namespace, values="greeting: bye")
    preview = await charts.client.preview("helm_upgrade", given)
    lost = await charts.client.call_with_grant("helm_upgrade", given, preview["preconditions"], jti="lost")
    assert lost.has_error("helm_lost", "unknown"), lost.text
    assert now in lost.text
    found = await _evidence(charts.client, given, preview)
    assert (found.data["evidence"], now in found.text) == (evidence, True)
    settled = await charts.client.read("grant_settle", id="lost")
    assert (settled.data["state"], settled.data["effect"]) == ("failed", "unknown")
    assert charts.changes() == ["upgrade"]


async def _evidence(client: ToolClient, given: JsonObject, preview: JsonObject) -> CallResult:
    return await client.read(
        "grant_evidence", tool="helm_upgrade", arguments=given, preconditions=preview["preconditions"]
    )


async def test_effect_of_a_failed_run_follows_from_the_release(
    charts: Charts, namespace: KubeNamespace, helm: HelmCommand
) -> None:
    await helm.install(namespace)
    given = arguments(namespace, values="image: web:never-ready", wait=True, timeout_seconds=5)
    preview = await charts.client.preview("helm_upgrade", given)
    failed = await charts.client.call_with_grant("helm_upgrade", given, preview["preconditions"])
    assert failed.has_error("helm_failed", "partial"), failed.text
    assert "revision 2 is failed" in failed.text
    charts.wrap("echo 'Error: no disk' >&2; exit 1")
    preview = await charts.client.preview("helm_rollback", without_chart(namespace, revision=1))
    refused = await charts.client.call_with_grant(
        "helm_rollback", without_chart(namespace, revision=1), preview["preconditions"]
    )
    assert refused.has_error("helm_failed", "none"), refused.text
    assert "no disk. Now revision 2 is failed" in refused.text


async def test_values_that_a_chart_generates_do_not_make_a_preview_stale(
    charts: Charts, namespace: KubeNamespace
) -> None:
    (charts.folder / "shop" / "templates" / "random.yaml").write_text(RANDOM)
    given = arguments(namespace)
    preview = await charts.client.preview("helm_install", given)
    await charts.client.call_with_grant("helm_install", given, preview["preconditions"])
    assert (await namespace.get("secrets", "web-random")).name == "web-random"


async def test_release_of_helm_3_is_upgraded(charts: Charts, namespace: KubeNamespace, helm: HelmCommand) -> None:
    await namespace.create("secrets", recorded_release("helm-3.17", namespace.name))
    manifest = (await charts.client.read("helm_get_manifest", **without_chart(namespace))).text
    assert "kind: Deployment" in manifest
    given = arguments(namespace, values="{replicas: 2}")
    await charts.client.change("helm_upgrade", given)
    assert (await namespace.get("deployments", "web")).at("spec", "replicas") == 2
    preview = await charts.client.preview("helm_upgrade", arguments(namespace, values="{greeting: bye}"))
    assert names(preview) == {"ConfigMap/web-settings", "ConfigMap/web-before"}
    assert "-  greeting: hello\n+  greeting: bye" in str(preview["diff"])
    await charts.client.change("helm_upgrade", arguments(namespace, values="{greeting: bye}"))
    assert (await namespace.get("configmaps", "web-settings")).at("data") == {"greeting": "bye"}
    same = arguments(namespace, values="{hook: false}")
    await charts.client.change("helm_upgrade", same)
    assert (await charts.client.call("helm_upgrade__preview", same)).has_error("no_difference")
    assert "deployed" in await helm.run("status", "web", namespace=namespace.name)


@pytest.mark.promise("bound")
@pytest.mark.parametrize(
    ("tool", "given", "code"),
    [
        ("helm_upgrade", {"chart": "./shop"}, "not_found"),
        ("helm_rollback", {"revision": 1}, "not_found"),
        ("helm_uninstall", {}, "not_found"),
        ("helm_install", {"chart": "./shop", "values": "replicas: -1"}, "helm_failed"),
        ("helm_install", {"chart": "./shop", "name": "-x"}, "bad_arguments"),
        ("helm_install", {"chart": "./shop", "namespace": "--all"}, "bad_arguments"),
        ("helm_install", {"chart": "oci://evil.example/x"}, "bad_arguments"),
    ],
)
async def test_impossible_changes_are_refused_in_the_preview(
    charts: Charts, namespace: KubeNamespace, tool: str, given: JsonObject, code: str
) -> None:
    refused = await charts.client.call(f"{tool}__preview", {**without_chart(namespace), **given})
    assert refused.has_error(code), refused.text


async def test_pending_and_present_releases_are_not_changed_again(
    charts: Charts, namespace: KubeNamespace, helm: HelmCommand
) -> None:
    await helm.install(namespace)
    exists = await charts.client.call("helm_install__preview", arguments(namespace))
    assert exists.has_error("bad_arguments")
    same = await charts.client.call("helm_rollback__preview", without_chart(namespace, revision=1))
    assert same.has_error("bad_arguments")
    labels: JsonObject = {"metadata": {"labels": {"status": "pending-upgrade"}}}
    await namespace.patch("secrets", "sh.helm.release.v1.web.v1", labels)
    pending = await charts.client.call("helm_upgrade__preview", arguments(namespace))
    assert pending.has_error("release_pending")


async def test_repositories_are_added_updated_and_removed(charts: Charts, chart_repository: str) -> None:
    added: JsonObject = {"name": "local", "url": chart_repository}
    preview = await charts.client.preview("helm_repo_add", added)
    assert f"+  local: {chart_repository}" in str(preview["diff"])
    await charts.client.change("helm_repo_add", added)
    assert (await charts.client.call("helm_repo_add__preview", added)).has_error("no_difference")
    stale = await charts.client.call_with_grant("helm_repo_add", added, preview["preconditions"])
    assert stale.is_error
    await charts.client.change("helm_repo_update", {})
    await charts.client.change("helm_repo_remove", {"name": "local"})
    assert (await charts.client.read("helm_repo_list")).data["repositories"] == []


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "ftp://example.org",
        "https://kim:secret-of-kim@example.org",
        "https://example.org/?token=1",
        "https://",
        "http://[::1",
        "--insecure-skip-tls-verify",
        "https://example.org/a b",
    ],
)
async def test_other_addresses_of_repositories_are_refused(helm_client: ToolClient, url: str) -> None:
    refused = await helm_client.call("helm_repo_add__preview", {"name": "x", "url": url})
    assert refused.has_error("bad_arguments")
    assert "secret-of-kim" not in refused.text


async def test_unencrypted_address_raises_the_risk(helm_client: ToolClient) -> None:
    preview = await helm_client.preview("helm_repo_add", {"name": "x", "url": "http://charts.example.org"})
    assert preview["risk"] == {"level": "high", "reason": "the address is not encrypted"}


async def test_failed_fetch_keeps_the_list(helm_client: ToolClient) -> None:
    given: JsonObject = {"name": "x", "url": "http://127.0.0.1:9"}
    preview = await helm_client.preview("helm_repo_add", given)
    failed = await helm_client.call_with_grant("helm_repo_add", given, preview["preconditions"])
    assert failed.has_error("helm_failed")
    assert helm_client.dispatcher is not None
    assert (await helm_client.dispatcher.services.helm.repositories.read()).find("x") is None


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: gadgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: gadgets, singular: gadget, kind: Gadget}}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
GADGET = """\
apiVersion: {group}/v1
kind: Gadget
metadata: {{name: {{{{ .Release.Name }}}}}}
spec: {{size: 3}}
"""


@pytest.mark.promise("bound")
async def test_preview_shows_the_kinds_of_a_chart_and_the_objects_of_those_kinds(
    charts_of_each_helm: Charts, namespace: KubeNamespace
) -> None:
    charts, group = charts_of_each_helm, f"{namespace.name}.example.org"
    (charts.folder / "shop" / "crds").mkdir()
    (charts.folder / "shop" / "crds" / "gadgets.yaml").write_text(CRD.format(group=group))
    (charts.folder / "shop" / "templates" / "gadget.yaml").write_text(GADGET.format(group=group))
    given = arguments(namespace, values=f"{{license: {CANARY}, greeting: {CANARY}, hook: true}}")
    try:
        preview = await charts.client.preview("helm_install", given)
        assert {f"CustomResourceDefinition/gadgets.{group}", "Gadget/web"} <= names(preview)
        assert "+  size: 3" in str(preview["diff"])
        assert "its kind comes with this chart" in str(preview["no_preview"])
        assert "runs the hook configmap/web-before" in str(preview["warnings"])
        assert CANARY not in json.dumps(preview)
        done = await charts.client.call_with_grant("helm_install", given, preview["preconditions"])
        assert not done.is_error, done.text
        assert done.data["diff"] == preview["diff"]
        await charts.client.change("helm_uninstall", without_chart(namespace))
        again = await charts.client.preview("helm_install", given)
        assert f"customresourcedefinition/gadgets.{group} is there already: Helm leaves it as it is" in str(
            again["warnings"]
        )
        assert "CustomResourceDefinition/" not in str(names(again))
    finally:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.{group}"
        await namespace.client.send(ApiRequest("DELETE", path))
