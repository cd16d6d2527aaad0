"""Check that GitHub's configuration parses, calls our own scripts, and has minimal permissions, without a network."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.services import PROJECT

GITHUB = PROJECT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PINNED = re.compile(r"actions/[a-z-]+@[0-9a-f]{40}")


def load(path: Path) -> dict[str, Any]:
    """Load a YAML file. YAML 1.1 reads the key `on` as true; it is returned as `on`."""
    document = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in document.items()}


def steps_of(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job.get("steps", [])]


def commands_of(path: Path) -> str:
    return "\n".join(step["run"] for step in steps_of(path) if "run" in step)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_grants_no_rights_by_default(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    writing = [name for name, job in workflow["jobs"].items() if "write" in job["permissions"].values()]
    assert writing == (["publish"] if path.name == "release.yml" else [])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_job_with_steps_has_a_timeout(path: Path) -> None:
    assert [name for name, job in load(path)["jobs"].items() if "steps" in job and "timeout-minutes" not in job] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit_with_their_version(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if re.search(r"^\s*(- )?uses: (?!\./)", line)]
    assert [line for line in lines if not re.search(rf"uses: {PINNED.pattern} # v\d+\.\d+\.\d+$", line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_checkout_keeps_no_credentials(path: Path) -> None:
    checkouts = [step for step in steps_of(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert [step for step in checkouts if step["with"]["persist-credentials"] is not False] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_commands_contain_no_expression(path: Path) -> None:
    """`${{ }}` in a command is replaced before the shell reads it, so a branch name could run code."""
    assert "${{" not in commands_of(path)


def test_ci_runs_the_script_that_developers_run() -> None:
    path = GITHUB / "workflows" / "ci.yml"
    assert {"push", "pull_request", "workflow_call"} <= load(path)["on"].keys()
    assert commands_of(path) == ".ci/run"


def test_release_checks_the_tag_and_runs_ci_before_it_publishes() -> None:
    path = GITHUB / "workflows" / "release.yml"
    workflow = load(path)
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    jobs = workflow["jobs"]
    assert [jobs[name]["needs"] for name in ("test", "build", "publish")] == ["check", "test", "build"]
    assert jobs["test"]["uses"] == "./.github/workflows/ci.yml"
    assert commands_of(path).startswith('python3 scripts/release.py check --tag "$GITHUB_REF_NAME"')


def test_dependabot_covers_every_package() -> None:
    updates = {each["package-ecosystem"]: each for each in load(GITHUB / "dependabot.yml")["updates"]}
    packages = {f"/{path.parent.name}" for path in PROJECT.glob("[a-z]*/pyproject.toml")}
    assert set(updates["pip"]["directories"]) == packages
    assert updates["github-actions"]["directory"] == "/"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_form_has_the_parts_that_github_requires(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= form.keys()
    questions = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({item["id"] for item in questions}) == len(questions) > 0
    assert all(item["attributes"]["label"] for item in questions)


def test_devcontainer_makes_the_locked_environment() -> None:
    text = (PROJECT / ".devcontainer" / "devcontainer.json").read_text()
    document = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert document["postCreateCommand"] == "make env"
