"""Check that promises and tests match in both directions, and that generated documents are current."""

import pytest

from src.api.generate import documents
from tests.guarantees import DOCUMENT, PROMISES, render
from tests.support.plugin import Claims


@pytest.mark.whole_suite
def test_every_promise_has_a_test(claims: Claims) -> None:
    promised = {each.id for each in PROMISES.values() if each.issue is None}
    assert sorted(promised - claims.keys()) == [], "promised, but no test is marked with it"


@pytest.mark.whole_suite
def test_tests_claim_no_promise_that_is_not_yet_kept(claims: Claims) -> None:
    later = {each.id for each in PROMISES.values() if each.issue}
    assert sorted(later & claims.keys()) == [], "tested, so promise it"


@pytest.mark.processes
def test_an_unknown_promise_stops_the_collection(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["tests.support.plugin"]')
    pytester.makepyfile('import pytest\n@pytest.mark.promise("onec")\ndef test_it(): ...')
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_it*onec*"])


def test_generated_guarantees_are_current() -> None:
    assert DOCUMENT.read_text() == render(), "run `make generate`"


@pytest.mark.promise("contract")
def test_generated_api_documents_are_current() -> None:
    stale = [path.name for path, text in documents().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run `make generate`"
