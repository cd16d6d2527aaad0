"""The litellm adapter beside LiteLLM alone."""

from collections.abc import Sequence

from bench.figures import Figure, middle
from bench.stage import CHAT, Stage
from bench.streaming import cpu_per_thousand, first_tokens
from bench.words import TOKENS

__all__ = ["litellm"]

FLOODS = 2
ROUNDS = 12


def litellm(stage: Stage) -> Sequence[Figure]:
    engine = stage.new_engine(LLM_ADAPTER="litellm")
    floor = stage.new_floor("--litellm")
    stage.warm(engine)
    first, bare_first = first_tokens(engine, floor, ROUNDS)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(FLOODS):
        ours.append(cpu_per_thousand(engine, CHAT, "flood", TOKENS)[0])
        theirs.append(cpu_per_thousand(floor, "/chat", "flood", TOKENS)[0])
    memory, bare_memory = engine.resident(), floor.resident()
    engine.end()
    floor.end()
    return (
        Figure("litellm adapter: CPU for 1,000 tokens", middle(ours), "s", floor=middle(theirs), runs=FLOODS),
        Figure(
            "litellm adapter: time to the first token", middle(first), "ms", floor=middle(bare_first), runs=len(first)
        ),
        Figure("litellm adapter: resident memory", memory, "MB", floor=bare_memory),
    )
