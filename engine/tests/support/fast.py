"""Select the tests of `make test-fast`: those that start no service, cluster or other process."""

from pathlib import Path

import pytest

from tests.support.examples import load_profile

__all__ = ["configure_fast", "is_slow_folder", "keep_fast"]

SERVICES = frozenset(
    {
        "postgres_server",
        "shared_redis",
        "start_redis",
        "start_pgbouncer",
        "cluster",
        "node_cluster",
        "rollouts_cluster",
        "prometheus_url",
        "helm3_binary",
        "image_store",
        "provider",
        "engine_factory",
    }
)
"""Fixtures that start another process."""

SLOW_FOLDERS = frozenset({"crash", "e2e", "cli", "api", "contract"})
"""Folders below a `tests` folder in which every test starts something; they are not even imported."""


def configure_fast(config: pytest.Config) -> None:
    """Declare the marker of slow tests, and load the profile of Hypothesis, a short one if `--fast` is set."""
    config.addinivalue_line("markers", "processes: starts other processes, which is too slow for --fast")
    load_profile(fast=bool(config.getoption("--fast")))


def is_slow_folder(path: Path) -> bool:
    return path.name in SLOW_FOLDERS and path.parent.name == "tests"


def keep_fast(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that start something."""
    fast = [item for item in items if _is_fast(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(fast)])
    items[:] = fast


def _is_fast(item: pytest.Item) -> bool:
    starts_a_service = SERVICES & set(getattr(item, "fixturenames", ())) or any(map(is_slow_folder, item.path.parents))
    return not starts_a_service and item.get_closest_marker("processes") is None
