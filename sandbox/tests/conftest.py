"""Fixtures of the sandbox's tests. The contract suite runs against the sandbox and against a real API server."""

import json
import shutil
from collections.abc import Iterator

import pytest
from kubebackend import Backend, connected
from kubeobjects import flag_definition
from kubespace import Space, Spaces

from tests.support.services import Cluster
from tests.support.waiting import wait_until


@pytest.fixture(scope="session")
def real(cluster: Cluster) -> Iterator[Backend]:
    """A real API server that has learned the sandbox's custom kind."""
    if cluster.kubectl is None:
        pytest.skip("NOT TESTED: Kubernetes: there is no kubectl")
    with connected("real", cluster.kubeconfig, cluster.context, cluster.kubectl) as found:
        found.kubectl("apply", "-f", "-", given=json.dumps(flag_definition()))
        served = "/apis/shop.example.com/v1/featureflags"
        wait_until(lambda: found.ask("GET", served).status == 200, "the custom kind is served")
        yield found


@pytest.fixture(scope="session")
def sandboxed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The sandbox's API server, where everything takes a tenth of its time."""
    from kubesandbox import CONTEXT, sandbox_cluster

    kubectl = shutil.which("kubectl") or request.getfixturevalue("cluster").kubectl
    with (
        sandbox_cluster(tmp_path_factory.mktemp("sandbox")) as file,
        connected("sandbox", file, CONTEXT, kubectl) as found,
    ):
        yield found


@pytest.fixture(scope="session", params=["sandboxed", "real"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each API server in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Backend)
    return found


@pytest.fixture(scope="session")
def spaces(backend: Backend) -> Iterator[Spaces]:
    """Namespaces that go one by one, or all at the end: a real cluster is busy for long with taking them away."""
    made = Spaces(backend)
    yield made
    made.end()


@pytest.fixture(scope="session")
def crashing(spaces: Spaces) -> Iterator[Space]:
    """The namespace of a container that crashes: made before all others, for its second crash takes its time."""
    space = spaces.make()
    space.deployment(replicas=1, image="app:crash")
    yield space
    spaces.leave(space)


@pytest.fixture
def space(spaces: Spaces, crashing: Space) -> Iterator[Space]:
    """A namespace of the test's own."""
    space = spaces.make()
    yield space
    spaces.leave(space)
