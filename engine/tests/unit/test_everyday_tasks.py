"""The everyday tasks are many, distinct and documented."""

from pathlib import Path

from tests.support.everyday_tasks import load_tasks, render_table

PAGE = Path(__file__).parents[3] / "docs" / "everyday-tasks.md"
TASKS = [*load_tasks(real_node=False), *load_tasks(real_node=True)]


def test_there_are_at_least_forty_tasks_with_names_of_their_own() -> None:
    assert len({(task.source, task.name) for task in TASKS}) == len(TASKS) >= 40
    assert {task.source for task in TASKS} == {"k8s-ai-bench", "HolmesGPT"}


def test_page_lists_every_task() -> None:
    table = render_table(TASKS)
    assert table in PAGE.read_text(), f"put this table into {PAGE.name}:\n{table}"
