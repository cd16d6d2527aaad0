"""The conversation of the crash suite: one read, then two changes that wait for a person, then words.

What the model says hangs on the words of the user alone, so that many conversations can use one scripted model: `thing`
is the prefix of the names of a conversation's own things.
"""

from tests.support.model_script import Call, Reply, Rule, Script, Step, When, title_rule

__all__ = ["ANSWER", "SCRIPT", "SLOWLY", "SLOWLY_SAID", "TITLE", "asking"]

ANSWER = "Both things are as they were asked for, and nothing else was touched by any of this."
TITLE = "Speaking slowly"
READING = "First I look at what is there."
CHANGING = "Now I change both."
SLOWLY = "speak slowly"
SLOWLY_SAID = " ".join(["slowly"] * 60)
_ASKED = r"set both of (?P<thing>[\w-]+)"
_ALONE = r"set only (?P<thing>[\w-]+)"


def asking(thing: str, *, both: bool = True) -> str:
    """The user's message. Both: the things `<thing>-a` and `<thing>-b` are set; else the thing itself."""
    return f"Please set {'both of' if both else 'only'} {thing}."


def _change(name: str, value: str) -> Call:
    return Call(name="change_thing", arguments={"name": name, "value": value})


SCRIPT = Script(
    rules=[
        title_rule(Step(text=TITLE)),
        Rule(
            when=When(user=_ASKED, results=0),
            reply=Reply(
                steps=[
                    Step(text=READING, pieces=3),
                    Step(calls=[Call(name="read_thing", arguments={"name": "${thing}-a"})]),
                ]
            ),
        ),
        Rule(
            when=When(user=_ASKED, results=1),
            reply=Reply(
                steps=[
                    Step(text=CHANGING, pieces=2),
                    Step(calls=[_change("${thing}-a", "1"), _change("${thing}-b", "2")]),
                ]
            ),
        ),
        Rule(
            when=When(user=_ALONE, results=0),
            reply=Reply(steps=[Step(calls=[_change("${thing}", "1")])]),
        ),
        Rule(
            when=When(user=SLOWLY),
            reply=Reply(steps=[Step(text=SLOWLY_SAID, delay=0.05)]),
        ),
        Rule(reply=Reply(steps=[Step(text=ANSWER, delay=0.04)])),
    ]
)
