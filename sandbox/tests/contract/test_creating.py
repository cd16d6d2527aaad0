"""Creating objects: what the API server adds, and what it refuses."""

import base64

from kubebackend import Object
from kubeobjects import deployment, pod, service
from kubespace import Space


def test_a_deployment_gets_its_defaults(space: Space) -> None:
    made = space.make("deployments", deployment(replicas=None))
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


def test_a_container_gets_the_defaults_of_its_parts(space: Space) -> None:
    body = deployment()
    container = body["spec"]["template"]["spec"]["containers"][0]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    container |= {"image": "app:latest", "ports": [{"containerPort": 8080}], "readinessProbe": probe}
    found = space.make("deployments", body)["spec"]["template"]["spec"]["containers"][0]
    assert found["imagePullPolicy"] == "Always"
    assert found["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
    counts = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    assert found["readinessProbe"] == {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}} | counts


def test_a_pod_begins_pending_and_without_a_node(space: Space) -> None:
    made = space.lone_pod(pod(app="x"))
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    spec = made["spec"]
    assert "nodeName" not in spec
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["terminationGracePeriodSeconds"]) == (
        "Always",
        "ClusterFirst",
        30,
    )


def test_a_service_gets_an_address(space: Space) -> None:
    made = space.make("services", service("web", 80, app="web"))
    spec = made["spec"]
    address = spec["clusterIP"]
    assert address.count(".") == 3
    assert spec["clusterIPs"] == [address]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert spec["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": 8080}]
    assert made["status"] == {"loadBalancer": {}}


def test_affinity_of_a_client_lasts_three_hours(space: Space) -> None:
    body = service("web", 80, app="web")
    body["spec"]["sessionAffinity"] = "ClientIP"
    assert space.make("services", body)["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


def test_a_port_that_names_no_target_is_its_own_target(space: Space) -> None:
    body = service("web", 80, app="web")
    del body["spec"]["ports"][0]["targetPort"]
    assert space.make("services", body)["spec"]["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": 80}]


def test_a_secret_keeps_text_as_base64(space: Space) -> None:
    body: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"a": "hush"}}
    made = space.make("secrets", body)
    assert (made["type"], made["data"]) == ("Opaque", {"a": base64.b64encode(b"hush").decode()})
    assert "stringData" not in made


def test_a_namespace_is_active_and_labelled(space: Space) -> None:
    found = space.backend.get(f"/api/v1/namespaces/{space.namespace}")
    assert found["status"]["phase"] == "Active"
    assert found["spec"]["finalizers"] == ["kubernetes"]
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": space.namespace}


def test_a_creator_is_remembered_as_manager(space: Space) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}
    (entry,) = space.make("configmaps", body, fieldManager="kim")["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("kim", "Update", "v1")
    assert (entry["fieldsType"], entry["fieldsV1"]) == ("FieldsV1", {"f:data": {".": {}, "f:a": {}}})


def test_what_the_server_adds_by_itself_is_nobodys(space: Space) -> None:
    made = space.make("services", service("web", 80, app="web"), fieldManager="kim")
    (entry,) = made["metadata"]["managedFields"]
    fields = {"f:internalTrafficPolicy", "f:ports", "f:selector", "f:sessionAffinity", "f:type"}
    assert {key: set(value) for key, value in entry["fieldsV1"].items()} == {"f:spec": fields}
    (entry,) = space.backend.get(f"/api/v1/namespaces/{space.namespace}")["metadata"]["managedFields"]
    labels = {".": {}, "f:kubernetes.io/metadata.name": {}}
    assert entry["fieldsV1"] == {"f:metadata": {"f:labels": labels}}


def test_quantities_are_kept_in_their_shortest_form(space: Space) -> None:
    body = deployment()
    given = {"cpu": "1000m", "memory": "1024Mi"}, {"cpu": "0.5", "memory": "0.5Gi"}
    resources = {"limits": given[0], "requests": given[1]}
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    found = space.make("deployments", body)["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert found == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "512Mi"}}


def test_a_name_can_be_left_to_the_server(space: Space) -> None:
    made = space.make("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "made-"}})
    assert made["metadata"]["name"].startswith("made-")
    assert len(made["metadata"]["name"]) == len("made-") + 5
    assert made["metadata"]["generateName"] == "made-"


def test_what_is_there_already_is_a_conflict(space: Space) -> None:
    space.make("deployments", deployment())
    answer = space.post("deployments", deployment())
    assert answer.refused == (409, "AlreadyExists")
    assert answer.body["message"] == 'deployments.apps "web" already exists'


def test_an_unknown_namespace_is_not_found(space: Space) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    answer = space.backend.ask("POST", "/api/v1/namespaces/none-such/configmaps", body)
    assert answer.refused == (404, "NotFound")
    assert answer.body["message"] == 'namespaces "none-such" not found'


def test_a_namespace_that_differs_from_the_paths_is_a_bad_request(space: Space) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}}
    assert space.post("configmaps", body).refused == (400, "BadRequest")


def test_another_kind_than_the_paths_is_a_bad_request(space: Space) -> None:
    assert space.post("configmaps", deployment()).refused == (400, "BadRequest")
    wrong = deployment() | {"apiVersion": "apps/v2"}
    assert space.post("deployments", wrong).refused == (400, "BadRequest")


def test_what_is_only_tried_is_not_kept(space: Space) -> None:
    tried = space.make("deployments", deployment(), dryRun="All")
    assert tried["metadata"]["uid"]
    assert tried["spec"]["strategy"]["type"] == "RollingUpdate"
    assert space.names("deployments") == []
    assert space.post("deployments", deployment("Bad_Name"), dryRun="All").status == 422
    answer = space.post("deployments", deployment(), dryRun="Some")
    assert answer.refused == (422, "Invalid")
    assert answer.causes == {("FieldValueNotSupported", "dryRun")}


def test_a_generation_counts_the_changes_of_what_is_wanted(space: Space) -> None:
    space.make("deployments", deployment())
    labelled = space.patch("deployments", "web", {"metadata": {"labels": {"a": "b"}}}).made(200)
    scaled = space.patch("deployments", "web", {"spec": {"replicas": 3}}).made(200)
    assert scaled["metadata"]["generation"] == labelled["metadata"]["generation"] + 1
