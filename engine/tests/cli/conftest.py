"""Fixtures: engine processes, a scripted model, a counting tool server, and a shell with an empty home."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chat_script import CHAT_SCRIPT
from tests.support.counting_process import CountingProcess
from tests.support.engines import EngineFactory, EngineProcess
from tests.support.model_script import Call, Reply, Rule, Script, Step, When
from tests.support.scripted_model import ScriptedModel, scripted_model_in_thread
from tests.support.terminal import Shell

HOSTILE_TEXT = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m [bold]not bold[/bold] \u202edetrevni"
MARKDOWN = "# Pods\n\nThere are *two* of them:\n\n- `web`\n- `api`\n\n```yaml\nreplicas: 2\n```\n\nThat is all."

SCRIPT = Script(
    rules=[
        Rule(when=When(user="send control characters"), reply=Reply(steps=[Step(text=HOSTILE_TEXT)])),
        Rule(when=When(user="in markdown"), reply=Reply(steps=[Step(text=MARKDOWN, pieces=40)])),
        Rule(when=When(user="think"), reply=Reply(steps=[Step(thinking="Let me see.\nYes."), Step(text="Thought.")])),
        Rule(
            when=When(user=r"wipe (?P<a>\S+)", results=0),
            reply=Reply(steps=[Step(calls=[Call(name="wipe_thing", arguments={"name": "${a}"})])]),
        ),
        Rule(
            when=When(user="write control characters", results=0),
            reply=Reply(
                steps=[Step(calls=[Call(name="change_thing", arguments={"name": "e", "value": HOSTILE_TEXT})])]
            ),
        ),
        *CHAT_SCRIPT.rules,
    ]
)


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    with scripted_model_in_thread(SCRIPT) as scripted:
        yield scripted


@pytest.fixture(scope="session")
def engine_factory(
    model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> EngineFactory:
    return EngineFactory(model.url, tmp_path_factory.mktemp("engines"), migrated_sqlite, None, "")


@pytest.fixture(scope="session")
def shared_engine(engine_factory: EngineFactory, counting: CountingProcess) -> Iterator[EngineProcess]:
    """An engine in local mode, shared by all tests that leave it running."""
    engine = engine_factory.engine("sqlite", counting)
    engine.start()
    yield engine
    engine_factory.drop(engine)


@pytest.fixture
def engine(engine_factory: EngineFactory, counting: CountingProcess) -> Iterator[EngineProcess]:
    """An engine in local mode for one test, which may kill it."""
    made = engine_factory.engine("sqlite", counting)
    made.start()
    yield made
    engine_factory.drop(made)


@pytest.fixture
def shell(tmp_path: Path, shared_engine: EngineProcess) -> Shell:
    """A shell on the engine's machine."""
    return Shell(tmp_path, shared_engine.url.removesuffix("/api/v1"))
