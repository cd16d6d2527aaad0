"""Define field types that are alike on both databases: text ids, times in milliseconds, canonical JSON as text."""

from tortoise import fields

__all__ = ["identity", "identity_ref", "json_text", "milliseconds", "text", "word"]


def identity() -> "fields.CharField[str]":
    return fields.CharField(max_length=64, primary_key=True)


def identity_ref(*, null: bool = False, index: bool = False) -> "fields.CharField[str] | fields.CharField[str | None]":
    if null:
        return fields.CharField(max_length=64, null=True, db_index=index)
    return fields.CharField(max_length=64, db_index=index)


def milliseconds(*, null: bool = False) -> fields.BigIntField:
    return fields.BigIntField(null=True) if null else fields.BigIntField()


def word() -> "fields.CharField[str]":
    return fields.CharField(max_length=32)


def text(*, null: bool = False) -> fields.TextField:
    return fields.TextField(null=True) if null else fields.TextField()


def json_text(default: str) -> fields.TextField:
    return fields.TextField(default=default)
