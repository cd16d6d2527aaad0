"""Serve HTTP from a thread of the tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer

__all__ = ["serve_in_thread"]

POLL_SECONDS = 0.01
"""How often the server looks whether to stop. With its default of half a second, so long would each test's end take."""


@contextmanager
def serve_in_thread(server: HTTPServer) -> Iterator[None]:
    """Serve while the block is open, and close the server."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    with server:
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
