"""The ASGI application: `uvicorn src.api.asgi:app`."""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from src.api.config.logging import configure_logging
from src.api.config.settings import Settings, SettingsError
from src.api.container import open_services
from src.api.endpoints import (
    agent,
    analytics,
    audit,
    auth,
    conversations,
    health,
    integrations,
    oidc,
    policy,
    team,
    tokens,
    users,
)
from src.api.endpoints.dependencies import within_rate
from src.api.errors import EngineError
from src.api.middleware.body import BodyGuard, PlainPaths
from src.api.middleware.context import RequestContext
from src.api.middleware.lingering import Lingering
from src.api.middleware.origin import OriginGuard
from src.api.middleware.problems import Problems, of_http, of_validation
from src.api.schemas.problem import Problem
from src.api.utils.ids import Uuid7

__all__ = ["create_application"]

logger = logging.getLogger(__name__)

PROBLEM = {"description": "What is wrong, and what to do about it", "model": Problem}


def create_application(settings: Settings) -> FastAPI:
    """The engine as an ASGI application. Its lifespan opens what it depends on, and refuses to start without."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                app.state.services = await stack.enter_async_context(open_services(settings))
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
        exception_handlers={HTTPException: of_http, RequestValidationError: of_validation},
    )
    api = APIRouter(prefix=settings.api_v1_str, responses={"default": PROBLEM})
    api.include_router(health.router)
    for part in (agent, policy, conversations, auth, oidc, users, tokens, team, integrations, analytics, audit):
        api.include_router(part.router, dependencies=[Depends(within_rate)])
    app.include_router(api)
    _add_middleware(app, settings)
    return app


def _operation(route: APIRoute) -> str:
    """The name of a route's function in a generated client: `agent_stop`."""
    return f"{route.tags[0]}_{route.name}"


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last one added is the first to see a request."""
    forms = frozenset({f"{settings.api_v1_str}/auth/jwt/login"})
    app.add_middleware(BodyGuard, limit=settings.max_body_bytes, forms=forms)
    app.add_middleware(OriginGuard, local_mode=settings.local_mode, allowed=settings.cors_origins)
    app.add_middleware(PlainPaths)
    app.add_middleware(Problems, pages=oidc.pages(settings))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=True,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(RequestContext, new_id=Uuid7().new)
    app.add_middleware(Lingering)


def __getattr__(name: str) -> FastAPI:
    """`app`, made when a server asks for it, so that importing this module reads no settings."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = Settings.load()
    except SettingsError as error:
        sys.exit(str(error))
    configure_logging(settings.logged_from)
    return create_application(settings)
