"""How the suite behaves where something is missing, and what it refuses to see. Each runs a small suite of its own."""

from pathlib import Path

import pytest

from tests.support.plugin import LOUD


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of one test that needs a cluster, where TEST_KUBECONFIG names a file that leads to none."""
    pytester.makeconftest('pytest_plugins = ["tests.support.plugin"]')
    pytester.makepyfile("def test_needs_a_cluster(cluster): ...")
    monkeypatch.setenv("TEST_KUBECONFIG", str(pytester.makefile(".yaml", "kind: Config")))
    monkeypatch.delenv("CI", raising=False)
    return pytester


def test_what_cannot_be_had_is_skipped_aloud(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess()
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"{LOUD}: Kubernetes: *names no current-context (1 tests skipped)"])


def test_in_ci_it_is_a_failure(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{LOUD}: Kubernetes: *"])


def test_the_users_own_environment_is_out_of_sight(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / ".kube" / "config"
    config.parent.mkdir()
    config.write_text("production")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "OPENAI_API_KEY", "POSTGRES_DATABASE_URL", "REDIS_URL", "JWT_SECRET", "CLUSTERS"):
        monkeypatch.setenv(name, str(config))
    pytester.makeconftest('pytest_plugins = ["tests.support.plugin"]')
    pytester.makepyfile(f"""
        import os
        from pathlib import Path

        def test_sees_nothing():
            assert {str(config)!r} not in os.environ.values()
            assert not (Path.home() / ".kube" / "config").exists()
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
