"""What the scripted model of the benchmarks says on which words."""

from tests.support.model_script import Call, Reply, Rule, Script, Step, When

__all__ = ["FLOOD", "PACED", "SCRIPT", "TOKENS"]

TOKENS = 3_000
"""Tokens of a flood: sent as fast as the connection takes them."""

FLOOD = " ".join(f"w{number}" for number in range(TOKENS))
PACED = " ".join(f"w{number}" for number in range(400))


def _says(user: str, text: str, delay: float = 0.0) -> Rule:
    return Rule(when=When(user=user), reply=Reply(steps=[Step(text=text, delay=delay)]))


def _calls(user: str, *calls: Call) -> Rule:
    return Rule(when=When(user=user, results=0), reply=Reply(steps=[Step(calls=list(calls))]))


SCRIPT = Script(
    rules=[
        _says("flood", FLOOD),
        _says("paced", PACED, 0.005),
        _says("stay", " ".join(["staying"] * 120), 0.5),
        _calls("read the thing", Call(name="read_thing", arguments={"name": "a"})),
        _calls("read five", *(Call(name="slow_read", arguments={"ms": 500}) for _ in range(5))),
        _calls(r"set (?P<name>[\w-]+)", Call(name="change_thing", arguments={"name": "${name}", "value": "1"})),
        Rule(reply=Reply(steps=[Step(text="Hello", pieces=1)])),
    ]
)
