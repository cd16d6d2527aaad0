"""Test how the suite handles missing services and isolates its environment. Each test runs its own small suite."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.plugin import NOT_TESTED

pytestmark = pytest.mark.processes


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite with one test that needs a cluster, where TEST_KUBECONFIG names an unusable file."""
    pytester.makeconftest('pytest_plugins = ["tests.support.plugin"]')
    pytester.makepyfile("def test_needs_a_cluster(cluster): ...")
    monkeypatch.setenv("TEST_KUBECONFIG", str(pytester.makefile(".yaml", "kind: Config")))
    for name in ("CI", "TEST_WITHOUT"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def test_unavailable_service_is_skipped_with_a_notice(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess()
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"{NOT_TESTED}: Kubernetes: *names no current-context (1 tests skipped)"])


def test_unavailable_service_fails_in_ci(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{NOT_TESTED}: Kubernetes: *"])


def test_ci_skips_tests_of_services_named_in_test_without(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("TEST_WITHOUT", "redis, kubernetes")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"{NOT_TESTED}: Kubernetes: named in TEST_WITHOUT (1 tests skipped)"])


def test_cluster_is_stopped_after_the_last_file_that_uses_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        from contextlib import contextmanager
        from tests.support import services

        pytest_plugins = ["tests.support.plugin"]

        @contextmanager
        def cluster():
            print("started")
            yield
            print("stopped")

        services.cluster = cluster
    """)
    uses_cluster = "def test_uses_cluster(cluster): print('used')"
    pytester.makepyfile(test_a=uses_cluster, test_b=uses_cluster, test_c="def test_goes_without(): print('not used')")
    result = pytester.runpytest_subprocess("-s")
    result.stdout.fnmatch_lines(["*started", "used", "*used", "*stopped", "*not used"])


def test_user_environment_is_hidden_from_tests(
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


def test_no_example_fails_for_its_time() -> None:
    assert settings(max_examples=3).deadline is None
