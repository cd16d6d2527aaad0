"""Asking too often: told with the time to wait, counted for each person, shared between processes by Redis."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from src.api.adapters.rates import Rates, Windows
from src.api.services.rates import LETTERS_PER_ACCOUNT, LOGINS_PER_ACCOUNT, REGISTRATIONS_PER_ADDRESS, remote_address
from tests.support.app import PASSWORD, Running, given, on_a_port, problem, registered, running, signed_in
from tests.support.clock import FakeClock
from tests.support.services import free_port
from tests.support.waiting import PATIENCE, eventually

MOST = 8


@asynccontextmanager
async def limited(folder: Path, most: int = MOST, **values: object) -> AsyncIterator[Running]:
    settings = given(folder, **{"rate_limiting_enabled": True, "rate_limit_per_minute": most, **values})
    async with running(settings) as app:
        yield app


async def asks(client: httpx.AsyncClient, times: int, **headers: str) -> list[int]:
    return [(await client.get("/conversations", headers=headers)).status_code for _ in range(times)]


async def test_too_often_is_told_with_the_time_to_wait(tmp_path: Path) -> None:
    async with limited(tmp_path, local_mode=True) as app, app.client(host="localhost") as me:
        assert await asks(me, MOST) == [200] * MOST
        refused = await me.get("/conversations")
    body = problem(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert body["code"] == "too_many_requests"


async def test_health_is_never_refused(tmp_path: Path) -> None:
    async with limited(tmp_path, 1) as app, app.client() as anybody:
        assert {(await anybody.get("/health")).status_code for _ in range(5)} == {200}


async def test_each_person_has_a_count_of_their_own_wherever_they_are(tmp_path: Path) -> None:
    async with limited(tmp_path, 100, registration_enabled=True) as app, app.client() as anybody:
        for name in ("ana", "bo"):
            await registered(anybody, f"{name}@team.example")
        ana, bo = [await signed_in(anybody, f"{name}@team.example") for name in ("ana", "bo")]
        async with app.client(ana) as here, app.client(ana, peer="203.0.113.9") as there, app.client(bo) as other:
            assert 429 not in await asks(here, 60)
            assert 429 in await asks(there, 60)
            assert (await other.get("/conversations")).status_code == 200


async def test_a_guesser_is_slowed_at_the_account_and_its_owner_at_other_doors_is_not(tmp_path: Path) -> None:
    async with limited(tmp_path, 100) as app, app.client() as guesser:
        await registered(guesser, "ana@team.example")
        token = await signed_in(guesser, "ana@team.example")
        wrong = {"username": "Ana@team.example ", "password": "guess"}
        codes = [(await guesser.post("/auth/jwt/login", data=wrong)).status_code for _ in range(LOGINS_PER_ACCOUNT)]
        assert codes[-1] == 429
        async with app.client(peer="203.0.113.9") as from_elsewhere:
            assert (await from_elsewhere.post("/auth/jwt/login", data=wrong)).status_code == 429
        async with app.client(token) as ana:
            assert (await ana.get("/auth/me")).status_code == 200


async def test_registering_is_slowed_too(tmp_path: Path) -> None:
    async with limited(tmp_path, 100) as app, app.client() as anybody:
        wanted = [{"email": f"p{n}@team.example", "password": PASSWORD} for n in range(REGISTRATIONS_PER_ADDRESS + 1)]
        codes = [(await anybody.post("/auth/register/register", json=one)).status_code for one in wanted]
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
async def test_only_a_trusted_proxy_names_the_address(
    tmp_path: Path, trusted: tuple[str, ...], forwarded: str, own_count: bool
) -> None:
    async with limited(tmp_path, trusted_proxies=trusted) as app, app.client(peer="192.0.2.7") as behind:
        assert 429 in await asks(behind, MOST + 1)
        assert (429 not in await asks(behind, 1, **{"X-Forwarded-For": forwarded})) is own_count


async def test_what_a_client_prepends_changes_nothing(tmp_path: Path) -> None:
    async with limited(tmp_path, trusted_proxies=("192.0.2.7",)) as app, app.client(peer="192.0.2.7") as behind:
        made_up = [await asks(behind, 1, **{"X-Forwarded-For": f"10.0.0.{n}, 198.51.100.1"}) for n in range(MOST + 1)]
    assert made_up[-1] == [429]


async def test_a_guesser_with_a_stolen_session_is_slowed_too(tmp_path: Path) -> None:
    """Wherever the current password is asked for, and all of them together."""
    async with limited(tmp_path, 100) as app, app.client() as anybody:
        ana = await registered(anybody, "ana@team.example")
        wrong = {"current_password": "guess", "password": "a new and long one"}
        doors = [("/auth/me", wrong), ("/auth/users/me", wrong), (f"/auth/users/{ana['id']}", wrong)]
        doors += [("/auth/users/me/password", {"current_password": "guess", "new_password": wrong["password"]})]
        async with app.client(await signed_in(anybody, "ana@team.example")) as thief:
            codes = [
                (await thief.patch(path, json=body)).status_code
                for path, body in [*doors * LOGINS_PER_ACCOUNT][: LOGINS_PER_ACCOUNT + len(doors)]
            ]
            assert (await thief.patch("/auth/me", json={"full_name": "Ana"})).status_code == 200
    assert codes == [400] * LOGINS_PER_ACCOUNT + [429] * len(doors)


@pytest.mark.parametrize("path", ["/auth/reset-password/forgot-password", "/auth/verify/request-verify-token"])
async def test_nobody_fills_anothers_mailbox(tmp_path: Path, path: str) -> None:
    async with limited(tmp_path, 100) as app:
        codes = []
        for n in range(LETTERS_PER_ACCOUNT + 1):
            async with app.client(peer=f"203.0.113.{n}") as somebody:
                codes.append((await somebody.post(path, json={"email": "Ana@team.example"})).status_code)
    assert codes == [202] * LETTERS_PER_ACCOUNT + [429]


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
def test_how_an_address_is_written_makes_no_difference(peer: str, forwarded: str, counted: str) -> None:
    assert remote_address(peer, forwarded, PROXIES) == counted


@pytest.mark.parametrize(("trusted", "own_count"), [((), False), (("127.0.0.1",), True)])
async def test_uvicorn_does_not_decide_whom_to_believe(
    tmp_path: Path, trusted: tuple[str, ...], own_count: bool
) -> None:
    """It takes the word of whoever connects from 127.0.0.1, as through a tunnel, for where they come from."""
    async with (
        limited(tmp_path, trusted_proxies=trusted) as app,
        on_a_port(app.app) as address,
        httpx.AsyncClient(base_url=address, timeout=PATIENCE) as tunnel,
    ):
        codes = [await asks(tunnel, 1, **{"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(MOST + 1)]
    assert (codes[-1] != [429]) is own_count


async def test_a_proxy_that_adds_a_line_of_its_own_is_the_one_that_counts(tmp_path: Path) -> None:
    """Some append to the header, others add one after the client's own."""
    async with limited(tmp_path, trusted_proxies=("192.0.2.7",)) as app, app.client(peer="192.0.2.7") as behind:
        codes = []
        for n in range(MOST + 1):
            lines = [("X-Forwarded-For", f"10.0.0.{n}"), ("X-Forwarded-For", "198.51.100.1")]
            codes.append((await behind.get("/conversations", headers=lines)).status_code)
    assert codes == [401] * MOST + [429]


@pytest.mark.promise("bounded")
async def test_however_many_ask_no_more_are_remembered_than_the_bound() -> None:
    """Whoever goes on asking is not forgotten for others that come."""
    clock = FakeClock()
    windows = Windows(1_000, clock.boot)
    assert windows.hit("me", 1) is None
    for n in range(5_000):
        assert windows.hit(f"address {n}", 1) is None
        assert n % 500 or windows.hit("me", 1) == 60
    assert len(windows) == 1_000
    await clock.advance(61)
    assert windows.hit("me", 1) is None
    assert len(windows) == 1


async def test_a_window_moves() -> None:
    clock = FakeClock()
    windows = Windows(clock=clock.boot)
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


async def test_processes_share_their_counts_by_redis(redis_url: str) -> None:
    first, second = Rates(redis_url), Rates(redis_url)
    try:
        waits = [await each.hit("b", "k", 4) for _ in range(3) for each in (first, second)]
    finally:
        await first.aclose()
        await second.aclose()
    assert waits[:4] == [None] * 4
    assert all(waits[4:])


async def test_while_redis_is_away_a_process_counts_by_itself(start_redis: object, tmp_path: Path) -> None:
    port = free_port()
    rates = Rates(f"redis://127.0.0.1:{port}")
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
