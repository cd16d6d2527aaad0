"""Test the generated SQL: own columns only, values as parameters, and limits on everything."""

import dataclasses
import re

import pytest

from src.api import models
from src.api.adapters.store import sql
from src.api.adapters.store.values import columns_of
from src.api.schemas import records
from src.api.schemas.query import (
    Assign,
    ColumnPlus,
    Increment,
    KeysetRange,
    MatchesText,
    Now,
    Where,
    ge,
    gt,
    is_not_null,
    le,
    lt,
    ne,
)
from src.api.schemas.records import RECORDS, Approval, AuditEntry, Conversation, JournalEvent, Record, Run, User
from tests.support.rows import row

GUARDS: list[tuple[type[Record], Where, dict[str, Assign]]] = [
    (Run, {"id": "r", "fence": 3, "state": "running", "stop_at": None}, {"journal": Increment(2), "owner": None}),
    (Run, {"id": "r", "fence": 3, "stop_at": None}, {"journal": Increment(2), "rest_seq": ColumnPlus("journal", 2)}),
    (Run, {"id": "r", "state": ("queued", "running"), "lease_until": lt(9)}, {"fence": Increment(1), "owner": "w"}),
    (Approval, {"id": "a", "status": "approved", "execute_by": gt(5)}, {"status": "consumed"}),
    (Approval, {"run_id": "r", "status": ne("consumed"), "execute_by": is_not_null()}, {"status": "stopped"}),
    (AuditEntry, {"stream": "team", "n": ge(4), "created_at": le(7)}, {"actor": "x"}),
]


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize(("kind", "where", "values"), GUARDS)
def test_compare_and_set_is_one_update(
    kind: type[Record], where: Where, values: dict[str, Assign], numbered: bool
) -> None:
    text, _ = sql.update(kind, where, values, numbered=numbered)

    assert re.findall(r"\b(SELECT|UPDATE|JOIN|LIMIT|ORDER|FROM|WITH|INSERT|DELETE)\b", text) == ["UPDATE"]
    assert ";" not in text
    table, *named = re.findall(r'"(\w+)"', text)
    assert table == kind.table
    assert set(named) <= set(columns_of(kind))


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("numbered", [True, False])
def test_every_statement_binds_all_its_placeholders(kind: type[Record], numbered: bool) -> None:
    key = {name: "x" if columns_of(kind)[name].kind is str else 1 for name in kind.key}
    statements = [
        sql.insert([row(kind)], numbered=numbered),
        sql.select(kind, key, ",".join(kind.key), 5, numbered=numbered),
        sql.update(kind, key, key, numbered=numbered),
        sql.delete(kind, key, numbered=numbered),
    ]

    for text, values in statements:
        places = re.findall(r"\$(\d+)", text) if numbered else re.findall(r"\?", text)
        assert len(places) == len(values)
        assert not numbered or [int(place) for place in places] == list(range(1, len(values) + 1))


def test_update_sets_and_returns_the_time_of_the_database() -> None:
    text, values = sql.update(Run, {"id": "r"}, {"updated_at": Now(5)}, numbered=True, clock="clock()")

    assert text.startswith('UPDATE "runs" SET "updated_at" = clock() + $1 WHERE "id" = $2 RETURNING "id", ')
    assert text.endswith(", clock()")
    assert values == [5, "r"]
    with pytest.raises(ValueError, match="no clock"):
        sql.update(Run, {"id": "r"}, {"updated_at": Now()}, numbered=False)


@pytest.mark.parametrize("numbered", [True, False])
def test_search_conditions_are_rejected_in_writes(numbered: bool) -> None:
    where: Where = {"id": MatchesText("web"), "updated_at": KeysetRange((9, "z"), (1, "a"))}
    text, values = sql.select(Conversation, where, "", 5, 4, numbered=numbered)
    assert values == ["%web%", 9, "z", 1, "a"]
    assert text.endswith("LIMIT 5 OFFSET 4")
    with pytest.raises(ValueError, match="own columns"):
        sql.update(Conversation, where, {"title": "x"}, numbered=numbered)
    with pytest.raises(ValueError, match="own columns"):
        sql.delete(Conversation, where, numbered=numbered)


def test_insert_uses_returning() -> None:
    text, _ = sql.insert([row(JournalEvent, run_id="r", n=1)], numbered=True)

    assert text.startswith('INSERT INTO "events"')
    assert text.endswith('ON CONFLICT DO NOTHING RETURNING "run_id"')


def test_follower_reads_state_and_events_in_one_statement() -> None:
    text, values = sql.tail("r", 7, 500, numbered=True)

    assert text.count("SELECT") == 1
    assert text.endswith('ORDER BY e."n" LIMIT 500')
    assert values == [7, "r"]


def test_values_never_appear_in_the_statement_text() -> None:
    hostile = "x'; DROP TABLE users; --"
    text, values = sql.select(User, {"email": hostile, "role": (hostile, "b")}, "", 1, numbered=False)

    assert hostile not in text
    assert values == [hostile, hostile, "b"]


@pytest.mark.parametrize(
    "where",
    [
        {"id": "a\x00b"},
        {"id": "a\ud800"},
        {"id": ()},
        {"id": 5},
        {"id": "x" * 65},
        {"fence": 2**63},
        {"fence": True},
        {"turn": 2**31},
        {"id": ("\x00", None)},
    ],
)
def test_unstorable_value_matches_no_row(where: Where) -> None:
    assert " WHERE 1 = 0" in sql.select(Run, where, "", 1, numbered=True)[0]


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("limit", [0, -1, sql.MAX_ROWS + 1])
def test_a_read_is_bounded(limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000 rows"):
        sql.select(Run, {}, "", limit, numbered=True)
    with pytest.raises(ValueError, match="1 to 1000 rows"):
        sql.tail("r", 0, limit, numbered=True)


@pytest.mark.promise("bounded")
def test_a_condition_is_bounded() -> None:
    with pytest.raises(ValueError, match="at most 1000 values"):
        sql.select(Run, {"id": tuple(map(str, range(1001)))}, "", 1, numbered=True)


@pytest.mark.parametrize("where", [{"run__fence": 5}, {"nope": 1}, {'id" = "id': "x"}])
def test_a_column_of_another_table_is_refused(where: Where) -> None:
    with pytest.raises(ValueError, match="has no column"):
        sql.update(Run, where, {"state": "x"}, numbered=True)
    with pytest.raises(ValueError, match="has no column"):
        sql.select(Run, {}, next(iter(where)), 1, numbered=True)


def test_update_and_delete_need_a_condition() -> None:
    with pytest.raises(ValueError, match="needs a condition"):
        sql.update(Run, {}, {"state": "x"}, numbered=True)
    with pytest.raises(ValueError, match="needs a condition"):
        sql.update(Run, {"id": "x"}, {}, numbered=True)
    with pytest.raises(ValueError, match="needs a condition"):
        sql.delete(Run, {}, numbered=True)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"title": "a\x00"}, "title can't hold this value: text with U\\+0000"),
        ({"title": "a\udfff"}, "lone surrogate"),
        ({"title": "x" * 201}, "title can't hold this value: it takes 200 characters, not 201"),
        ({"owner_id": None}, "never empty"),
        ({"touches": 2**63}, "too large"),
        ({"touches": -(2**63) - 1}, "too large"),
        ({"touches": True}, "takes int, not bool"),
        ({"is_active": 1}, "takes bool, not int"),
        ({"metadata": 1.5}, "takes str, not float"),
    ],
)
def test_unstorable_value_is_rejected_with_its_column(values: dict[str, Assign], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sql.insert([row(Conversation, **values)], numbered=True)
    with pytest.raises(ValueError, match=reason):
        sql.update(Conversation, {"id": "c"}, values, numbered=True)


# -- records match models


def test_every_record_is_listed() -> None:
    kinds = {each for each in vars(records).values() if isinstance(each, type) and issubclass(each, Record)}

    assert set(RECORDS) == kinds - {Record}
    assert len(RECORDS) == len(models.__all__)


@pytest.mark.parametrize("kind", RECORDS)
def test_records_match_their_tables(kind: type[Record]) -> None:
    described = getattr(models, kind.__name__).describe()
    primary, *_ = [described["pk_field"]]
    fields = {field["name"]: field for field in [primary, *described["data_fields"]] if field["name"] != "row"}

    assert described["table"] == kind.table
    assert list(fields) == [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name, column in columns_of(kind).items():
        assert fields[name]["nullable"] == column.nullable, name
        assert fields[name]["python_type"] == column.kind.__name__, name


@pytest.mark.parametrize("kind", RECORDS)
def test_record_key_is_unique_in_its_table(kind: type[Record]) -> None:
    described = getattr(models, kind.__name__).describe()

    assert kind.key in {(described["pk_field"]["name"],), *described["unique_together"]}
