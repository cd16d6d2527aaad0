"""The Helm chart on a real API server: valid, refused when wrong, installed, upgraded, removed, and with few rights.

The nodes are simulated, so no container runs: `test_image.py` runs the images.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.api.config.settings import Settings
from tests.support.helm import Helm
from tests.support.kubectl import Kubectl, Object
from tests.support.services import PROJECT
from tests.support.waiting import wait_until

CHART = PROJECT / "deployment" / "chart"
TRIAL = ("--set=postgresql.enabled=true", "--set=redis.enabled=true")
OWN = ("--set=existingSecret=ours",)
EVERYTHING = (
    *OWN,
    "--set=engine.autoscaling.enabled=true,rbac.impersonate=true,rbac.secrets=change,rbac.namespaces={shop,pay}",
    "--set=ingress.enabled=true,ingress.host=skyflo.example.com,ingress.tlsSecret=tls,ingress.className=nginx",
    "--set=model.host=http://model:8000/v1,model.apiKeySecret=key,image.registry=registry.example.com/team/",
    "--set=engine.settings.RATE_LIMIT_PER_MINUTE=50,tools.settings.PROMETHEUS_URL=http://prometheus:9090",
)
METRICS = (
    *OWN,
    "--set=metrics.enabled=true,metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true",
    "--set=metrics.serviceMonitor.labels.release=prometheus,metrics.prometheusRule.labels.release=prometheus",
)
SPLIT = (
    "--set=engine.role=api,engine.replicas=3,worker.replicas=4,worker.resources.limits.memory=2Gi",
    "--set=worker.nodeSelector.disk=fast,engine.settings.RATE_LIMIT_PER_MINUTE=50",
)
SCALED_BY_RUNS = (
    *METRICS,
    *SPLIT,
    "--set=engine.autoscaling.enabled=true,worker.autoscaling.enabled=true,worker.autoscaling.targetExecutingRuns=60",
)
OPERATOR = "monitoring.coreos.com/v1"
VARIANTS = {
    "trial": TRIAL,
    "own database": OWN,
    "everything": EVERYTHING,
    "read only": (*OWN, "--set=rbac.mode=read"),
    "metrics": METRICS,
    "workers": (*TRIAL, *SPLIT),
    "workers scaled by CPU": (*OWN, *SPLIT, "--set=worker.autoscaling.enabled=true"),
    "workers scaled by runs": SCALED_BY_RUNS,
}
TOOL_SETTINGS = {"CLUSTERS", "HELM_CHARTS", "JENKINS_URL", "KUBECONFIG", "KUBERNETES_IMPERSONATE", "PROMETHEUS_URL"}
KINDS = "all,secrets,serviceaccounts,pvc,networkpolicies,ingresses,pdb,hpa,roles,rolebindings"


@pytest.fixture
def helm(helm_binary: str, kubectl: Kubectl, tmp_path: Path) -> Helm:
    return Helm(helm_binary, kubectl, tmp_path)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_chart_is_valid(helm: Helm, kubectl: Kubectl, values: tuple[str, ...]) -> None:
    """The API server accepts every object, with all fields known."""
    helm("lint", str(CHART), "--strict", *values)
    known = [
        json.dumps(each)
        for each in helm.objects(CHART, *values)
        if each["apiVersion"] != OPERATOR  # the test's cluster has no Prometheus operator
        if each["metadata"].get("namespace") in (None, kubectl.namespace)
    ]
    kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", given="\n---\n".join(known))


def test_metrics_are_scraped_with_the_token_and_watched_by_the_alerts(helm: Helm) -> None:
    plain, found = _by_kind(helm, *OWN), _by_kind(helm, *METRICS)
    assert not {"ServiceMonitor", "PrometheusRule"} & set(plain)
    assert "METRICS_ADDRESS" not in str(plain)
    [monitor], [rule] = found["ServiceMonitor"], found["PrometheusRule"]
    assert rule["spec"] == yaml.safe_load((CHART / "alerts.yaml").read_text())
    assert monitor["metadata"]["labels"]["release"] == rule["metadata"]["labels"]["release"] == "prometheus"
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "ours", "key": "METRICS_TOKEN"}
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    [service] = [each for each in found["Service"] if chosen <= each["metadata"]["labels"].items()]
    assert [port["name"] for port in service["spec"]["ports"]] == [endpoint["port"]]
    [engine] = [each for each in found["Deployment"] if each["metadata"]["name"] == "skyflo-engine"]
    assert {"name": "metrics", "containerPort": 9464} in engine["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert service["spec"]["selector"].items() <= engine["spec"]["template"]["metadata"]["labels"].items()


def _by_kind(helm: Helm, *values: str) -> dict[str, list[Object]]:
    objects = helm.objects(CHART, *values)
    return {kind: [each for each in objects if each["kind"] == kind] for kind in {each["kind"] for each in objects}}


def test_workers_are_pods_of_their_own_that_nobody_calls(helm: Helm) -> None:
    found = {
        kind: {each["metadata"]["name"]: each for each in them}
        for kind, them in _by_kind(helm, *SCALED_BY_RUNS).items()
    }
    deployed = found["Deployment"]
    engine, worker = (deployed[f"skyflo-{name}"]["spec"]["template"] for name in ("engine", "worker"))
    assert (_roles(engine), _roles(worker)) == ({"api"}, {"worker"})
    assert worker["spec"]["nodeSelector"] == {"disk": "fast"}
    limits = [each["spec"]["containers"][0]["resources"]["limits"]["memory"] for each in (engine, worker)]
    assert limits == ["1Gi", "2Gi"]
    chosen = [service["spec"]["selector"]["app.kubernetes.io/component"] for service in found["Service"].values()]
    assert chosen.count("worker") == 1, "only the one that names the pods for Prometheus"
    assert found["NetworkPolicy"]["skyflo-worker"]["spec"]["ingress"] == [{"ports": [{"port": "metrics"}]}]
    for kind in ("PodDisruptionBudget", "ServiceAccount", "ServiceMonitor"):
        assert {"skyflo-engine", "skyflo-worker"} <= set(found[kind])
    [runs] = found["HorizontalPodAutoscaler"]["skyflo-worker"]["spec"]["metrics"]
    assert runs["pods"]["metric"] == {"name": "skyflo_runs_executing"}
    assert runs["pods"]["target"] == {"type": "AverageValue", "averageValue": "60"}
    [processor] = found["HorizontalPodAutoscaler"]["skyflo-engine"]["spec"]["metrics"]
    assert processor["resource"]["name"] == "cpu"


def test_engine_executes_runs_itself_unless_there_are_workers(helm: Helm) -> None:
    everything = helm.objects(CHART, *EVERYTHING)
    assert "worker" not in json.dumps([each for each in everything if each["kind"] != "PrometheusRule"])
    assert "ENGINE_ROLE" not in json.dumps(everything)


def test_workers_reach_what_the_engine_reaches(helm: Helm) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in _by_kind(helm, *TRIAL, *SPLIT)["NetworkPolicy"]}
    for name, others in {"tools": [], "postgresql": ["tools"], "redis": []}.items():
        [rule] = policies[f"skyflo-{name}"]["ingress"]
        allowed = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in rule["from"]]
        assert allowed == ["engine", "worker", *others]
    assert "ingress" not in policies["skyflo-worker"]


def _roles(pod: Object) -> set[str]:
    """Return the roles that the settings of a pod's containers name."""
    containers = [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]
    return {each["value"] for one in containers for each in one["env"] if each["name"] == "ENGINE_ROLE"}


@pytest.mark.parametrize("values", [EVERYTHING, SCALED_BY_RUNS], ids=["everything", "workers"])
def test_both_versions_of_helm_render_the_same(helm: Helm, helm3_binary: str, values: tuple[str, ...]) -> None:
    assert replace(helm, binary=helm3_binary).objects(CHART, *values) == helm.objects(CHART, *values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((), "postgresql.enabled=true and redis.enabled=true"),
        ((*OWN, "--set=ingress.enabled=true"), "ingress.host"),
        ((*OWN, "--set=rbac.mode=write"), "/rbac/mode"),
        ((*OWN, "--set=metrics.serviceMonitor.enabled=true"), "set metrics.enabled=true"),
        ((*OWN, "--set=metrics.serviceMonitor.interval=often"), "/metrics/serviceMonitor/interval"),
        ((*OWN, "--set=engine.replicas=0"), "/engine/replicas"),
        ((*OWN, "--set=engine.replica=3"), "replica"),
        ((*OWN, "--set=engine.settings.rate=3"), "rate"),
        ((*OWN, "--set=engine.settings.LLM_MODEL=gpt"), "set model.name"),
        ((*OWN, "--set=tools.settings.SKYFLO_TOOLS_TOKEN=a"), "set the key of existingSecret"),
        ((*OWN, "--set=rbac.namespaces={Shop}"), "/rbac/namespaces/0"),
        ((*OWN, "--set=engine.role=worker"), "/engine/role"),
        ((*OWN, "--set=engine.settings.ENGINE_ROLE=api"), "set engine.role"),
        ((*OWN, "--set=worker.replicas=0"), "/worker/replicas"),
        ((*OWN, "--set=worker.settings.LLM_TITLES=false"), "settings"),
        ((*OWN, "--set=worker.autoscaling.targetExecutingRuns=101"), "/worker/autoscaling/targetExecutingRuns"),
        (
            (*OWN, *SPLIT, "--set=worker.autoscaling.enabled=true,worker.autoscaling.targetExecutingRuns=60"),
            "set metrics.enabled=true",
        ),
    ],
)
def test_wrong_values_are_refused_in_words(helm: Helm, values: tuple[str, ...], words: str) -> None:
    done = helm.run("template", "skyflo", str(CHART), *values)
    assert done.returncode != 0
    assert words in done.stderr


def test_variables_of_the_chart_are_settings(helm: Helm) -> None:
    engine = {name.upper() for name in Settings.model_fields}
    objects = helm.objects(CHART, *EVERYTHING)
    assert _variables(objects, "engine") - engine == set()
    for part in ("engine", "worker"):
        assert _variables(helm.objects(CHART, *SCALED_BY_RUNS), part) - engine == set()
    assert {name for name in _variables(objects, "tools") if not name.startswith("SKYFLO_TOOLS_")} <= TOOL_SETTINGS
    assert _variables(helm.objects(CHART, *OWN), "engine") >= {"JWT_SECRET", "POSTGRES_DATABASE_URL", "MCP_GRANT_KEY"}


def test_clusters_and_integrations_may_be_set_otherwise(helm: Helm) -> None:
    values = "--set=tools.settings.CLUSTERS=in-cluster:read,engine.settings.INTEGRATIONS_SECRETS=kubernetes"
    rendered = helm("template", "skyflo", str(CHART), *OWN, values, "--set=engine.settings.MCP_SERVER_URL=http://mine")
    for name, count in {"CLUSTERS": 1, "INTEGRATIONS_SECRETS": 2, "MCP_SERVER_URL": 2}.items():
        assert rendered.count(f"name: {name}\n") == count
    assert 'value: "in-cluster:read"' in rendered


def _variables(objects: list[Object], part: str) -> set[str]:
    [deployment] = [
        each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Deployment", f"skyflo-{part}")
    ]
    pod = deployment["spec"]["template"]["spec"]
    containers = [*pod["containers"], *pod.get("initContainers", [])]
    return {variable["name"] for container in containers for variable in container["env"]}


@pytest.fixture
def restricted(kubectl: Kubectl) -> Kubectl:
    """A namespace in which the API server refuses every pod with more rights than `restricted` allows."""
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    return kubectl


@pytest.fixture
def volume(restricted: Kubectl) -> Iterator[None]:
    """A volume for the trial's database: these nodes provide none."""
    name = f"skyflo-{restricted.namespace}"
    claim = {"namespace": restricted.namespace, "name": "data-skyflo-postgresql-0"}
    spec = {"capacity": {"storage": "8Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}
    made = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}}
    restricted.apply({**made, "spec": {**spec, "storageClassName": "", "claimRef": claim}})
    yield
    restricted("delete", "persistentvolume", name, "--wait=false")


@pytest.mark.usefixtures("volume")
def test_release_is_installed_upgraded_rolled_back_and_removed(helm: Helm, restricted: Kubectl) -> None:
    namespace = restricted.namespace
    notes = helm("install", "skyflo", str(CHART), *TRIAL)
    assert "The first user becomes the admin" in notes
    assert f"--namespace {namespace} port-forward service/skyflo-engine 8080:80" in notes
    for name, replicas in (("skyflo-engine", 2), ("skyflo-tools", 2), ("skyflo-redis", 1)):
        wait_until(lambda name=name, count=replicas: _ready(restricted, "deployment", name) == count, what=name)  # type: ignore[misc]
    wait_until(lambda: _ready(restricted, "statefulset", "skyflo-postgresql") == 1, what="the database")
    keys = restricted.get("secret", "skyflo-keys")["data"]
    assert len(set(keys.values())) == len(keys) == 9

    notes = helm("upgrade", "skyflo", str(CHART), *TRIAL, "--set=engine.role=api,engine.replicas=3,worker.replicas=1")
    assert "Workers that execute the runs: 1 (engine.role=api)" in notes
    wait_until(lambda: _ready(restricted, "deployment", "skyflo-engine") == 3, what="the third replica")
    wait_until(lambda: _ready(restricted, "deployment", "skyflo-worker") == 1, what="the worker")
    assert restricted.get("secret", "skyflo-keys")["data"] == keys, "a new key would end every session"
    helm("rollback", "skyflo", "1")
    wait_until(lambda: _ready(restricted, "deployment", "skyflo-engine") == 2, what="the first revision")
    assert restricted.get("secret", "skyflo-keys")["data"] == keys
    wait_until(lambda: not restricted.exists("deployment", "skyflo-worker"), what="the end of the worker")

    helm("uninstall", "skyflo")
    ours = "--selector=app.kubernetes.io/name=skyflo"
    wait_until(lambda: restricted("get", KINDS, ours, "-o=name") == "", what="an empty namespace")
    wide = restricted("get", "clusterroles,clusterrolebindings", ours, "-o=name")
    assert namespace not in wide


def _ready(kubectl: Kubectl, kind: str, name: str) -> int:
    return int(kubectl.get(kind, name)["status"].get("readyReplicas", 0))


ALLOWED: dict[str, tuple[tuple[str, ...], dict[str, bool]]] = {
    "read": (
        ("--set=rbac.mode=read",),
        {
            "list pods": True,
            "get pods/log": True,
            "list nodes": True,
            "list rollouts.argoproj.io": True,
            "get secrets": False,
            "patch deployments.apps": False,
            "create pods/exec": False,
            "delete pods": False,
        },
    ),
    "change": (
        (),
        {
            "patch deployments.apps": True,
            "create pods/exec": True,
            "create pods/eviction": True,
            "patch nodes": True,
            "delete cronjobs.batch": True,
            "get secrets": False,
            "create clusterroles.rbac.authorization.k8s.io": False,
            "create rolebindings.rbac.authorization.k8s.io": False,
            "create serviceaccounts/token": False,
            "patch validatingwebhookconfigurations.admissionregistration.k8s.io": False,
            "impersonate users": False,
        },
    ),
    "change in one namespace": (
        ("--set=rbac.namespaces={NAMESPACE},rbac.secrets=change",),
        {
            "patch deployments.apps": True,
            "create secrets": True,
            "patch deployments.apps elsewhere": False,
            "get secrets elsewhere": False,
            "list pods elsewhere": True,
            "patch nodes": False,
        },
    ),
    "impersonate": (
        ("--set=rbac.mode=read,rbac.impersonate=true",),
        {"impersonate users": True, "impersonate groups": True, "impersonate serviceaccounts": False},
    ),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_tool_server_has_the_rights_of_its_settings(helm: Helm, kubectl: Kubectl, case: str) -> None:
    given, wanted = ALLOWED[case]
    values = [each.replace("NAMESPACE", kubectl.namespace) for each in given]
    roles = [
        each for each in helm.objects(CHART, *OWN, *values) if "Role" in each["kind"]
    ]  # bound to an account that need not exist
    manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": roles})
    kubectl("apply", "-f", "-", given=manifests)
    try:
        account = f"system:serviceaccount:{kubectl.namespace}:skyflo-tools"
        wait_until(lambda: _may(kubectl, account, "list pods elsewhere"), what="the first right")
        assert {right: _may(kubectl, account, right) for right in wanted} == wanted
        engine = account.replace("-tools", "-engine")
        assert not any(_may(kubectl, engine, right) for right in wanted)
    finally:
        kubectl("delete", "--wait=false", "-f", "-", given=manifests)


def _may(kubectl: Kubectl, account: str, right: str) -> bool:
    """Ask the API server. A right is `VERB RESOURCE[.GROUP][/SUBRESOURCE]`, in the test's namespace or `elsewhere`."""
    verb, what, *elsewhere = right.split()
    kind, _, subresource = what.partition("/")
    resource, _, group = kind.partition(".")
    asked: dict[str, Any] = {"verb": verb, "resource": resource, "group": group, "subresource": subresource}
    asked["namespace"] = "default" if elsewhere else kubectl.namespace
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    spec = {"user": account, "resourceAttributes": asked}
    answer = kubectl("create", "-o=json", "-f", "-", given=json.dumps({**review, "spec": spec}))
    return bool(json.loads(answer)["status"]["allowed"])
