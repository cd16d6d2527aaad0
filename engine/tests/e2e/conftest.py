"""One cluster, one scripted model and one engine for all of these tests; each has a namespace of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from tests.support.kubectl import Kubectl
from tests.support.model_script import Script
from tests.support.person import Person
from tests.support.product import Product, engine
from tests.support.scripted_model import ScriptedModel, in_thread
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
    with in_thread(Script()) as scripted:
        yield scripted


@pytest.fixture
def kubectl(administrator: Kubectl) -> Iterator[Kubectl]:
    """In a namespace of the test's own."""
    mine = administrator.in_namespace_of_its_own()
    yield mine
    administrator("delete", "namespace", mine.namespace, "--wait=false")


@pytest.fixture(scope="session")
def started_product(
    administrator: Kubectl, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("product")
    with engine(folder, model, administrator.kubeconfig, CLUSTERS=administrator.context) as running:
        asyncio.run(running.listens())
        yield Product(running, model, administrator, folder)


@pytest.fixture
def product(started_product: Product, kubectl: Kubectl) -> Product:
    """The engine that all share, and the test's own namespace."""
    return replace(started_product, kubectl=kubectl)


@pytest.fixture
async def me(product: Product) -> AsyncIterator[Person]:
    async with product.engine.person() as person:
        yield person
