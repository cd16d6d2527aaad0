"""Releases are decoded within bounds, and what is wrong with one is said."""

import gzip
from base64 import b64encode

import pytest
from helm_releases import raw_release_secret, release_secret, simple_release

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.helm import release as releases
from skyflo_tools.helm.release import UnreadableRelease, decode_release
from skyflo_tools.helm.release_store import RevisionRecord
from skyflo_tools.helm.values import merge_values
from skyflo_tools.tools.helm_status import next_steps

NOW = 1_800_000_000


def test_release_of_null_lists_and_without_values_is_decoded() -> None:
    stored = simple_release() | {"hooks": None, "config": None}
    decoded = decode_release(release_secret(stored), "x")
    assert (decoded.name, decoded.revision, decoded.chart_name, decoded.hooks) == ("web", 1, "shop-0.1.0", [])


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not base64!", "is not base64"),
        (b64encode(b"\x1f\x8b\x08garbage and more of it"), "is not gzip"),
        (b64encode(gzip.compress(b"{}" * 100, mtime=0)[:-12]), "is cut"),
        (b64encode(gzip.compress(b" " * (33 * 1024 * 1024), 1, mtime=0)), "larger than 33554432 bytes decompressed"),
        (b"A" * (4 * 1024 * 1024), "larger than 4194304 bytes"),
        (b64encode(b'{"name": 7}'), "invalid at name"),
        (b64encode(b"[]"), "invalid at its top level"),
    ],
    ids=["no base64", "no gzip", "cut", "a bomb", "long", "no name", "no object"],
)
def test_content_that_is_no_release_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(UnreadableRelease, match=problem):
        decode_release(raw_release_secret(simple_release(), content), "x")


def test_values_are_merged_as_templates_see_them() -> None:
    defaults: JsonObject = {"a": {"b": 1, "c": 2}, "list": [1], "gone": True}
    given: JsonObject = {"a": {"c": 3}, "list": [2], "gone": None}
    assert merge_values(defaults, given) == {"a": {"b": 1, "c": 3}, "list": [2]}


def record(revision: int, status: str, modified_at: int = 0) -> RevisionRecord:
    return RevisionRecord("web", "shop", revision, status, f"{releases.NAME_PREFIX}web.v{revision}", "", modified_at)


@pytest.mark.parametrize(
    ("records", "step"),
    [
        ([record(1, "superseded"), record(2, "deployed")], None),
        ([record(1, "deployed"), record(2, "failed")], "helm_rollback to revision 1"),
        ([record(1, "failed")], "no revision ever worked"),
        ([record(1, "deployed"), record(2, "pending-upgrade", NOW - 20)], "another helm process may be at work"),
        ([record(1, "deployed"), record(2, "pending-upgrade", NOW - 900)], "helm_rollback to revision 1 releases it"),
        ([record(1, "pending-install", NOW - 900)], "helm_uninstall removes what there is"),
        ([record(1, "uninstalling")], "helm_uninstall removes what there is"),
    ],
)
def test_next_step_follows_from_the_revisions(records: list[RevisionRecord], step: str | None) -> None:
    found = next_steps(records, NOW)
    assert bool(found) == (step is not None)
    assert step is None or step in found[0]
