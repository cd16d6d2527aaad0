"""Provide one cluster, one scripted model and one engine for all tests; each test has its own namespace."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.api_user import ApiUser
from tests.support.kubectl import Kubectl
from tests.support.model_script import Script
from tests.support.product import Product, RestartableProduct, start_product
from tests.support.scripted_model import ScriptedModel, scripted_model_in_thread
from tests.support.services import Cluster


@pytest.fixture(scope="session")
def administrator(cluster: Cluster) -> Kubectl:
    if cluster.kubectl is not None:
        return Kubectl(cluster.kubectl, cluster.kubeconfig, cluster.context)
    message = "NOT TESTED: the product on a cluster: no kubectl on the PATH"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    with scripted_model_in_thread(Script()) as scripted:
        yield scripted


@pytest.fixture
def kubectl(administrator: Kubectl) -> Iterator[Kubectl]:
    """Create a namespace for this test."""
    mine = administrator.with_own_namespace()
    yield mine
    administrator("delete", "namespace", mine.namespace, "--wait=false")


@pytest.fixture(scope="session")
def started_product(
    administrator: Kubectl, model: ScriptedModel, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("product")
    helm = {"HELM_BINARY": cluster.helm} if cluster.helm else {}
    with start_product(folder, model, administrator.kubeconfig, CLUSTERS=administrator.context, **helm) as running:
        asyncio.run(running.wait_until_tools_are_listed())
        yield Product(running, model, administrator, folder)


@pytest.fixture
def product(started_product: Product, kubectl: Kubectl) -> Product:
    """Return the shared engine with this test's namespace."""
    return replace(started_product, kubectl=kubectl)


@pytest.fixture
async def me(product: Product) -> AsyncIterator[ApiUser]:
    async with product.engine.open_user() as person:
        yield person


@pytest.fixture
def restartable(tmp_path: Path, model: ScriptedModel, kubectl: Kubectl) -> Iterator[RestartableProduct]:
    with ExitStack() as stack:
        yield RestartableProduct(tmp_path / "kill", model, kubectl, stack)
