"""Services and their endpoints."""

from kube_backend import Object
from kube_manifests import service
from kube_namespace import Namespace

OF_WEB = {"labelSelector": "kubernetes.io/service-name=web"}


def addresses(slices: list[Object]) -> list[str]:
    return sorted(address for each in slices for end in each["endpoints"] or [] for address in end["addresses"])


def slices_with(namespace: Namespace, count: int) -> list[Object]:
    """Wait until the Service's slices hold this many addresses."""
    return namespace.wait_for_all(
        "endpointslices", lambda found: found and len(addresses(found)) == count, f"{count} addresses", **OF_WEB
    )


def test_service_lists_selected_pods(namespace: Namespace) -> None:
    made = namespace.create("services", service("web", 80, app="web"))
    namespace.running_deployment(replicas=2)
    (found,) = slices_with(namespace, 2)
    assert addresses([found]) == sorted(pod["status"]["podIP"] for pod in namespace.list_objects("pods"))
    assert (found["addressType"], found["metadata"]["labels"]["kubernetes.io/service-name"]) == ("IPv4", "web")
    assert [(port["port"], port["protocol"]) for port in found["ports"]] == [(8080, "TCP")]
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Service", "web", made["metadata"]["uid"])
    for end in found["endpoints"]:
        assert end["conditions"] == {"ready": True, "serving": True, "terminating": False}
        assert end["targetRef"]["kind"] == "Pod"
        assert end["nodeName"]


def test_unmatched_selector_has_no_endpoints(namespace: Namespace) -> None:
    namespace.create("services", service("web", 80, app="web"))
    namespace.running_deployment(replicas=1)
    slices_with(namespace, 1)
    namespace.patch("services", "web", {"spec": {"selector": {"app": "wbe"}}}).expect(200)
    slices_with(namespace, 0)
    namespace.patch("services", "web", {"spec": {"selector": {"app": "web"}}}).expect(200)
    slices_with(namespace, 1)


def test_unready_pod_is_unready_endpoint(namespace: Namespace) -> None:
    namespace.create("services", service("web", 80, app="web"))
    namespace.create_deployment(replicas=1, image="app:never-ready")
    (found,) = slices_with(namespace, 1)
    (end,) = found["endpoints"]
    assert (end["conditions"]["ready"], end["conditions"]["serving"]) == (False, False)


def test_endpoints_follow_replicas(namespace: Namespace) -> None:
    namespace.create("services", service("web", 80, app="web"))
    namespace.running_deployment(replicas=1)
    slices_with(namespace, 1)
    namespace.patch("deployments", "web", {"spec": {"replicas": 3}}).expect(200)
    slices_with(namespace, 3)
    namespace.patch("deployments", "web", {"spec": {"replicas": 0}}).expect(200)
    slices_with(namespace, 0)


def test_named_target_port_is_resolved(namespace: Namespace) -> None:
    body = service("web", 80, app="web")
    body["spec"]["ports"][0] |= {"name": "http", "targetPort": "web"}
    namespace.create("services", body)
    wanted = namespace.create_deployment(replicas=1)["spec"]["template"]["spec"]["containers"][0]
    container = {"name": wanted["name"], "image": wanted["image"], "ports": [{"name": "web", "containerPort": 9000}]}
    namespace.patch("deployments", "web", {"spec": {"template": {"spec": {"containers": [container]}}}}).expect(200)
    found = namespace.wait_for_all(
        "endpointslices",
        lambda slices: slices
        and [(each["name"], each["port"]) for each in slices[0]["ports"] or []] == [("http", 9000)],
        "lead to port 9000",
        **OF_WEB,
    )
    assert found


def test_slices_are_deleted_with_service(namespace: Namespace) -> None:
    namespace.create("services", service("web", 80, app="web"))
    namespace.wait_for_all("endpointslices", lambda found: found, "are there", **OF_WEB)
    assert namespace.delete("services", "web").expect(200)["kind"] in ("Service", "Status")
    namespace.wait_for_all("endpointslices", lambda found: not found, "are gone", **OF_WEB)


def test_cluster_ip_is_immutable(namespace: Namespace) -> None:
    namespace.create("services", service("web", 80, app="web"))
    answer = namespace.patch("services", "web", {"spec": {"clusterIP": "10.0.0.77", "clusterIPs": ["10.0.0.77"]}})
    assert answer.error == (422, "Invalid")
    assert "spec.clusterIPs[0]" in {field for _, field in answer.causes}


def test_headless_service_has_no_cluster_ip(namespace: Namespace) -> None:
    body = service("web", 80, app="web")
    body["spec"]["clusterIP"] = "None"
    spec = namespace.create("services", body)["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
