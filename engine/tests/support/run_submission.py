"""Submit, stop and remove runs on a store without a worker, so that a test controls each state."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from src.api.ports import Store, Transaction
from src.api.schemas.agent import ChatRequest, StreamStart
from src.api.schemas.records import Message, Run
from src.api.services.access import Caller, Role
from src.api.services.conversations.conversations import Conversations
from src.api.services.runs.completion import RunCompletion
from src.api.services.runs.queries import RunService
from src.api.services.runs.submit import RunSubmission
from src.api.services.streaming.journal import Journal
from src.api.utils.ids import Uuid7

__all__ = ["ALICE", "SubmissionHarness"]

ALICE = Caller("alice", Role.MEMBER, "alice@example.org")


@dataclass
class SubmissionHarness:
    """Submission on a store. `woken_runs` are the runs for which a worker was notified."""

    store: Store
    woken_runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ids = Uuid7()
        self.completion = RunCompletion(self.store, Journal(ids), ids)
        self.chat = RunSubmission(self.store, self.completion, ids, self.woken_runs.append)
        self.runs = RunService(self.store, self.completion, self.woken_runs.append)
        self.conversations = Conversations(self.store, ids, self.completion)

    async def submit(
        self, text: str, conversation_id: str | None = None, key: str | None = None, **body: Any
    ) -> StreamStart:
        said = [{"role": "user", "content": text}]
        wanted = ChatRequest.model_validate({"messages": said, "conversation_id": conversation_id, **body})
        return await self.chat.submit(ALICE, wanted, key)

    async def state(self, run_id: str) -> str:
        run = await self.store.read(lambda reader: reader.get(Run, id=run_id))
        assert run is not None
        return run.state

    async def change_run(self, run_id: str, **values: Any) -> None:
        async def body(tx: Transaction) -> None:
            assert await tx.change(Run, {"id": run_id}, **values) is not None

        await self.store.transaction(body)

    async def messages(self, run_id: str) -> list[Message]:
        return await self.store.read(lambda reader: reader.find(Message, {"run_id": run_id}, "turn"))

    async def message_id(self, run_id: str) -> UUID:
        return UUID((await self.messages(run_id))[0].id)
