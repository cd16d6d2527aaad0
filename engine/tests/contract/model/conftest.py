"""Each adapter, connected to a scripted model."""

from collections.abc import AsyncIterator

import pytest

from src.api.adapters.model.openai import ModelTimeouts
from tests.support.model_peer import ModelPeer, open_peer


@pytest.fixture(params=["openai", "litellm"])
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[ModelPeer]:
    async with open_peer(request.param, ModelTimeouts(20, 60, 60)) as peer:
        yield peer


@pytest.fixture(params=["openai", "litellm"])
async def impatient_peer(request: pytest.FixtureRequest) -> AsyncIterator[ModelPeer]:
    async with open_peer(request.param, ModelTimeouts(20, 4, 1)) as peer:
        yield peer
