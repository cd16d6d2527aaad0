"""What takes messages, stops and removals, on a store alone: nobody walks its runs, so a test holds each state."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from src.api.ports import Store, Transaction
from src.api.schemas.agent import ChatRequest, Started
from src.api.schemas.records import Message, Run
from src.api.services.access import Caller, Role
from src.api.services.chat import Chat
from src.api.services.conversations import Conversations
from src.api.services.endings import Endings
from src.api.services.journal import Journal
from src.api.services.runs import Runs
from src.api.utils.ids import Uuid7

__all__ = ["ALICE", "Front"]

ALICE = Caller("alice", Role.MEMBER, "alice@example.org")


@dataclass
class Front:
    """`woken` are the runs that a worker was told of."""

    store: Store
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ids = Uuid7()
        self.endings = Endings(self.store, Journal(ids), ids)
        self.chat = Chat(self.store, self.endings, ids, self.woken.append)
        self.runs = Runs(self.store, self.endings, self.woken.append)
        self.conversations = Conversations(self.store, ids, self.endings)

    async def say(self, text: str, conversation_id: str | None = None, key: str | None = None, **body: Any) -> Started:
        said = [{"role": "user", "content": text}]
        wanted = ChatRequest.model_validate({"messages": said, "conversation_id": conversation_id, **body})
        return await self.chat.submit(ALICE, wanted, key)

    async def state(self, run_id: str) -> str:
        run = await self.store.read(lambda reader: reader.get(Run, id=run_id))
        assert run is not None
        return run.state

    async def move(self, run_id: str, **values: Any) -> None:
        async def body(tx: Transaction) -> None:
            assert await tx.change(Run, {"id": run_id}, **values) is not None

        await self.store.transaction(body)

    async def messages(self, run_id: str) -> list[Message]:
        return await self.store.read(lambda reader: reader.find(Message, {"run_id": run_id}, "turn"))

    async def message_id(self, run_id: str) -> UUID:
        return UUID((await self.messages(run_id))[0].id)
