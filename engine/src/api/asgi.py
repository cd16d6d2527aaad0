"""The ASGI application: `uvicorn src.api.asgi:app`."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from src.api.config.logging import configure_logging
from src.api.config.secret_keys import derive_local_key
from src.api.config.settings import CHECKOUT, Settings, SettingsError
from src.api.container import open_services
from src.api.endpoints import (
    agent,
    analytics,
    application,
    audit,
    auth,
    conversations,
    events,
    health,
    integrations,
    oidc,
    policy,
    team,
    tokens,
    users,
)
from src.api.endpoints.dependencies import within_rate
from src.api.endpoints.page import CommandCenter, find_page_files
from src.api.errors import EngineError
from src.api.middleware.admission import Admission
from src.api.middleware.body import BodyGuard, StripTrailingSlash
from src.api.middleware.drain import DrainMiddleware
from src.api.middleware.local_access import LocalAccess
from src.api.middleware.origin import OriginGuard
from src.api.middleware.problems import ProblemRenderer, render_http_error, render_validation_error
from src.api.middleware.request_context import RequestContext
from src.api.ports import Tracing
from src.api.schemas.problem import Problem
from src.api.telemetry import create_tracing
from src.api.utils.ids import Uuid7

if TYPE_CHECKING:
    from src.api.adapters.tools.parent_process import ParentProcess

__all__ = ["create_application"]

logger = logging.getLogger(__name__)

PROBLEM = {"description": "What is wrong, and what to do about it", "model": Problem}


def create_application(settings: Settings, parent: "ParentProcess | None" = None) -> FastAPI:
    """Create the ASGI application. Its lifespan opens all dependencies and refuses to start without them.

    A worker serves only its health. With a `parent`, the process uses the parent's tool server and ends with it.
    """

    tracing = create_tracing(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, tracing.close)
            try:
                app.state.services = await stack.enter_async_context(open_services(settings, tracing, parent))
            except EngineError as error:
                logger.critical("The engine does not start: %s", error.detail, extra={"action": "start.refused"})
                raise
            yield

    app = FastAPI(
        title=settings.app_name,
        version=settings.app_version,
        description=settings.app_description,
        debug=False,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation,
        exception_handlers={HTTPException: render_http_error, RequestValidationError: render_validation_error},
    )
    api = APIRouter(responses={"default": PROBLEM})
    api.include_router(health.router)
    parts = (agent, events, policy, conversations, auth, oidc, users, tokens, team, integrations, analytics, audit)
    for part in (application, *parts) if settings.engine_role != "worker" else ():
        api.include_router(part.router, dependencies=[Depends(within_rate)])
    # Without a prefix here, FastAPI would analyse every route now, and again for the first request.
    app.include_router(api, prefix=settings.api_v1_str)
    if settings.engine_role != "worker" and (page := find_page_files(settings.ui_dist, CHECKOUT)) is not None:
        app.router.default = CommandCenter(page, settings.api_v1_str, app.router.default)
    _add_middleware(app, settings, tracing)
    return app


def _operation(route: APIRoute) -> str:
    """Return the operation id, which names functions in generated clients: `agent_stop`."""
    return f"{route.tags[0]}_{route.name}"


def _local_access(settings: Settings) -> LocalAccess | None:
    if not settings.local_mode:
        return None
    return LocalAccess(derive_local_key(settings.secret), settings.api_v1_str)


def _add_middleware(app: FastAPI, settings: Settings, tracing: Tracing) -> None:
    """Add middleware; the last one added sees a request first."""
    forms = frozenset({f"{settings.api_v1_str}/auth/jwt/login"})
    app.add_middleware(Admission, path=f"{settings.api_v1_str}/agent/chat")
    app.add_middleware(BodyGuard, limit=settings.max_body_bytes, forms=forms)
    app.add_middleware(OriginGuard, local_access=_local_access(settings), allowed=settings.cors_origins)
    app.add_middleware(StripTrailingSlash)
    app.add_middleware(ProblemRenderer, pages=oidc.pages(settings))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=True,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID"],
            expose_headers=["Link", "X-Request-ID", "Retry-After"],
        )
    app.add_middleware(RequestContext, new_id=Uuid7().new, tracing=tracing)
    app.add_middleware(DrainMiddleware)


def __getattr__(name: str) -> FastAPI:
    """Create `app` on first access, so that importing this module reads no settings."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = Settings.load()
    except SettingsError as error:
        sys.exit(str(error))
    configure_logging(settings.logged_from, settings.log_format)
    return create_application(settings)
