"""Create: what the API server adds, and what it rejects."""

import base64

from kube_backend import Object
from kube_manifests import deployment, pod, service
from kube_namespace import Namespace


def test_deployment_gets_defaults(namespace: Namespace) -> None:
    made = namespace.create("deployments", deployment(replicas=None))
    assert made["metadata"]["generation"] == 1
    spec = made["spec"]
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    assert spec["strategy"] == rolling
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    container = spec["template"]["spec"].pop("containers")[0]
    assert spec["template"]["spec"] == {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    assert container == {
        "name": "app",
        "image": "app:1",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }


def test_container_fields_get_defaults(namespace: Namespace) -> None:
    body = deployment()
    container = body["spec"]["template"]["spec"]["containers"][0]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    container |= {"image": "app:latest", "ports": [{"containerPort": 8080}], "readinessProbe": probe}
    found = namespace.create("deployments", body)["spec"]["template"]["spec"]["containers"][0]
    assert found["imagePullPolicy"] == "Always"
    assert found["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
    counts = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    assert found["readinessProbe"] == {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}} | counts


def test_new_pod_is_pending_and_unscheduled(namespace: Namespace) -> None:
    made = namespace.bare_pod(pod(app="x"))
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    spec = made["spec"]
    assert "nodeName" not in spec
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["terminationGracePeriodSeconds"]) == (
        "Always",
        "ClusterFirst",
        30,
    )


def test_service_gets_cluster_ip(namespace: Namespace) -> None:
    made = namespace.create("services", service("web", 80, app="web"))
    spec = made["spec"]
    address = spec["clusterIP"]
    assert address.count(".") == 3
    assert spec["clusterIPs"] == [address]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert spec["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": 8080}]
    assert made["status"] == {"loadBalancer": {}}


def test_client_ip_affinity_defaults_to_three_hours(namespace: Namespace) -> None:
    body = service("web", 80, app="web")
    body["spec"]["sessionAffinity"] = "ClientIP"
    assert namespace.create("services", body)["spec"]["sessionAffinityConfig"] == {
        "clientIP": {"timeoutSeconds": 10800}
    }


def test_target_port_defaults_to_port(namespace: Namespace) -> None:
    body = service("web", 80, app="web")
    del body["spec"]["ports"][0]["targetPort"]
    assert namespace.create("services", body)["spec"]["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": 80}]


def test_secret_string_data_is_stored_as_base64(namespace: Namespace) -> None:
    body: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"a": "hush"}}
    made = namespace.create("secrets", body)
    assert (made["type"], made["data"]) == ("Opaque", {"a": base64.b64encode(b"hush").decode()})
    assert "stringData" not in made


def test_new_namespace_is_active_and_labelled(namespace: Namespace) -> None:
    found = namespace.backend.get(f"/api/v1/namespaces/{namespace.name}")
    assert found["status"]["phase"] == "Active"
    assert found["spec"]["finalizers"] == ["kubernetes"]
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace.name}


def test_create_records_field_manager(namespace: Namespace) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}
    (entry,) = namespace.create("configmaps", body, fieldManager="kim")["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("kim", "Update", "v1")
    assert (entry["fieldsType"], entry["fieldsV1"]) == ("FieldsV1", {"f:data": {".": {}, "f:a": {}}})


def test_server_added_fields_have_no_manager(namespace: Namespace) -> None:
    made = namespace.create("services", service("web", 80, app="web"), fieldManager="kim")
    (entry,) = made["metadata"]["managedFields"]
    fields = {"f:internalTrafficPolicy", "f:ports", "f:selector", "f:sessionAffinity", "f:type"}
    assert {key: set(value) for key, value in entry["fieldsV1"].items()} == {"f:spec": fields}
    (entry,) = namespace.backend.get(f"/api/v1/namespaces/{namespace.name}")["metadata"]["managedFields"]
    labels = {".": {}, "f:kubernetes.io/metadata.name": {}}
    assert entry["fieldsV1"] == {"f:metadata": {"f:labels": labels}}


def test_quantities_are_stored_in_canonical_form(namespace: Namespace) -> None:
    body = deployment()
    given = {"cpu": "1000m", "memory": "1024Mi"}, {"cpu": "0.5", "memory": "0.5Gi"}
    resources = {"limits": given[0], "requests": given[1]}
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    found = namespace.create("deployments", body)["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert found == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "512Mi"}}


def test_generate_name_creates_random_name(namespace: Namespace) -> None:
    made = namespace.create(
        "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "made-"}}
    )
    assert made["metadata"]["name"].startswith("made-")
    assert len(made["metadata"]["name"]) == len("made-") + 5
    assert made["metadata"]["generateName"] == "made-"


def test_creating_existing_object_conflicts(namespace: Namespace) -> None:
    namespace.create("deployments", deployment())
    answer = namespace.post("deployments", deployment())
    assert answer.error == (409, "AlreadyExists")
    assert answer.body["message"] == 'deployments.apps "web" already exists'


def test_creating_in_unknown_namespace_is_not_found(namespace: Namespace) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    answer = namespace.backend.request("POST", "/api/v1/namespaces/none-such/configmaps", body)
    assert answer.error == (404, "NotFound")
    assert answer.body["message"] == 'namespaces "none-such" not found'


def test_namespace_must_match_path(namespace: Namespace) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}}
    assert namespace.post("configmaps", body).error == (400, "BadRequest")


def test_kind_must_match_path(namespace: Namespace) -> None:
    assert namespace.post("configmaps", deployment()).error == (400, "BadRequest")
    wrong = deployment() | {"apiVersion": "apps/v2"}
    assert namespace.post("deployments", wrong).error == (400, "BadRequest")


def test_dry_run_create_stores_nothing(namespace: Namespace) -> None:
    tried = namespace.create("deployments", deployment(), dryRun="All")
    assert tried["metadata"]["uid"]
    assert tried["spec"]["strategy"]["type"] == "RollingUpdate"
    assert namespace.names("deployments") == []
    assert namespace.post("deployments", deployment("Bad_Name"), dryRun="All").status == 422
    answer = namespace.post("deployments", deployment(), dryRun="Some")
    assert answer.error == (422, "Invalid")
    assert answer.causes == {("FieldValueNotSupported", "dryRun")}


def test_generation_counts_spec_changes(namespace: Namespace) -> None:
    namespace.create("deployments", deployment())
    labelled = namespace.patch("deployments", "web", {"metadata": {"labels": {"a": "b"}}}).expect(200)
    scaled = namespace.patch("deployments", "web", {"spec": {"replicas": 3}}).expect(200)
    assert scaled["metadata"]["generation"] == labelled["metadata"]["generation"] + 1
