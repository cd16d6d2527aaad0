"""Every command, JSON and YAML in the documentation is checked against what it names.

`test_operations_pages.py` runs the console blocks. What only a person or another system can run is listed here.
"""

import json
import re
import subprocess
import uuid
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import typer
import yaml

from src.api import migrate
from src.api.schemas.policy import PolicyDocument
from src.cli.main import app
from tests.support.app import ExplicitSettings
from tests.support.services import PROJECT
from tests.support.snippets import Snippet, commands_of, settings_of, snippets
from tests.support.waiting import PATIENCE

ALL = snippets()
SHELL = [each for each in ALL if each.language in ("bash", "console")]
LANGUAGES = {"bash", "console", "ini", "json", "yaml", "text", "mermaid", "python", "ts", "tsx"}
"""`test_howto.py` parses the Python blocks. The TypeScript ones are fragments of files that its compiler checks."""

NOT_RUN = {
    ".ci/run": "the whole CI",
    "actionlint": "a tool of the contributor's machine",
    "apt-get": "changes the machine",
    "cd": "the shell's own",
    "cp": "of files only; the console blocks are run",
    "echo": "the shell's own",
    "git": "a release, by a person",
    "jq": "a tool of the user's machine; its filters read fields of events",
    "kubectl": "a cluster of the user's",
    "npm": "Node; the script's name is checked",
    "openssl": "of OpenSSL; the console blocks are run",
    "pg_basebackup": "a PostgreSQL with an archive; run by hand for the page",
    "pg_dump": "run as a console block",
    "pg_restore": "run as a console block",
    "grep": "run as a console block",
    "wc": "run as a console block",
    "rm": "run as a console block",
    "pipx": "downloads a tool",
    "python": "makes the user's own environment",
    "python3": "run as a console block, or a script that is checked",
    "source": "the shell's own",
    "test": "the shell's own",
    "uv": "installs packages; the module that it runs is checked",
}
"""Commands of others, by name, with the reason why these tests do not run them. Do not let this list grow."""
MOST_NOT_RUN = 23
MOST_TEXTS = 3


def names(each: object) -> str:
    return str(each)


@pytest.mark.parametrize("snippet", SHELL, ids=names)
def test_commands_of_a_snippet_exist(snippet: Snippet) -> None:
    for command in commands_of(snippet):
        check = CHECKS.get(Path(command[0]).name)
        assert check is not None or command[0] in NOT_RUN, f"{command}: check it, or say why it is not run"
        if check is not None:
            check(command[1:])


@pytest.mark.processes
def test_shell_snippets_parse() -> None:
    for snippet in SHELL:
        text = snippet.text if snippet.language == "bash" else "\n".join(map(" ".join, commands_of(snippet)))
        script = re.sub(r"<(\w+)>", r"\1", text) if snippet.language == "bash" else ""
        done = subprocess.run(
            ["bash", "-n"], input=script, text=True, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, f"{snippet}: {done.stderr}"


def test_every_snippet_has_a_language_that_is_checked() -> None:
    assert [str(each) for each in ALL if each.language not in LANGUAGES] == []
    assert len([each for each in ALL if each.language == "text"]) <= MOST_TEXTS


def test_list_of_what_is_not_run_is_used_and_does_not_grow() -> None:
    used = {command[0] for snippet in SHELL for command in commands_of(snippet)}
    assert set(NOT_RUN) - used == set()
    assert len(NOT_RUN) <= MOST_NOT_RUN


@pytest.mark.parametrize("snippet", [each for each in ALL if each.language == "json"], ids=names)
def test_json_snippets_parse(snippet: Snippet) -> None:
    servers = json.loads(snippet.text)["mcpServers"]
    assert [one["command"] for one in servers.values()] == ["skyflo-mcp"]


@pytest.mark.parametrize("snippet", [each for each in ALL if each.language == "yaml"], ids=names)
def test_yaml_snippets_are_valid(snippet: Snippet) -> None:
    for document in yaml.safe_load_all(snippet.text):
        if "kind" in document:
            assert {"apiVersion", "kind", "metadata"} <= set(document)
        else:
            assert PolicyDocument.model_validate(document)


@pytest.mark.parametrize("snippet", [each for each in ALL if each.language == "ini"], ids=names)
def test_settings_of_a_snippet_exist_and_are_valid(snippet: Snippet) -> None:
    found = settings_of(snippet)
    example = (PROJECT / "engine" / ".env.example").read_text()
    unknown = [name for name in found if f"\n{name}=" not in example]
    assert unknown in ([], ["IDEMPOTENCY_KEY_DAYS"]), "the guide for a new setting adds that one"
    values = {name.lower(): "x" * 40 if value == "..." else value for name, value in found.items()}
    ExplicitSettings(local_mode=True, **{name: value for name, value in values.items() if name.upper() not in unknown})


def _check_make(arguments: Sequence[str]) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    for word in arguments:
        name, is_variable, value = word.partition("=")
        if not is_variable:
            assert re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE), f"there is no target {word}"
        elif name == "ARGS":
            paths = [each for each in value.split() if "/" in each and not each.startswith("-")]
            assert [each for each in paths if not (PROJECT / each).exists() and "test_ollama" not in each] == []
        else:
            assert re.search(rf"\b{name}\b", makefile), f"the Makefile has no variable {name}"


def _check_skyflo(arguments: Sequence[str]) -> None:
    """Parse the command line as the command does, without running it."""
    command: Any = typer.main.get_command(app)
    words = list(arguments)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    context = command.make_context("skyflo", words)
    rest = [*context.args, *getattr(context, "_protected_args", ())] if hasattr(command, "commands") else []
    assert rest == [], f"there is no such command: {' '.join(arguments)}"


def _check_aerich(arguments: Sequence[str]) -> None:
    migrate._parser().parse_args(list(arguments))


def _check_helm(arguments: Sequence[str]) -> None:
    assert (PROJECT / arguments[2]).is_dir()
    values = yaml.safe_load((PROJECT / "deployment" / "chart" / "values.yaml").read_text())
    given = ",".join(value for option, value in pairwise(arguments) if option == "--set")
    for path in (each.partition("=")[0] for each in given.split(",")):
        node: Any = values
        for key in path.split("."):
            assert key in node, f"the chart has no value {path}"
            node = node[key]


def _check_docker(arguments: Sequence[str]) -> None:
    if arguments[0] in ("tag", "push"):
        assert arguments[1].rpartition("/")[2].startswith(("skyflo-engine:", "skyflo-tools:")), arguments
        return
    options = dict(pairwise(arguments))
    compose = yaml.safe_load((PROJECT / options["-f"]).read_text())
    profiles = {profile for service in compose["services"].values() for profile in service.get("profiles", ())}
    assert options.get("--profile", "all") in profiles


def _check_curl(arguments: Sequence[str]) -> None:
    """Check the route in the OpenAPI document, and the body against its schema."""
    url = next(word for word in arguments if word.startswith("http"))
    path = urlsplit(url).path.replace("<call_id>", "{call_id}")
    operation = _openapi()["paths"][path]["post" if "-d" in arguments else "get"]
    if "-d" not in arguments:
        return
    body = arguments[arguments.index("-d") + 1].replace("<conversation_id>", str(uuid.UUID(int=1)))
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": _openapi()["components"]}
    assert jsonschema_rs.validator_for(whole).is_valid(json.loads(body)), body


@cache
def _openapi() -> dict[str, Any]:
    return dict(json.loads((PROJECT / "docs" / "openapi.json").read_text()))


def _check_npm(arguments: Sequence[str]) -> None:
    scripts = json.loads((PROJECT / "ui" / "package.json").read_text())["scripts"]
    assert arguments[arguments.index("run") + 1] in scripts


def _check_server(arguments: Sequence[str]) -> None:
    assert set(arguments[::2]) <= {"--http", "--host", "--port"}


def _check_python(arguments: Sequence[str]) -> None:
    if arguments[0].endswith(".py"):
        assert (PROJECT / arguments[0]).exists()


def _check_sed(arguments: Sequence[str]) -> None:
    """Check that what it edits are settings. The console blocks are run."""
    example = (PROJECT / "engine" / ".env.example").read_text()
    found = [name for word in arguments for name in re.findall(r"[A-Z][A-Z_]{5,}", word)]
    assert found
    assert [name for name in found if f"\n{name}=" not in example] == []


def _check_uv(arguments: Sequence[str]) -> None:
    if "uvicorn" in arguments:
        module = arguments[arguments.index("uvicorn") + 1].partition(":")[0]
        assert (PROJECT / "engine" / f"{module.replace('.', '/')}.py").exists()


CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "aerich": _check_aerich,
    "curl": _check_curl,
    "docker": _check_docker,
    "helm": _check_helm,
    "make": _check_make,
    "npm": _check_npm,
    "python3": _check_python,
    "sed": _check_sed,
    "skyflo": _check_skyflo,
    "skyflo-mcp": _check_server,
    "uv": _check_uv,
}
"""How the arguments of a command are checked."""
