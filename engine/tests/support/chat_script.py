"""Define what the scripted model of the API tests answers to which message."""

from tests.support.model_script import Call, Reply, Rule, Script, Step, When

__all__ = ["CHAT_SCRIPT"]

_SET = r"set (?P<a>[\w-]+)=(?P<x>\w+)"
_SET_TWO = r"set (?P<a>[\w-]+)=(?P<x>\w+) and (?P<b>[\w-]+)=(?P<y>\w+)"


def _set(name: str, value: str, call_id: str = "call_1") -> Call:
    return Call(name="change_thing", arguments={"name": name, "value": value}, id=call_id)


def _first(user: str, *steps: Step, **reply: object) -> Rule:
    return Rule(when=When(user=user, results=0), reply=Reply.model_validate({"steps": list(steps), **reply}))


CHAT_SCRIPT = Script(
    rules=[
        _first(_SET_TWO, Step(calls=[_set("${a}", "${x}"), _set("${b}", "${y}")])),
        _first(_SET, Step(calls=[_set("${a}", "${x}")])),
        _first("read the thing|look, then speak", Step(calls=[Call(name="read_thing", arguments={"name": "a"})])),
        _first("read five", Step(calls=[Call(name="slow_read", arguments={"together": 5}) for _ in range(5)])),
        _first("read slowly", Step(calls=[Call(name="slow_read", arguments={"ms": 20_000})])),
        _first("unknown tool", Step(calls=[Call(name="change_thin", arguments={})])),
        _first("wrong arguments", Step(calls=[Call(name="change_thing", arguments={"name": "a"})])),
        _first("broken json", Step(calls=[Call(name="change_thing", arguments='{"name": "a", "val')])),
        _first("speak slowly", Step(text=" ".join(["slowly"] * 400), delay=0.02)),
        _first("speak at length", Step(text=" ".join(f"word{n}" for n in range(150)), pieces=150, delay=0.01)),
        Rule(when=When(user="say nothing|last answer was empty"), reply=Reply(steps=[])),
        Rule(when=When(user="cut it", results=0), reply=Reply(steps=[Step(text="half of ")], finish=None, done=False)),
        Rule(
            when=When(user="busy once", attempts=1),
            reply=Reply(status=429, headers={"Retry-After": "0"}, error={"error": {"message": "slow down"}}),
        ),
        Rule(when=When(user="refuse me"), reply=Reply(status=401, error={"error": {"message": "no such key"}})),
        *(
            Rule(
                when=When(user="for ever", results=n),
                reply=Reply(steps=[Step(calls=[Call(name="read_thing", arguments={"name": f"a{n}"})])]),
            )
            for n in range(30)
        ),
        Rule(
            when=When(user="the same again"),
            reply=Reply(steps=[Step(calls=[Call(name="read_thing", arguments={"name": "a"})])]),
        ),
        Rule(
            when=When(user="look, then speak", results=1),
            reply=Reply(steps=[Step(text=" ".join(["slowly"] * 50), delay=0.02)]),
        ),
        Rule(when=When(results=1), reply=Reply(steps=[Step(text="One result: ${result}")])),
        Rule(when=When(results=2), reply=Reply(steps=[Step(text="Two results, the last: ${result}")])),
        Rule(reply=Reply(steps=[Step(text="Hello.")])),
    ]
)
