"""What an engine does at its first use, done before engines are forked: two seconds of CPU for each of them."""

import importlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from src.api import asgi
from src.api.adapters.model import host
from src.api.adapters.tools import http_link
from src.api.agent import graph
from src.api.schemas.base import JsonObject
from src.api.utils.json_schema import CompiledSchema
from tests.support import counting_tools
from tests.support.app import cheapen_password_hashes, make_settings
from tests.support.services import PROJECT

__all__ = ["analyse_routes", "warm_up"]

MODULES = (
    "src.api.adapters.bus.redis",
    "src.api.adapters.checkpointer",
    "src.api.adapters.checkpoints_postgres",
    "src.api.adapters.model.selection",
    "src.api.adapters.tools.mcp",
    "src.api.services.accounts.auth",
    "src.api.services.runs.executor",
    "langgraph.checkpoint.sqlite.aio",
    # What libraries import at first use.
    "anyio._backends._asyncio",
    "fastapi.telemetry._runtime",
    "httpcore",
    "httpcore2",
    "truststore",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    *(f"migrations.{file.stem}" for file in (PROJECT / "engine" / "migrations").glob("0*.py")),
)


def warm_up() -> None:
    """Import what an engine imports late, read the certificate store and sources, and analyse schemas and routes."""
    cheapen_password_hashes()
    for module in MODULES:
        importlib.import_module(module)
    for create_context in (http_link.tls_context, host.tls_context):
        create_context()
    graph.build_graph(None)
    for schema in counting_tools.SCHEMAS.values():
        CompiledSchema(cast(JsonObject, schema))
    analyse_routes()


@cache
def analyse_routes() -> list[BaseRoute]:
    """Return the routes with their signatures analysed, which each engine would do at its first request."""
    with TemporaryDirectory() as folder:
        routes = asgi.create_application(make_settings(Path(folder))).router.routes
    for _ in iter_route_contexts(routes):
        pass
    return routes
