"""The script of the benchmarks' model: its answer for each message."""

from tests.support.model_script import Call, Reply, Rule, Script, Step, When

__all__ = ["FLOOD", "LONG_TOKENS", "PACED", "SCRIPT", "SPOKEN_TOKENS", "TOKENS"]

TOKENS = 3_000
"""Tokens of the answer to `flood`, which are sent without a delay."""

FLOOD = " ".join(f"w{number}" for number in range(TOKENS))
PACED = " ".join(f"w{number}" for number in range(400))
SPOKEN_TOKENS = 100
LONG_TOKENS = 500
SPOKEN = " ".join(f"w{number}" for number in range(SPOKEN_TOKENS))
"""The answer to `speak`, at 50 tokens a second. `talk` has `LONG_TOKENS` at the same pace."""


def _says(user: str, text: str, delay: float = 0.0) -> Rule:
    return Rule(when=When(user=user), reply=Reply(steps=[Step(text=text, delay=delay)]))


def _calls(user: str, *calls: Call) -> Rule:
    return Rule(when=When(user=user, results=0), reply=Reply(steps=[Step(calls=list(calls))]))


SCRIPT = Script(
    rules=[
        _says("flood", FLOOD),
        _says("paced", PACED, 0.005),
        _says("speak", SPOKEN, 0.02),
        _says("talk", " ".join(f"w{number}" for number in range(LONG_TOKENS)), 0.02),
        _says("stay", " ".join(["staying"] * 120), 0.5),
        _calls("read the thing", Call(name="read_thing", arguments={"name": "a"})),
        _calls("read five", *(Call(name="slow_read", arguments={"ms": 500}) for _ in range(5))),
        _calls(r"set (?P<name>[\w-]+)", Call(name="change_thing", arguments={"name": "${name}", "value": "1"})),
        Rule(reply=Reply(steps=[Step(text="Hello", pieces=1)])),
    ]
)
