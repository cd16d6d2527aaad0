"""Run an engine whose model is also asked for titles; record the requests and their results."""

import re
from dataclasses import dataclass
from typing import Any

from src.api.ports import Reader
from src.api.schemas.query import Where
from src.api.schemas.records import Conversation, ModelCall
from tests.support.engine_harness import EngineHarness
from tests.support.model_script import TITLE_PROMPT_PATTERN, Reply, Rule, Script, Step
from tests.support.scripted_model import RecordedRequest
from tests.support.waiting import eventually

__all__ = ["TITLE", "TitleHarness"]

TITLE = "Checkout restarts"


@dataclass
class TitleHarness:
    """An engine that generates titles of conversations."""

    harness: EngineHarness

    def set_script(self, title: Rule, *answer: Step, first: tuple[Rule, ...] = ()) -> None:
        """Replace the script from now on."""
        self.harness.model.reset()
        self.harness.model.script = Script(rules=[title, *first, Rule(reply=Reply(steps=list(answer)))])

    @property
    def requests(self) -> list[RecordedRequest]:
        """Return the recorded requests for titles."""
        return [each for each in self.harness.model.requests if re.search(TITLE_PROMPT_PATTERN, _system(each))]

    async def wait_for_request(self) -> RecordedRequest:
        await eventually(lambda: bool(self.requests), what="the request for a title")
        return self.requests[0]

    async def title(self, conversation_id: str) -> str:
        return str((await self.harness.me.client.get(f"/conversations/{conversation_id}")).json()["title"])

    async def wait_for_title(self, conversation_id: str, title: str) -> None:
        async def there() -> bool:
            return await self.title(conversation_id) == title

        await eventually(there, what=f"the title {title}")

    async def row(self, conversation_id: str) -> Conversation:
        store = self.harness.running.services.chat.store
        found = await store.read(lambda reader: reader.get(Conversation, id=conversation_id))
        assert found is not None
        return found

    async def wait_for_model_calls(self, run_id: str, calls: int) -> list[ModelCall]:
        """Wait until the run has so many model calls. A title's call is counted when it has ended."""
        store = self.harness.running.services.chat.store
        where: Where = {"run_id": run_id}
        found: list[ModelCall] = []

        async def read(reader: Reader) -> list[ModelCall]:
            return await reader.find(ModelCall, where, "created_at,id")

        async def there() -> bool:
            found[:] = await store.read(read)
            return len(found) >= calls

        await eventually(there, what=f"{calls} calls of the model")
        return found


def _system(asked: RecordedRequest) -> str:
    assert isinstance(asked.body, dict)
    messages: Any = asked.body["messages"]
    return str(messages[0]["content"]) if messages[0]["role"] == "system" else ""
