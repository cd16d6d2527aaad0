"""Script the crash suite's conversation: one read, two changes that need approval, and a final text.

The model's replies depend only on the user's message, so that many conversations can share one scripted model. `thing`
is the prefix of the names of the things that a conversation changes.
"""

from tests.support.model_script import SUMMARY_PROMPT_PATTERN, Call, Reply, Rule, Script, Step, When, title_rule

__all__ = ["ANSWER", "COSTLY_REQUEST", "SCRIPT", "SLOW_REQUEST", "SLOW_TEXT", "SUMMARY", "TITLE", "change_request"]

ANSWER = "Both things are as they were asked for, and nothing else was touched by any of this."
TITLE = "Speaking slowly"
SUMMARY = "The person asked one long question, and it was answered."
READING = "First I look at what is there."
CHANGING = "Now I change both."
SLOW_REQUEST = "speak slowly"
COSTLY_REQUEST = "read for 900 tokens"
SLOW_TEXT = " ".join(["slowly"] * 60)
_SET_BOTH = r"set both of (?P<thing>[\w-]+)"
_SET_ONE = r"set only (?P<thing>[\w-]+)"


def change_request(thing: str, *, both: bool = True) -> str:
    """Return the user's message. With `both` it sets `<thing>-a` and `<thing>-b`, otherwise `<thing>` itself."""
    return f"Please set {'both of' if both else 'only'} {thing}."


def _change(name: str, value: str) -> Call:
    return Call(name="change_thing", arguments={"name": name, "value": value})


SCRIPT = Script(
    rules=[
        title_rule(Step(text=TITLE)),
        Rule(when=When(system=SUMMARY_PROMPT_PATTERN), reply=Reply(steps=[Step(text=SUMMARY, pieces=1)])),
        Rule(
            when=When(user=_SET_BOTH, results=0),
            reply=Reply(
                steps=[
                    Step(text=READING, pieces=3),
                    Step(calls=[Call(name="read_thing", arguments={"name": "${thing}-a"})]),
                ]
            ),
        ),
        Rule(
            when=When(user=_SET_BOTH, results=1),
            reply=Reply(
                steps=[
                    Step(text=CHANGING, pieces=2),
                    Step(calls=[_change("${thing}-a", "1"), _change("${thing}-b", "2")]),
                ]
            ),
        ),
        Rule(
            when=When(user=_SET_ONE, results=0),
            reply=Reply(steps=[Step(calls=[_change("${thing}", "1")])]),
        ),
        Rule(
            when=When(user=COSTLY_REQUEST, results=0),
            reply=Reply(
                steps=[Step(calls=[Call(name="read_thing", arguments={"name": "a thing"})])],
                usage={"prompt_tokens": 850, "completion_tokens": 50, "total_tokens": 900},
            ),
        ),
        Rule(
            when=When(user=SLOW_REQUEST),
            reply=Reply(steps=[Step(text=SLOW_TEXT, delay=0.05)]),
        ),
        Rule(reply=Reply(steps=[Step(text=ANSWER, delay=0.04)])),
    ]
)
