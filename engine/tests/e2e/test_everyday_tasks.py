"""Run public everyday tasks through engine, preview, approval and grant, and check the cluster afterwards."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import pytest

from tests.support.everyday_tasks import EverydayTask, load_tasks, run_tasks
from tests.support.kubectl import Kubectl
from tests.support.product import Product, start_product
from tests.support.scripted_model import ScriptedModel
from tests.support.services import Cluster

SIMULATED, REAL = (load_tasks(real_node=real) for real in (False, True))


def selected(request: pytest.FixtureRequest, function: str) -> Sequence[EverydayTask]:
    """Return the tasks of a test function that this session runs."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    chosen = [item.callspec.params["task"] for item in items if item.originalname == function]
    return list({task.name: task for task in chosen}.values())


@pytest.fixture(scope="module")
def simulated_outcomes(request: pytest.FixtureRequest, started_product: Product) -> Mapping[str, str]:
    return run_tasks(started_product, selected(request, "test_task_on_simulated_nodes"))


@pytest.fixture(scope="module")
def real_outcomes(
    request: pytest.FixtureRequest,
    node_cluster: Cluster,
    model: ScriptedModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, str]]:
    """Run the tasks on a cluster with a real node, through an engine of their own."""
    if node_cluster.kubectl is None:
        pytest.skip("NOT TESTED: tasks on a real node: no kubectl on the PATH")
    administrator = Kubectl(node_cluster.kubectl, node_cluster.kubeconfig, node_cluster.context)
    folder = tmp_path_factory.mktemp("node")
    with start_product(folder, model, node_cluster.kubeconfig, CLUSTERS=node_cluster.context) as running:
        asyncio.run(running.wait_until_tools_are_listed())
        product = Product(running, model, administrator, folder)
        yield run_tasks(product, selected(request, "test_task_on_a_real_node"))


@pytest.mark.promise("once", "bound", "no-approval-no-effect")
@pytest.mark.parametrize("task", SIMULATED, ids=lambda task: task.name)
def test_task_on_simulated_nodes(task: EverydayTask, simulated_outcomes: Mapping[str, str]) -> None:
    assert not simulated_outcomes[task.name], simulated_outcomes[task.name]


@pytest.mark.promise("once", "bound", "no-approval-no-effect")
@pytest.mark.parametrize("task", REAL, ids=lambda task: task.name)
def test_task_on_a_real_node(task: EverydayTask, real_outcomes: Mapping[str, str]) -> None:
    assert not real_outcomes[task.name], real_outcomes[task.name]
