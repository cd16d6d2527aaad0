"""A model that is asked for titles too: what it answers, what it was asked, and what came of it."""

import re
from dataclasses import dataclass
from typing import Any

from src.api.ports import Reader
from src.api.schemas.query import Where
from src.api.schemas.records import Conversation, ModelCall
from tests.support.main_job import Job
from tests.support.model_script import TITLE_ASKED, Reply, Rule, Script, Step
from tests.support.scripted_model import Asked
from tests.support.waiting import eventually

__all__ = ["TITLE", "Naming"]

TITLE = "Checkout restarts"


@dataclass
class Naming:
    """An engine whose conversations are named."""

    job: Job

    def plays(self, title: Rule, *answer: Step, first: tuple[Rule, ...] = ()) -> None:
        """From now on."""
        self.job.model.forget()
        self.job.model.script = Script(rules=[title, *first, Rule(reply=Reply(steps=list(answer)))])

    @property
    def asked(self) -> list[Asked]:
        """The requests for titles."""
        return [each for each in self.job.model.asked if re.search(TITLE_ASKED, _system(each))]

    async def was_asked(self) -> Asked:
        await eventually(lambda: bool(self.asked), what="the request for a title")
        return self.asked[0]

    async def title(self, conversation_id: str) -> str:
        return str((await self.job.me.client.get(f"/conversations/{conversation_id}")).json()["title"])

    async def becomes(self, conversation_id: str, title: str) -> None:
        async def there() -> bool:
            return await self.title(conversation_id) == title

        await eventually(there, what=f"the title {title}")

    async def row(self, conversation_id: str) -> Conversation:
        store = self.job.running.services.chat._store
        found = await store.read(lambda reader: reader.get(Conversation, id=conversation_id))
        assert found is not None
        return found

    async def counted(self, run_id: str, calls: int) -> list[ModelCall]:
        """The run's calls of models once there are so many: a title's is counted when it is over."""
        store = self.job.running.services.chat._store
        where: Where = {"run_id": run_id}
        found: list[ModelCall] = []

        async def read(reader: Reader) -> list[ModelCall]:
            return await reader.find(ModelCall, where, "created_at,id")

        async def there() -> bool:
            found[:] = await store.read(read)
            return len(found) >= calls

        await eventually(there, what=f"{calls} calls of the model")
        return found


def _system(asked: Asked) -> str:
    assert isinstance(asked.body, dict)
    messages: Any = asked.body["messages"]
    return str(messages[0]["content"]) if messages[0]["role"] == "system" else ""
