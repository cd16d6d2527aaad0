"""Imports are kept out of garbage collections once per process."""

import subprocess
import sys

import pytest

PROGRAM = """
import gc
from skyflo_common.memory import keep_imports
gc.set_threshold(50_000, 20, 50)
keep_imports()
first = gc.get_freeze_count()
later = [[] for _ in range(1000)]
keep_imports()
print(first > 1000, gc.get_freeze_count() == first, gc.get_threshold()[0] <= 10_000)
"""


@pytest.mark.processes
def test_first_call_keeps_what_was_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
