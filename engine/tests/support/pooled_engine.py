"""Run an engine in a fork of `python_pool`: under uvicorn on its own port, as `uvicorn src.api.asgi:app` does.

Run as `python -m tests.support.pooled_engine PORT`.
"""

import os
import sys

import uvicorn

from src.api import asgi
from tests.support import engine_warmth


def main(port: int) -> None:
    application = asgi.app
    if os.environ.get("ENGINE_ROLE") != "worker":  # a worker has only some of the routes
        application.router.routes = engine_warmth.analyse_routes()
    config = uvicorn.Config(application, port=port, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
