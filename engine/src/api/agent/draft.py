"""What the model is saying, as it comes: deltas for those who watch, the whole for the rows (`protocol.md` 18, 19)."""

from typing import Literal

from src.api.agent.context import RunContext, TextEnd
from src.api.ports import Delta, Notice
from src.api.schemas.events import EVENT, GenerationComplete, ThinkingComplete, Token, Ttft
from src.api.utils.text import clean

__all__ = ["MAX_TEXT", "Draft"]

MAX_TEXT = 400_000
Kind = Literal["token", "thinking"]


class Draft:
    """One generation's text and thinking. `base` is the journal's number under which the current piece is streamed."""

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
        self._began = context.clock.now()
        self._first = first

    @property
    def full(self) -> bool:
        return len(self.text) + len(self.thinking) + self._length > MAX_TEXT

    async def add(self, kind: Kind, raw: str) -> None:
        """Streams a piece. Raises `RunStopped` or `RunFenced` instead where the run must not go on."""
        if not raw:
            return
        self._context.lease.check()
        if kind != self._kind:
            await self._turn_to(kind)
        text = clean(raw)
        start = self._length
        self._length += len(text)
        self._pieces.append(text)
        now = self._context.clock.now()
        if self._first:
            await self._tell_first(now)
        run_id = self._context.lease.run_id
        delta = Delta(run_id, self.generation_id, kind, self._base, start, self._length, text, now)
        self._context.failpoints.pass_("bus.publish:before")
        await self._context.bus.publish(delta)
        self._context.failpoints.pass_("bus.publish:after")

    def close(self, finish_reason: str, calls: int, tokens: int) -> list[TextEnd]:
        """Ends the generation: the events that close its open piece and itself, not yet recorded."""
        ends = [] if self._kind != "thinking" else [self._thought()]
        start = len(self.text)
        if self._kind == "token":
            self.text += self._take()
        complete = GenerationComplete(
            type="generation.complete",
            generation_id=self.generation_id,
            content=self.text,
            tool_calls=calls,
            tokens_generated=tokens,
            finish_reason=finish_reason,
        )
        return [*ends, TextEnd(complete, start)]

    async def _turn_to(self, kind: Kind) -> None:
        """A border: the piece that ends here is recorded, so that numbers after it count from it."""
        if self._kind == "thinking":
            self._base = await self._context.desk.note([self._thought()])
        elif self._kind == "token":
            piece = self._take()
            self.text += piece
            border = Token(type="token", generation_id=self.generation_id, text=piece)
            self._base = await self._context.desk.note([TextEnd(border)])
        self._kind = kind
        self._began = self._context.clock.now()

    def _thought(self) -> TextEnd:
        piece = self._take()
        took = max(0, self._context.clock.now() - self._began)
        self.thinking += piece
        self.thinking_ms += took
        self._kind = None
        return TextEnd(
            ThinkingComplete(
                type="thinking.complete", generation_id=self.generation_id, content=piece, duration_ms=took
            )
        )

    def _take(self) -> str:
        piece = "".join(self._pieces)
        self._pieces.clear()
        self._length = 0
        return piece

    async def _tell_first(self, now: int) -> None:
        self._first = False
        self.ttft_ms = max(0, now - self._context.since)
        event = Ttft(type="ttft", duration=self.ttft_ms)
        await self._context.bus.publish(Notice(self._context.lease.run_id, EVENT.dump_json(event).decode(), now))
