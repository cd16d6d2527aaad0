"""Fixtures of the sandbox's tests; the contract suite runs against the sandbox and a real API server."""

import json
import shutil
from collections.abc import Iterator

import pytest
from kube_backend import Backend, connect
from kube_manifests import flag_definition
from kube_namespace import Namespace, NamespaceFactory

from tests.support.services import Cluster
from tests.support.waiting import wait_until


@pytest.fixture(scope="session")
def real_backend(cluster: Cluster) -> Iterator[Backend]:
    """Connect to a real API server, and install the sandbox's custom kind on it."""
    if cluster.kubectl is None:
        pytest.skip("NOT TESTED: Kubernetes: there is no kubectl")
    with connect("real", cluster.kubeconfig, cluster.context, cluster.kubectl) as found:
        found.kubectl("apply", "-f", "-", given=json.dumps(flag_definition()))
        served = "/apis/shop.example.com/v1/featureflags"
        wait_until(lambda: found.request("GET", served).status == 200, "the custom kind is served")
        yield found


@pytest.fixture(scope="session")
def sandbox_backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Start the sandbox's API server, ten times as fast as normal."""
    from kube_sandbox import CONTEXT, sandbox_cluster

    kubectl = shutil.which("kubectl") or request.getfixturevalue("cluster").kubectl
    with (
        sandbox_cluster(tmp_path_factory.mktemp("sandbox")) as file,
        connect("sandbox", file, CONTEXT, kubectl) as found,
    ):
        yield found


@pytest.fixture(scope="session", params=["sandbox_backend", "real_backend"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Run the test against each API server."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Backend)
    return found


@pytest.fixture(scope="session")
def namespaces(backend: Backend, request: pytest.FixtureRequest) -> Iterator[NamespaceFactory]:
    """Create namespaces, and delete them later. A real cluster needs long for that, so there it happens at the end.

    A cluster that the tests started is stopped with all of its namespaces, perhaps by now.
    """
    factory = NamespaceFactory(backend)
    is_thrown_away = backend.is_real and request.getfixturevalue("cluster").audit_log is not None
    yield factory
    if not is_thrown_away:
        factory.delete_released()


@pytest.fixture(scope="session")
def crashing_deployment(namespaces: NamespaceFactory) -> Iterator[Namespace]:
    """Create a crashing container in its own namespace, early in the session: its second crash takes a while."""
    namespace = namespaces.create()
    namespace.create_deployment(replicas=1, image="app:crash")
    yield namespace
    namespaces.release(namespace)


@pytest.fixture
def namespace(namespaces: NamespaceFactory, crashing_deployment: Namespace) -> Iterator[Namespace]:
    """Create a namespace for the test."""
    namespace = namespaces.create()
    yield namespace
    namespaces.release(namespace)
