"""The Command Center's files next to the API: what each client gets, how it may be cached, and what stays a problem."""

from collections.abc import Callable
from pathlib import Path

import pytest

from src.api.config.settings import Settings
from tests.support.app import check_problem, run_app

ROOT = "http://testserver"
SCRIPT = "/assets/index-abc123.js"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def with_page(settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    """Settings of an engine with a small built page."""
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / ".vite").mkdir()
    (dist / ".vite" / "manifest.json").write_text("{}")
    (dist / "index.html").write_text("<!doctype html><title>Skyflo</title>")
    (dist / SCRIPT[1:]).write_text("plain")
    (dist / f"{SCRIPT[1:]}.gz").write_bytes(b"gzipped")
    (dist / f"{SCRIPT[1:]}.br").write_bytes(b"brotli")
    (tmp_path / "outside.txt").write_text("secret")
    (dist / "assets" / "linked.js").symlink_to(tmp_path / "outside.txt")
    (dist / "linked").symlink_to(tmp_path)
    (dist / "assets" / "inside-abc123.js").symlink_to(dist / SCRIPT[1:])
    return settings(ui_dist=dist, rate_limit_per_minute=1)


@pytest.mark.parametrize("path", ["/", "/index.html", "/approvals", "/c/01a225e2-fa8c-7714-b3f2-758f0b683451"])
async def test_browser_gets_index_for_every_page(with_page: Settings, path: str) -> None:
    async with run_app(with_page) as engine, engine.client() as client:
        answers = [await client.get(ROOT + path, headers=BROWSER) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}, "the page is outside the rate limit"
    assert answers[0].text.startswith("<!doctype html>")
    assert answers[0].headers["cache-control"] == "no-cache"
    assert "require-trusted-types-for 'script'" in answers[0].headers["content-security-policy"]
    assert "unsafe" not in answers[0].headers["content-security-policy"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("br;q=0, gzip;q=0.5", "gzip"), ("identity", None), ("", None)],
)
async def test_assets_are_immutable_and_precompressed(with_page: Settings, accepted: str, encoding: str | None) -> None:
    async with run_app(with_page) as engine, engine.client() as client:
        answer = await client.head(ROOT + SCRIPT, headers={"Accept-Encoding": accepted})
    assert answer.status_code == 200
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["content-length"] == str(len({"br": "brotli", "gzip": "gzipped"}.get(str(encoding), "plain")))
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/agent/chat", 404),
        ("GET", "/assets/gone-abc123.js", 404),
        ("GET", "/../outside.txt", 404),
        ("GET", "/%2e%2e/outside.txt", 404),
        ("GET", "/assets/..%2f..%2foutside.txt", 404),
        ("GET", "/.vite/manifest.json", 404),
        ("POST", "/approvals", 404),
    ],
)
async def test_everything_else_stays_a_problem(with_page: Settings, method: str, path: str, status: int) -> None:
    async with run_app(with_page) as engine, engine.client() as client:
        check_problem(await client.request(method, ROOT + path, headers={"Accept": "*/*"}), status)
        if path.startswith("/api/"):
            check_problem(await client.request(method, ROOT + path, headers=BROWSER), status)


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/assets/%2e%2e/%2e%2e/outside.txt",
        "/..%5coutside.txt",
        "/%252e%252e/outside.txt",
        "/%c0%ae%c0%ae/outside.txt",
        "/%ff",
        "//outside.txt",
        "//other.example/page",
        "/index.html%00.js",
        "/approvals%20",
        "/assets/linked.js",
        "/linked/outside.txt",
        "/linked",
        "/history/%E0%A4%A",
        "/history/%",
        "/<script>alert(1)<",
    ],
)
async def test_browser_gets_a_plain_page_for_odd_paths(with_page: Settings, path: str) -> None:
    async with run_app(with_page) as engine, engine.client() as client:
        request = client.build_request("GET", ROOT, headers=BROWSER)
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await client.send(request)
    if path == "/linked":
        assert answer.text.startswith("<!doctype html>"), "a route of the page, and not the folder"
    elif "%00" in path:
        check_problem(answer, 400)
    else:
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert '<h1>Nothing here</h1><p>This address leads to no page. <a href="/">Open Skyflo</a>' in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none';")
        assert "script" not in answer.text
    assert "secret" not in answer.text


async def test_link_within_the_page_is_served(with_page: Settings) -> None:
    async with run_app(with_page) as engine, engine.client() as client:
        assert (await client.get(f"{ROOT}/assets/inside-abc123.js", headers={"Accept-Encoding": ""})).text == "plain"


async def test_engine_without_page_answers_as_before(settings: Callable[..., Settings], tmp_path: Path) -> None:
    async with run_app(settings(ui_dist=tmp_path / "none")) as engine, engine.client() as client:
        check_problem(await client.get(f"{ROOT}/", headers=BROWSER), 404)
