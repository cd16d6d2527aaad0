"""An engine with an OpenID provider."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.app import RunningApp, run_app
from tests.support.oidc_engine import oidc_settings, sign_in
from tests.support.oidc_provider import Provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def oidc_engine(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> AsyncIterator[RunningApp]:
    """An engine whose admin, root, signed in with the provider."""
    async with run_app(oidc_settings(tmp_path_factory.mktemp("data"), provider)) as engine:
        await sign_in(engine, provider, "root", "admins")
        yield engine
