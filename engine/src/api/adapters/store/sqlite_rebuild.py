"""Keep indexes and unique keys when SQLite rebuilds a table: Tortoise would drop them."""

from typing import Any

from tortoise.migrations.schema_editor.sqlite import SqliteSchemaEditor

__all__ = ["IndexPreservingSqliteEditor"]


class IndexPreservingSqliteEditor(SqliteSchemaEditor):
    """Rebuild a table with the indexes and unique keys that it had, except for those on removed columns."""

    async def _remake_table(self, model: Any, *args: Any, **kwargs: Any) -> None:
        table = model._meta.db_table  # noqa: SLF001 -- how Tortoise's models are looked at
        before = [] if self.collect_sql else await self._indexes(table)
        await super()._remake_table(model, *args, **kwargs)
        columns = {row["name"] for row in await self._rows(f'PRAGMA table_info("{table}")')}
        present = {tuple(columns) for columns, _ in await self._indexes(table)}
        for covered, statement in before:
            if columns.issuperset(covered) and (statement or covered not in present):
                await self._run_sql(statement or _create_unique_index(table, covered))

    async def _indexes(self, table: str) -> list[tuple[tuple[str, ...], str | None]]:
        """List each index: its columns, and its CREATE statement (None if CREATE TABLE made it)."""
        listed = [row for row in await self._rows(f'PRAGMA index_list("{table}")') if row["origin"] != "pk"]
        return [(await self._columns(row["name"]), await self._statement(row["name"])) for row in listed]

    async def _columns(self, index: str) -> tuple[str, ...]:
        return tuple(row["name"] for row in await self._rows(f'PRAGMA index_info("{index}")'))

    async def _statement(self, index: str) -> str | None:
        rows = await self._rows("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", [index])
        statement: str | None = rows[0]["sql"] if rows else None
        return statement

    async def _rows(self, query: str, values: list[object] | None = None) -> list[Any]:
        _, rows = await self.client.execute_query(query, values)
        return list(rows)


def _create_unique_index(table: str, columns: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{column}"' for column in columns)
    return f'CREATE UNIQUE INDEX "uid_{table}_{"_".join(columns)}" ON "{table}" ({listed})'
