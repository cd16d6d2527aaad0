"""Measure the litellm adapter against LiteLLM alone."""

from collections.abc import Sequence

from bench.harness import CHAT, Harness
from bench.results import Measurement, median
from bench.streaming import cpu_per_thousand_tokens, measure_first_tokens
from bench.text import TOKENS

__all__ = ["litellm"]

FLOODS = 2
ROUNDS = 12


def litellm(harness: Harness) -> Sequence[Measurement]:
    engine = harness.new_engine(LLM_ADAPTER="litellm")
    floor = harness.new_streaming_floor("--litellm")
    harness.warm_up(engine)
    first, floor_first = measure_first_tokens(engine, floor, ROUNDS)
    engine_times: list[float] = []
    floor_times: list[float] = []
    for _ in range(FLOODS):
        engine_times.append(cpu_per_thousand_tokens(engine, CHAT, "flood", TOKENS)[0])
        floor_times.append(cpu_per_thousand_tokens(floor, "/chat", "flood", TOKENS)[0])
    memory, floor_memory = engine.resident_memory(), floor.resident_memory()
    engine.end()
    floor.end()
    return (
        Measurement(
            "litellm adapter: CPU for 1,000 tokens", median(engine_times), "s", floor=median(floor_times), runs=FLOODS
        ),
        Measurement(
            "litellm adapter: time to the first token", median(first), "ms", floor=median(floor_first), runs=len(first)
        ),
        Measurement("litellm adapter: resident memory", memory, "MB", floor=floor_memory),
    )
