"""Engines as processes of their own, a scripted model, a counting tool server, and a shell with an empty home."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.counting import Counting
from tests.support.engines import Engine, Forge, Nursery
from tests.support.model_script import Call, Reply, Rule, Script, Step, When
from tests.support.scripted_model import ScriptedModel, in_thread
from tests.support.terminal import Shell
from tests.support.words import WORDS

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m [bold]not bold[/bold] \u202edetrevni"
MARKDOWN = "# Pods\n\nThere are *two* of them:\n\n- `web`\n- `api`\n\n```yaml\nreplicas: 2\n```\n\nThat is all."

SCRIPT = Script(
    rules=[
        Rule(when=When(user="speak evil"), reply=Reply(steps=[Step(text=EVIL)])),
        Rule(when=When(user="in markdown"), reply=Reply(steps=[Step(text=MARKDOWN, pieces=40)])),
        Rule(when=When(user="think"), reply=Reply(steps=[Step(thinking="Let me see.\nYes."), Step(text="Thought.")])),
        Rule(
            when=When(user=r"wipe (?P<a>\S+)", results=0),
            reply=Reply(steps=[Step(calls=[Call(name="wipe_thing", arguments={"name": "${a}"})])]),
        ),
        Rule(
            when=When(user="write evil", results=0),
            reply=Reply(steps=[Step(calls=[Call(name="change_thing", arguments={"name": "e", "value": EVIL})])]),
        ),
        *WORDS.rules,
    ]
)


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    with in_thread(SCRIPT) as scripted:
        yield scripted


@pytest.fixture(scope="session")
def forge(
    nursery: Nursery, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> Forge:
    return Forge(nursery, model.url, tmp_path_factory.mktemp("engines"), migrated_sqlite, None, "")


@pytest.fixture(scope="session")
def shared_engine(forge: Forge, counting: Counting) -> Iterator[Engine]:
    """In local mode, for all tests that leave it running."""
    engine = forge.engine("sqlite", counting)
    engine.start()
    yield engine
    forge.drop(engine)


@pytest.fixture
def engine(forge: Forge, counting: Counting) -> Iterator[Engine]:
    """In local mode, the test's own: to be killed."""
    made = forge.engine("sqlite", counting)
    made.start()
    yield made
    forge.drop(made)


@pytest.fixture
def shell(tmp_path: Path, shared_engine: Engine) -> Shell:
    """Of somebody at the engine's machine."""
    return Shell(tmp_path, shared_engine.url.removesuffix("/api/v1"))
