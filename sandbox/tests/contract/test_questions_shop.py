"""The first minute: questions about the sandbox's shop and the fixes of its faults, in real time."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import kube_sandbox
import pytest
from model_conversation import Conversation, open_conversation
from tool_client import open_tool_client, settings_for


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """Start a shop for one test at normal speed, so that a crashing program has time to write its log."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kube_sandbox, "PACE", 1.0)
        with kube_sandbox.sandbox_cluster(tmp_path) as file:
            yield file


@pytest.fixture
async def conversation(shop: Path, tmp_path: Path) -> AsyncIterator[Conversation]:
    settings = settings_for(shop, kube_sandbox.CONTEXT, tmp_path)
    async with open_tool_client(settings) as tools, open_conversation(tools) as conversation:
        yield conversation


async def test_each_fault_of_the_shop_is_explained_and_fixed(conversation: Conversation) -> None:
    wrong = await conversation.ask("what's wrong in shop?")
    assert "**3 problems** in namespace `shop`" in wrong.answer
    image = await conversation.ask("why is catalog failing?")
    assert "can't be pulled: the registry has no such image or tag" in image.answer
    assert "Verified" in (await conversation.ask("fix it")).answer
    crash = await conversation.ask("why is checkout failing?")
    assert "misses the setting `PAYMENTS_URL`: ConfigMap `checkout-config` has `PAYMENT_URL` instead" in crash.answer
    fixed = await conversation.ask("fix it")
    assert fixed.changes[0].arguments["patch"] == {"data": {"PAYMENTS_URL": "https://payments.example.com/v3"}}
    if "Not healed yet" in fixed.answer:
        assert "Verified" in (await conversation.ask("yes")).answer
    nowhere = await conversation.ask("why is the cart service not reachable?")
    assert "its selector `app=shopping-cart` matches no pod" in nowhere.answer
    assert "Verified: Service `cart` now matches 2 pods, 2 of them ready" in (await conversation.ask("fix it")).answer
    assert "problem" not in (await conversation.ask("is catalog ok?")).answer


async def test_one_sentence_fixes_everything(conversation: Conversation) -> None:
    fixed = await conversation.ask("fix everything in shop")
    assert [made.arguments["name"] for made in fixed.changes] == ["catalog", "checkout-config", "cart"]
    assert [title for title in fixed.answer.splitlines() if title.startswith("###")] == [
        "### deployment catalog",
        "### deployment checkout",
        "### service cart",
    ]
