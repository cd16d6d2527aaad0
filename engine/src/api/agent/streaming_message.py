"""Stream a model's output as deltas and collect it for storage (`protocol.md` 18, 19)."""

from typing import Literal

from src.api.agent.context import RunContext, TextCheckpoint, UnfinishedGeneration
from src.api.ports import Delta, EphemeralEvent
from src.api.schemas.events import EVENT, GenerationComplete, ThinkingComplete, Token, Ttft
from src.api.utils.text import clean

__all__ = ["MAX_TEXT", "StreamingMessage"]

MAX_TEXT = 400_000
Kind = Literal["token", "thinking"]


class StreamingMessage:
    """The text and thinking of one generation. `base` is the journal number that the current deltas build on."""

    def __init__(self, context: RunContext, generation_id: str, base: int, *, first: bool) -> None:
        self.generation_id = generation_id
        self.text = ""
        self.thinking = ""
        self.thinking_ms = 0
        self.ttft_ms: int | None = None
        self._context = context
        self._base = base
        self._kind: Kind | None = None
        self._pieces: list[str] = []
        self._length = 0
        self._recorded = 0
        self._adopted_thinking = False
        self._began = context.clock.now()
        self._first = first

    @property
    def has_output(self) -> bool:
        return bool(self.text or self.thinking or self._length)

    @property
    def current_text(self) -> str:
        """The text so far, without thinking."""
        return self.text + ("".join(self._pieces) if self._kind == "token" else "")

    @property
    def is_full(self) -> bool:
        return len(self.text) + len(self.thinking) + self._length > MAX_TEXT

    async def add(self, kind: Kind, raw: str) -> None:
        """Stream a piece of output. Raises `RunStopped` or `RunFenced` if the run must not continue."""
        if not raw:
            return
        self._context.lease.check()
        if kind != self._kind:
            await self._switch_to(kind)
        text = clean(raw)
        start = self._length
        self._length += len(text)
        self._pieces.append(text)
        now = self._context.clock.now()
        if self._first:
            await self._publish_ttft(now)
        run_id = self._context.lease.run_id
        delta = Delta(run_id, self.generation_id, kind, self._base, start, self._length, text, now)
        self._context.failpoints.pass_("bus.publish:before")
        await self._context.bus.publish(delta)
        self._context.failpoints.pass_("bus.publish:after")

    def so_far(self) -> UnfinishedGeneration:
        """Return the output so far, as the generation that another one may replace."""
        thinking = self.thinking + ("".join(self._pieces) if self._kind == "thinking" else "")
        return UnfinishedGeneration(self.generation_id, self.current_text, thinking, self.thinking_ms)

    def adopt(self, earlier: UnfinishedGeneration) -> None:
        """Take over the output of an earlier generation, which this one has replaced without any output of its own."""
        self.text, self.thinking, self.thinking_ms = earlier.text, earlier.thinking, earlier.thinking_ms
        self._adopted_thinking = bool(earlier.thinking)

    def interrupt(self) -> list[TextCheckpoint]:
        """End the piece that is being streamed and return its event: an event may follow, but no more output."""
        if self._kind == "thinking":
            return [self._close_thinking()]
        if self._kind != "token":
            return []
        self._kind = None
        return [self._close_text()]

    def close(self, finish_reason: str, calls: int, tokens: int) -> list[TextCheckpoint]:
        """End the generation and return its closing events, which are not yet recorded."""
        ends = [] if self._kind != "thinking" else [self._close_thinking()]
        if self._adopted_thinking:
            ends = [self._thinking_end(self.thinking, self.thinking_ms)]
        start = self._recorded
        if self._kind == "token":
            self.text += self._take_pieces()
        complete = GenerationComplete(
            type="generation.complete",
            generation_id=self.generation_id,
            content=self.text,
            tool_calls=calls,
            tokens_generated=tokens,
            finish_reason=finish_reason,
        )
        return [*ends, TextCheckpoint(complete, start)]

    async def _switch_to(self, kind: Kind) -> None:
        """Record the finished piece at a text boundary; later deltas count from its number."""
        if self._kind == "thinking":
            self._base = await self._context.session.record_events([self._close_thinking()])
        elif self._kind == "token":
            self._base = await self._context.session.record_events([self._close_text()])
        self._kind = kind
        self._began = self._context.clock.now()

    def _close_thinking(self) -> TextCheckpoint:
        piece = self._take_pieces()
        took = max(0, self._context.clock.now() - self._began)
        self.thinking += piece
        self.thinking_ms += took
        self._kind = None
        return self._thinking_end(piece, took)

    def _thinking_end(self, content: str, took: int) -> TextCheckpoint:
        return TextCheckpoint(
            ThinkingComplete(
                type="thinking.complete", generation_id=self.generation_id, content=content, duration_ms=took
            )
        )

    def _close_text(self) -> TextCheckpoint:
        piece = self._take_pieces()
        self.text += piece
        self._recorded = len(self.text)
        return TextCheckpoint(Token(type="token", generation_id=self.generation_id, text=piece))

    def _take_pieces(self) -> str:
        piece = "".join(self._pieces)
        self._pieces.clear()
        self._length = 0
        return piece

    async def _publish_ttft(self, now: int) -> None:
        self._first = False
        self.ttft_ms = max(0, now - self._context.since)
        event = Ttft(type="ttft", duration=self.ttft_ms)
        await self._context.bus.publish(
            EphemeralEvent(self._context.lease.run_id, EVENT.dump_json(event).decode(), now)
        )
