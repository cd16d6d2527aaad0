"""A model adapter that talks to a scripted model, for the contract of every adapter."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from src.api.adapters.model.openai import ModelTimeouts
from src.api.adapters.model.selection import ModelAdapter, choose_model
from src.api.agent.tool_call_assembler import AssembledCall, CallAssembler
from src.api.ports import (
    CallDelta,
    ChatMessage,
    Finished,
    FunctionSpec,
    ModelChunk,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
)
from tests.support.model_script import Reply, Rule, Script, Step
from tests.support.scripted_model import ScriptedModel, serve_scripted_model

__all__ = ["KEY", "ModelPeer", "answer_text", "finished", "open_peer", "thinking_text"]

KEY = "sk-scripted-0123456789abcdef"
GET = FunctionSpec("k8s_get", "Reads objects.", {"type": "object", "properties": {"name": {"type": "string"}}})


@dataclass
class ModelPeer:
    """An adapter and the scripted model that it talks to."""

    model: ModelAdapter
    host: ScriptedModel

    async def ask(self, *messages: ChatMessage, **more: object) -> list[ModelChunk]:
        wanted = messages or (ChatMessage("user", "How is the cluster?"),)
        request = ModelRequest("openai/gpt-4o", wanted, (GET,), **more)  # type: ignore[arg-type]
        return [chunk async for chunk in self.model.stream(request)]

    async def calls(self) -> list[AssembledCall]:
        assembler = CallAssembler(["k8s_get", "k8s_logs"])
        for chunk in await self.ask():
            if isinstance(chunk, CallDelta):
                assembler.add(chunk)
            elif isinstance(chunk, Finished):
                return assembler.finish(chunk)
        raise AssertionError("the stream ended without Finished and without an error")

    def answers(self, *steps: Step, **reply: object) -> None:
        self.host.script = Script(rules=[Rule(reply=Reply(steps=list(steps), **reply))])  # type: ignore[arg-type]


@asynccontextmanager
async def open_peer(adapter: str, timeouts: ModelTimeouts) -> AsyncIterator[ModelPeer]:
    async with serve_scripted_model(Script()) as host:
        model = choose_model(
            "openai/gpt-4o",
            host=host.url,
            adapter=adapter,  # type: ignore[arg-type]
            keys={"OPENAI_API_KEY": KEY},
            timeouts=timeouts,
        )
        await model.warm()
        try:
            yield ModelPeer(model, host)
        finally:
            await model.aclose()


def answer_text(chunks: Sequence[ModelChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def thinking_text(chunks: Sequence[ModelChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, ThinkingDelta))


def finished(chunks: Sequence[ModelChunk]) -> Finished:
    assert isinstance(chunks[-1], Finished)
    assert not any(isinstance(chunk, Finished) for chunk in chunks[:-1])
    return chunks[-1]
