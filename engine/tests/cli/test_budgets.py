"""Test `skyflo budgets`, and how `skyflo chat` shows a budget."""

from pathlib import Path

from tests.support.counting_process import CountingProcess
from tests.support.engines import EngineFactory
from tests.support.terminal import Shell


def test_budgets_are_listed_and_a_run_that_reaches_one_says_so(
    tmp_path: Path, engine_factory: EngineFactory, counting: CountingProcess
) -> None:
    settings = {"BUDGET_PERSON_DAY_TOKENS": "10", "BUDGET_TEAM_DAY_TOKENS": "1000000000", "BUDGET_TEAM_DAY_USD": "2"}
    engine = engine_factory.engine("sqlite", counting, **settings)
    try:
        engine.start()
        shell = Shell(tmp_path, engine.url.removesuffix("/api/v1"))
        assert shell.run("chat", "hello").code == 0
        refused = shell.run("chat", "hello")
        assert (refused.code, "can raise it: BUDGET_PERSON_DAY_TOKENS" in refused.err) == (1, True)
        listed = shell.run("budgets")
        assert "BUDGET_TEAM_DAY_USD" in listed.out
        assert "2.00 US dollars" in listed.out
        [person, *_] = shell.run("budgets", "--json").json["budgets"]
        assert (person["scope"], person["limit"], person["used"] > 10) == ("person_day", 10, True)
    finally:
        engine_factory.drop(engine)


def test_without_budgets_it_says_so(shell: Shell) -> None:
    assert "No budgets are set." in shell.run("budgets").err
