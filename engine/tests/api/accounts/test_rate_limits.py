"""Rate limits: refused with the time to wait, counted per user or address, shared between processes in Redis."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from src.api.adapters.rate_limits import FallbackRateLimiter, InMemoryWindows
from src.api.errors import TooManyRequests
from src.api.ports import RateLimiter
from src.api.services.accounts.known_devices import KnownDevices
from src.api.services.accounts.rate_limits import (
    EMAILS_PER_ACCOUNT,
    LOGINS_OF_ACCOUNT,
    LOGINS_PER_ACCOUNT,
    READS_PER_REQUEST,
    REGISTRATIONS_PER_ADDRESS,
    RateLimits,
    remote_address,
)
from tests.support.app import (
    PASSWORD,
    RunningApp,
    check_problem,
    log_in,
    make_settings,
    register_user,
    run_app,
    serve_on_port,
)
from tests.support.clock import FakeClock
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, eventually

LIMIT = 8


@asynccontextmanager
async def limited(folder: Path, most: int = LIMIT, **values: object) -> AsyncIterator[RunningApp]:
    settings = make_settings(folder, **{"rate_limiting_enabled": True, "rate_limit_per_minute": most, **values})
    async with run_app(settings) as app:
        yield app


async def post_statuses(client: httpx.AsyncClient, times: int) -> list[int]:
    return [(await client.post("/conversations", json={})).status_code for _ in range(times)]


async def get_statuses(client: httpx.AsyncClient, times: int, **headers: str) -> list[int]:
    return [(await client.get("/conversations", headers=headers)).status_code for _ in range(times)]


async def test_exceeded_limit_reports_retry_after(tmp_path: Path) -> None:
    async with limited(tmp_path, local_mode=True) as app, app.client(host="localhost") as me:
        assert await post_statuses(me, LIMIT) == [200] * LIMIT
        refused = await me.post("/conversations", json={})
    body = check_problem(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert body["code"] == "too_many_requests"


async def test_health_is_not_limited(tmp_path: Path) -> None:
    async with limited(tmp_path, 1) as app, app.client() as anonymous:
        assert {(await anonymous.get("/health")).status_code for _ in range(5)} == {200}


async def test_signed_in_reads_cost_a_tenth(tmp_path: Path) -> None:
    """An open page reads all the time; that must not use up what its user may do."""
    async with limited(tmp_path, local_mode=True) as app, app.client(host="localhost") as me:
        assert await get_statuses(me, LIMIT * READS_PER_REQUEST) == [200] * LIMIT * READS_PER_REQUEST
        assert await get_statuses(me, 1) == [429]
        assert await post_statuses(me, LIMIT + 1) == [200] * LIMIT + [429]


async def test_anonymous_reads_cost_as_much_as_any_request(tmp_path: Path) -> None:
    async with limited(tmp_path) as app, app.client() as anonymous:
        assert await get_statuses(anonymous, LIMIT + 1) == [401] * LIMIT + [429]


async def test_limit_counts_per_user_across_addresses(tmp_path: Path) -> None:
    async with limited(tmp_path, 100, registration_enabled=True) as app, app.client() as anonymous:
        for name in ("ana", "bo"):
            await register_user(anonymous, f"{name}@team.example")
        ana, bo = [await log_in(anonymous, f"{name}@team.example") for name in ("ana", "bo")]
        async with app.client(ana) as here, app.client(ana, peer="203.0.113.9") as there, app.client(bo) as other:
            assert 429 not in await post_statuses(here, 60)
            assert 429 in await post_statuses(there, 60)
            assert await post_statuses(other, 1) == [200]


async def guess(client: httpx.AsyncClient, times: int) -> list[int]:
    """Try to sign in as Ana with wrong passwords."""
    wrong = {"username": "Ana@team.example ", "password": "guess"}
    return [(await client.post("/auth/jwt/login", data=wrong)).status_code for _ in range(times)]


async def test_wrong_passwords_do_not_keep_the_owner_out(tmp_path: Path) -> None:
    """Neither on another address, nor in a browser behind the same address in which the owner signed in before."""
    async with limited(tmp_path, 100) as app, app.client() as browser, app.client() as guesser:
        browser.base_url = browser.base_url.copy_with(scheme="https")
        await register_user(browser, "ana@team.example")
        await log_in(browser, "ana@team.example")
        assert (await guess(guesser, LOGINS_PER_ACCOUNT))[-1] == 429
        async with app.client(peer="203.0.113.9") as elsewhere:
            await log_in(elsewhere, "ana@team.example")
        await log_in(browser, "ANA@team.example")
        assert await guess(browser, LOGINS_PER_ACCOUNT) == [400] * (LOGINS_PER_ACCOUNT - 1) + [429]


async def test_login_attempts_of_an_account_are_limited_over_all_addresses() -> None:
    rates = FallbackRateLimiter()

    async def limiter() -> RateLimiter:
        return rates

    limits = RateLimits(limiter, 1_000)
    for n in range(LOGINS_OF_ACCOUNT):
        await limits.login(f"203.0.113.{n}", "ana@team.example", None)
    with pytest.raises(TooManyRequests):
        await limits.login("198.51.100.1", "Ana@team.example", None)
    await limits.login("198.51.100.1", "ana@team.example", "a known device")
    await limits.login("198.51.100.1", "bo@team.example", None)


@pytest.mark.parametrize("cookie", ["nonsense", "a.b", ".", "device." + "0" * 64])
async def test_forged_device_is_not_known(tmp_path: Path, cookie: str) -> None:
    async with limited(tmp_path, 100) as app, app.client(Cookie=f"known_device={cookie}") as guesser:
        assert 429 in await guess(guesser, LOGINS_PER_ACCOUNT + 1)


def test_device_is_known_for_its_account_only() -> None:
    devices = KnownDevices("s" * 32)
    cookie = devices.issue("Ana@team.example")
    assert devices.recognize(cookie, " ana@TEAM.example") == cookie.partition(".")[0]
    assert devices.recognize(cookie, "bo@team.example") is None
    assert KnownDevices("t" * 32).recognize(cookie, "ana@team.example") is None
    assert devices.recognize(None, "ana@team.example") is None


async def test_registrations_are_limited_per_address(tmp_path: Path) -> None:
    async with limited(tmp_path, 100) as app, app.client() as anonymous:
        wanted = [{"email": f"p{n}@team.example", "password": PASSWORD} for n in range(REGISTRATIONS_PER_ADDRESS + 1)]
        codes = [(await anonymous.post("/auth/register/register", json=one)).status_code for one in wanted]
    assert codes[-1] == 429
    assert 429 not in codes[:-1]


@pytest.mark.parametrize(
    ("trusted", "forwarded", "own_count"),
    [
        ((), "198.51.100.1", False),
        (("192.0.2.0/24",), "198.51.100.1", True),
        (("192.0.2.0/24",), "6.6.6.6, 198.51.100.1, 192.0.2.9", True),
        (("192.0.2.0/24",), "nonsense", False),
    ],
)
async def test_forwarded_address_is_used_from_trusted_proxy_only(
    tmp_path: Path, trusted: tuple[str, ...], forwarded: str, own_count: bool
) -> None:
    async with limited(tmp_path, trusted_proxies=trusted) as app, app.client(peer="192.0.2.7") as behind:
        assert 429 in await get_statuses(behind, LIMIT + 1)
        assert (429 not in await get_statuses(behind, 1, **{"X-Forwarded-For": forwarded})) is own_count


NOT_ASKED: list[dict[str, object]] = [
    {"trusted_proxies": ("10.0.0.0/8",)},
    {"local_mode": True},
    {"rate_limiting_enabled": False},
]


@pytest.mark.parametrize(("values", "warns"), [({}, True), *((each, False) for each in NOT_ASKED)])
async def test_start_warns_if_no_proxy_is_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: dict[str, object], warns: bool
) -> None:
    async with limited(tmp_path, **values):
        pass
    assert ("TRUSTED_PROXIES is not set" in caplog.text) is warns


async def test_address_prepended_by_client_is_ignored(tmp_path: Path) -> None:
    async with limited(tmp_path, trusted_proxies=("192.0.2.7",)) as app, app.client(peer="192.0.2.7") as behind:
        made_up = [
            await get_statuses(behind, 1, **{"X-Forwarded-For": f"10.0.0.{n}, 198.51.100.1"}) for n in range(LIMIT + 1)
        ]
    assert made_up[-1] == [429]


async def test_current_password_attempts_are_limited_across_routes(tmp_path: Path) -> None:
    """All routes that check the current password share one limit."""
    async with limited(tmp_path, 100) as app, app.client() as anonymous:
        ana = await register_user(anonymous, "ana@team.example")
        wrong = {"current_password": "guess", "password": "a new and long one"}
        routes = [("/auth/me", wrong), ("/auth/users/me", wrong), (f"/auth/users/{ana['id']}", wrong)]
        routes += [("/auth/users/me/password", {"current_password": "guess", "new_password": wrong["password"]})]
        async with app.client(await log_in(anonymous, "ana@team.example")) as thief:
            codes = [
                (await thief.patch(path, json=body)).status_code
                for path, body in [*routes * LOGINS_PER_ACCOUNT][: LOGINS_PER_ACCOUNT + len(routes)]
            ]
            assert (await thief.patch("/auth/me", json={"full_name": "Ana"})).status_code == 200
    assert codes == [400] * LOGINS_PER_ACCOUNT + [429] * len(routes)


@pytest.mark.parametrize("path", ["/auth/reset-password/forgot-password", "/auth/verify/request-verify-token"])
async def test_link_requests_are_limited_per_account(tmp_path: Path, path: str) -> None:
    async with limited(tmp_path, 100) as app:
        codes = []
        for n in range(EMAILS_PER_ACCOUNT + 1):
            async with app.client(peer=f"203.0.113.{n}") as requester:
                codes.append((await requester.post(path, json={"email": "Ana@team.example"})).status_code)
    assert codes == [202] * EMAILS_PER_ACCOUNT + [429]


PROXIES = (ip_network("192.0.2.0/24"), ip_network("2001:db8:ffff::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("192.0.2.7", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.7", "198.51.100.1:4711", "198.51.100.1"),
        ("192.0.2.7", "::ffff:198.51.100.1", "198.51.100.1"),
        ("::ffff:192.0.2.7", "198.51.100.1", "198.51.100.1"),
        ("::ffff:198.51.100.1", "6.6.6.6", "198.51.100.1"),
        ("192.0.2.7", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("192.0.2.7", "[2001:DB8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("2001:db8:ffff::1", "[2001:db8:1:2::a]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "", "fe80::/64"),
        ("192.0.2.7", "198.51.100.1, 192.0.2.8:80, [2001:db8:ffff::2]:80", "198.51.100.1"),
        ("192.0.2.7", "198.51.100.1, unknown", "192.0.2.7"),
        ("192.0.2.7", "198.51.100.1,", "192.0.2.7"),
        ("192.0.2.7", "0198.051.100.001", "192.0.2.7"),
        ("192.0.2.7", "6.6.6.6, " * 50 + "192.0.2.8", "6.6.6.6"),
        ("192.0.2.7", ", ".join(["192.0.2.8"] * 50), "192.0.2.8"),
        ("", "198.51.100.1", ""),
        ("198.51.100.1", "198.51.100.1", "forwarded"),
        ("6.6.6.6", "198.51.100.1, 6.6.6.6:99, 127.0.0.1", "forwarded"),
        ("nonsense", "nonsense", "forwarded"),
    ],
)
def test_remote_address_is_normalized(peer: str, forwarded: str, counted: str) -> None:
    assert remote_address(peer, forwarded, PROXIES) == counted


@pytest.mark.parametrize(("trusted", "own_count"), [((), False), (("127.0.0.1",), True)])
async def test_uvicorn_does_not_apply_forwarded_headers(
    tmp_path: Path, trusted: tuple[str, ...], own_count: bool
) -> None:
    """Uvicorn would believe any forwarding header from 127.0.0.1, such as one sent through a tunnel."""
    async with (
        limited(tmp_path, trusted_proxies=trusted) as app,
        serve_on_port(app.app) as address,
        httpx.AsyncClient(base_url=address, timeout=PATIENCE) as tunnel,
    ):
        codes = [await get_statuses(tunnel, 1, **{"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(LIMIT + 1)]
    assert (codes[-1] != [429]) is own_count


async def test_last_forwarded_header_line_counts(tmp_path: Path) -> None:
    """Some proxies append to the header, others add a second one after the client's."""
    async with limited(tmp_path, trusted_proxies=("192.0.2.7",)) as app, app.client(peer="192.0.2.7") as behind:
        codes = []
        for n in range(LIMIT + 1):
            lines = [("X-Forwarded-For", f"10.0.0.{n}"), ("X-Forwarded-For", "198.51.100.1")]
            codes.append((await behind.get("/conversations", headers=lines)).status_code)
    assert codes == [401] * LIMIT + [429]


@pytest.mark.promise("bounded")
async def test_number_of_windows_is_bounded() -> None:
    """An active client's count is kept when others arrive."""
    clock = FakeClock()
    windows = InMemoryWindows(1_000, clock.monotonic)
    assert windows.hit("me", 1) is None
    for n in range(5_000):
        assert windows.hit(f"address {n}", 1) is None
        assert n % 500 or windows.hit("me", 1) == 60
    assert len(windows) == 1_000
    await clock.advance(61)
    assert windows.hit("me", 1) is None
    assert len(windows) == 1


async def test_window_slides() -> None:
    clock = FakeClock()
    windows = InMemoryWindows(clock=clock.monotonic)
    waits = []
    for _ in range(4):
        waits.append(windows.hit("me", 3))
        await clock.advance(10)
    assert waits == [None, None, None, 30]
    await clock.advance(19)
    assert windows.hit("me", 3) == 1
    await clock.advance(1)
    assert windows.hit("me", 3) is None
    assert windows.hit("me", 3) == 10


async def test_processes_share_counts_in_redis(redis_url: str) -> None:
    first, second = FallbackRateLimiter(redis_url), FallbackRateLimiter(redis_url)
    try:
        waits = [await each.hit("b", "k", 4) for _ in range(3) for each in (first, second)]
    finally:
        await first.aclose()
        await second.aclose()
    assert waits[:4] == [None] * 4
    assert all(waits[4:])


async def test_process_counts_locally_while_redis_is_down(start_redis: object, tmp_path: Path) -> None:
    port = free_port()
    rates = FallbackRateLimiter(f"redis://127.0.0.1:{port}")
    try:
        waits = [await rates.hit("b", "k", 3) for _ in range(4)]
        assert waits[:3] == [None] * 3
        assert waits[3]
        with ExitStack() as stack:
            stack.enter_context(start_redis(port))  # type: ignore[operator]

            async def shared() -> bool:
                return await rates.hit("b", "k", 3) is None

            await eventually(shared, what="counting together again")
    finally:
        await rates.aclose()
