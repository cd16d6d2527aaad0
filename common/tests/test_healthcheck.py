"""Test the health check of the images against a real server."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from skyflo_common.healthcheck import find_problem, main
from tests.support.http_threads import serve_in_thread


class Health(BaseHTTPRequestHandler):
    """Answer each path with the status that it names."""

    def do_GET(self) -> None:
        body = b"pending migrations"
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Health)
    with serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"


def test_answer_200_is_healthy(url: str) -> None:
    assert find_problem(f"{url}/200") is None


@pytest.mark.parametrize("status", [204, 302, 404, 503])
def test_any_other_answer_is_a_problem_that_is_shown(url: str, status: int) -> None:
    assert f"answers {status}" in (find_problem(f"{url}/{status}") or "")


def test_problem_shows_the_body(url: str) -> None:
    assert "pending migrations" in (find_problem(f"{url}/503") or "")


def test_proxy_of_the_environment_is_not_used(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert find_problem(f"{url}/200") is None


@pytest.mark.parametrize("address", ["https://127.0.0.1/", "127.0.0.1:8080", "http://127.0.0.1:1/"])
def test_server_that_can_not_be_asked_is_a_problem(address: str) -> None:
    assert find_problem(address) is not None


def test_exit_code_tells_the_health(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, code in (("200", 0), ("503", 1)):
        monkeypatch.setattr("sys.argv", ["healthcheck", f"{url}/{path}"])
        assert main() == code
    assert capsys.readouterr().err.count("answers 503") == 1
