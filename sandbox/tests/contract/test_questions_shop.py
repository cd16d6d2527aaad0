"""The first minute: the shop of the sandbox, asked about, mended and looked at again, at the pace that people see."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import kubesandbox
import pytest
from talkdriver import Conversation, talking
from toolkit import serving, settings_for


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """A shop of the test's own. In it a second is a second: a program that crashes has the time to say why."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kubesandbox, "PACE", 1.0)
        with kubesandbox.sandbox_cluster(tmp_path) as file:
            yield file


@pytest.fixture
async def talk(shop: Path, tmp_path: Path) -> AsyncIterator[Conversation]:
    settings = settings_for(shop, kubesandbox.CONTEXT, tmp_path)
    async with serving(settings) as tools, talking(tools) as conversation:
        yield conversation


async def test_each_fault_of_the_shop_is_found_explained_and_mended(talk: Conversation) -> None:
    wrong = await talk.ask("what's wrong in shop?")
    assert "**3 problems** in namespace `shop`" in wrong.answer
    image = await talk.ask("why is catalog failing?")
    assert "can't be pulled: the registry has no such image or tag" in image.answer
    assert "Verified" in (await talk.ask("fix it")).answer
    crash = await talk.ask("why is checkout failing?")
    assert "misses the setting `PAYMENTS_URL`: ConfigMap `checkout-config` has `PAYMENT_URL` instead" in crash.answer
    fixed = await talk.ask("fix it")
    assert fixed.changes[0].arguments["patch"] == {"data": {"PAYMENTS_URL": "https://payments.example.com/v3"}}
    if "Not healed yet" in fixed.answer:
        assert "Verified" in (await talk.ask("yes")).answer
    nowhere = await talk.ask("why is the cart service not reachable?")
    assert "its selector `app=shopping-cart` matches no pod" in nowhere.answer
    assert "Verified: Service `cart` now matches 2 pods, 2 of them ready" in (await talk.ask("fix it")).answer
    assert "problem" not in (await talk.ask("is catalog ok?")).answer


async def test_everything_is_mended_by_one_sentence(talk: Conversation) -> None:
    fixed = await talk.ask("fix everything in shop")
    assert [made.arguments["name"] for made in fixed.changes] == ["catalog", "checkout-config", "cart"]
    assert [title for title in fixed.answer.splitlines() if title.startswith("###")] == [
        "### deployment catalog",
        "### deployment checkout",
        "### service cart",
    ]
