"""The floor of lists: a bare Starlette application that runs the indispensable SQL statements.

python -m bench.lists_floor --port 9001 --database sqlite:///folder/file
"""

import argparse
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.sample_data import LONG, RARE

Rows = Sequence[dict[str, Any]]
Read = Callable[[str], Awaitable[Rows]]

LIST = """SELECT * FROM conversations WHERE owner_id = 'local' AND deleted_at IS NULL
ORDER BY updated_at DESC, id DESC LIMIT 21"""
GET = [
    f"SELECT * FROM {table} WHERE conversation_id = '{LONG}'"  # noqa: S608 - constants
    for table in ("messages", "calls", "runs")
]
SEARCH = f"SELECT DISTINCT conversation_id FROM search WHERE text_casefolded LIKE '%{RARE}%' LIMIT 20"  # noqa: S608


def build_application(read: Read, start: Callable[[], Awaitable[None]]) -> Starlette:
    def route(*statements: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_: Request) -> Response:
            return Response(orjson.dumps([await read(each) for each in statements]), media_type="application/json")

        return answer

    async def begin(_: Request) -> Response:
        await start()
        return Response("ok")

    routes = {"/list": route(LIST), "/get": route(*GET), "/search": route(SEARCH), "/health": begin}
    return Starlette(routes=[Route(path, answer) for path, answer in routes.items()])


def open_sqlite(path: str) -> Starlette:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row

    async def read(statement: str) -> Rows:
        return [dict(each) for each in connection.execute(statement)]

    async def start() -> None:
        pass

    return build_application(read, start)


def open_postgres(url: str) -> Starlette:
    connections: list[Any] = []

    async def read(statement: str) -> Rows:
        return [dict(each) for each in await connections[0].fetch(statement)]

    async def start() -> None:
        if not connections:
            connections.append(await asyncpg.connect(url))

    return build_application(read, start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True)
    options = parser.parse_args()
    sqlite = options.database.startswith("sqlite://")
    app = open_sqlite(options.database.removeprefix("sqlite://")) if sqlite else open_postgres(options.database)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
