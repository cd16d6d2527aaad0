"""Services and the addresses behind them."""

from kubebackend import Object
from kubeobjects import service
from kubespace import Space

OF_WEB = {"labelSelector": "kubernetes.io/service-name=web"}


def addresses(slices: list[Object]) -> list[str]:
    return sorted(address for each in slices for end in each["endpoints"] or [] for address in end["addresses"])


def slices_with(space: Space, count: int) -> list[Object]:
    """The Service's slices once they hold so many addresses."""
    return space.until_all(
        "endpointslices", lambda found: found and len(addresses(found)) == count, f"{count} addresses", **OF_WEB
    )


def test_a_service_finds_the_pods_that_it_selects(space: Space) -> None:
    made = space.make("services", service("web", 80, app="web"))
    space.running(replicas=2)
    (found,) = slices_with(space, 2)
    assert addresses([found]) == sorted(pod["status"]["podIP"] for pod in space.all("pods"))
    assert (found["addressType"], found["metadata"]["labels"]["kubernetes.io/service-name"]) == ("IPv4", "web")
    assert [(port["port"], port["protocol"]) for port in found["ports"]] == [(8080, "TCP")]
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Service", "web", made["metadata"]["uid"])
    for end in found["endpoints"]:
        assert end["conditions"] == {"ready": True, "serving": True, "terminating": False}
        assert end["targetRef"]["kind"] == "Pod"
        assert end["nodeName"]


def test_a_selector_that_matches_nothing_leaves_a_service_empty(space: Space) -> None:
    space.make("services", service("web", 80, app="web"))
    space.running(replicas=1)
    slices_with(space, 1)
    space.patch("services", "web", {"spec": {"selector": {"app": "wbe"}}}).made(200)
    slices_with(space, 0)
    space.patch("services", "web", {"spec": {"selector": {"app": "web"}}}).made(200)
    slices_with(space, 1)


def test_a_pod_that_is_not_ready_gets_no_traffic(space: Space) -> None:
    space.make("services", service("web", 80, app="web"))
    space.deployment(replicas=1, image="app:never-ready")
    (found,) = slices_with(space, 1)
    (end,) = found["endpoints"]
    assert (end["conditions"]["ready"], end["conditions"]["serving"]) == (False, False)


def test_addresses_follow_the_number_of_pods(space: Space) -> None:
    space.make("services", service("web", 80, app="web"))
    space.running(replicas=1)
    slices_with(space, 1)
    space.patch("deployments", "web", {"spec": {"replicas": 3}}).made(200)
    slices_with(space, 3)
    space.patch("deployments", "web", {"spec": {"replicas": 0}}).made(200)
    slices_with(space, 0)


def test_a_port_can_be_named_by_the_pods(space: Space) -> None:
    body = service("web", 80, app="web")
    body["spec"]["ports"][0] |= {"name": "http", "targetPort": "web"}
    space.make("services", body)
    wanted = space.deployment(replicas=1)["spec"]["template"]["spec"]["containers"][0]
    container = {"name": wanted["name"], "image": wanted["image"], "ports": [{"name": "web", "containerPort": 9000}]}
    space.patch("deployments", "web", {"spec": {"template": {"spec": {"containers": [container]}}}}).made(200)
    found = space.until_all(
        "endpointslices",
        lambda slices: slices
        and [(each["name"], each["port"]) for each in slices[0]["ports"] or []] == [("http", 9000)],
        "lead to port 9000",
        **OF_WEB,
    )
    assert found


def test_the_slices_go_with_their_service(space: Space) -> None:
    space.make("services", service("web", 80, app="web"))
    space.until_all("endpointslices", lambda found: found, "are there", **OF_WEB)
    assert space.delete("services", "web").made(200)["kind"] in ("Service", "Status")
    space.until_all("endpointslices", lambda found: not found, "are gone", **OF_WEB)


def test_an_address_cant_be_changed(space: Space) -> None:
    space.make("services", service("web", 80, app="web"))
    answer = space.patch("services", "web", {"spec": {"clusterIP": "10.0.0.77", "clusterIPs": ["10.0.0.77"]}})
    assert answer.refused == (422, "Invalid")
    assert "spec.clusterIPs[0]" in {field for _, field in answer.causes}


def test_a_headless_service_has_no_address(space: Space) -> None:
    body = service("web", 80, app="web")
    body["spec"]["clusterIP"] = "None"
    spec = space.make("services", body)["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
