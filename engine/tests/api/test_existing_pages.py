"""What an existing page for this API sends, and what it reads: shapes that it relies on stay as they are.

The page runs on a server of its own. It signs in for the browser, keeps the tokens in its own cookies, and sends them
as a bearer token and as cookies.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.app import PASSWORD, RunningApp, check_problem, register_user
from tests.support.engine_harness import EngineHarness
from tests.support.integration_scenario import jenkins_integration

EMAIL = "ana@example.com"
NUMBER = (int, float)
DAILY = {
    "date": str,
    "cost": NUMBER,
    "total_tokens": int,
    "prompt_tokens": int,
    "completion_tokens": int,
    "cached_tokens": int,
    "avg_ttft_ms": (*NUMBER, type(None)),
    "avg_ttr_ms": (*NUMBER, type(None)),
}
METRICS = {
    "period_start": str,
    "period_end": str,
    "total_cost": NUMBER,
    "total_tokens": int,
    "total_prompt_tokens": int,
    "total_completion_tokens": int,
    "total_cached_tokens": int,
    "total_conversations": int,
    "total_approvals": int,
    "total_rejections": int,
    "avg_ttft_ms": (*NUMBER, type(None)),
    "avg_ttr_ms": (*NUMBER, type(None)),
    "avg_cost_per_conversation": NUMBER,
    "avg_tokens_per_conversation": NUMBER,
    "cache_hit_rate": NUMBER,
    "approval_acceptance_rate": (*NUMBER, type(None)),
    "daily_breakdown": list,
}


class Page:
    """The server of the page, with one browser's cookies."""

    def __init__(self, engine: RunningApp) -> None:
        self._http = engine.client()
        self.cookies: dict[str, str] = {}

    async def sign_in(self) -> dict[str, Any]:
        """Sign in as the page does, and return the user."""
        form = {"username": EMAIL, "password": PASSWORD}
        answer = await self._request("POST", "/auth/jwt/login", data=form)
        self.cookies["auth_token"] = answer.json()["access_token"]
        issued = (await self._request("POST", "/auth/refresh/issue", headers=self._bearer())).json()
        assert isinstance(issued["expires_in"], int)
        self.cookies["refresh_token"] = issued["refresh_token"]
        return dict((await self.call("GET", "/auth/me")).json())

    async def refresh(self) -> httpx.Response:
        answer = await self._request("POST", "/auth/refresh", headers={"Cookie": self._cookie_header()})
        if answer.is_success:
            self.cookies |= dict(answer.cookies)
        return answer

    async def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {**self._bearer(), "Cookie": self._cookie_header(), "Content-Type": "application/json"}
        return await self._request(method, path, json=body, headers=headers)

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        self._http.cookies.clear()
        return await self._http.request(method, path, **options)

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.cookies['auth_token']}"}

    def _cookie_header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())


@pytest_asyncio.fixture
async def page(engine: RunningApp) -> AsyncIterator[Page]:
    async with engine.client() as client:
        await register_user(client, EMAIL, full_name="Ana")
    page = Page(engine)
    await page.sign_in()
    yield page


def check_types(found: dict[str, Any], expected: dict[str, Any]) -> None:
    wrong = {name: found.get(name) for name, kind in expected.items() if not isinstance(found.get(name, ...), kind)}
    assert not wrong


async def test_page_signs_in_and_refreshes(page: Page) -> None:
    before = page.cookies["refresh_token"]
    answer = await page.refresh()
    assert answer.status_code == 200
    assert page.cookies["refresh_token"] != before
    assert page.cookies["auth_token"] == answer.json()["access_token"]
    assert set(page.cookies) == {"auth_token", "refresh_token"}
    user = (await page.call("GET", "/auth/me")).json()
    assert (user["email"], user["full_name"], user["role"]) == (EMAIL, "Ana", "admin")


async def test_two_tabs_refresh_at_once(page: Page) -> None:
    first, second = await asyncio.gather(page.refresh(), page.refresh())
    assert (first.status_code, second.status_code) == (200, 200)
    assert (await page.refresh()).status_code == 200
    assert (await page.call("GET", "/auth/me")).status_code == 200


async def test_cookies_are_set_for_every_path(engine: RunningApp) -> None:
    """A page that sets them again for `/` would otherwise hold two of each."""
    async with engine.client() as browser:
        browser.base_url = browser.base_url.copy_with(scheme="https")
        await register_user(browser, EMAIL)
        signed_in = await browser.post("/auth/jwt/login", data={"username": EMAIL, "password": PASSWORD})
        issued = await browser.post("/auth/refresh/issue")
        refreshed = await browser.post("/auth/refresh")
        given = [each for answer in (signed_in, issued, refreshed) for each in answer.headers.get_list("set-cookie")]
        cookies = [each for each in given if each.startswith(("auth_token=", "refresh_token="))]
        assert len(cookies) == 4
        assert all("; path=/;" in f"{each.lower()};" for each in cookies)
        held = [cookie.name for cookie in browser.cookies.jar]
        assert sorted(held) == ["auth_token", "known_device", "refresh_token"]


async def test_titles_are_always_text(page: Page) -> None:
    started = (await page.call("POST", "/conversations", {})).json()
    path = f"/conversations/{started['id']}"
    listed = (await page.call("GET", "/conversations?limit=25")).json()
    opened = (await page.call("GET", path)).json()
    changed = (await page.call("PATCH", path, {"is_active": True})).json()
    assert [started["title"], listed["data"][0]["title"], opened["title"], changed["title"]] == [""] * 4
    assert (await page.call("PATCH", path, {"title": "A name"})).json()["title"] == "A name"


@pytest.mark.parametrize("role", ["Member", "ADMIN", "viewer", "aPPROVER"])
async def test_team_page_adds_and_lists_members(page: Page, role: str) -> None:
    wanted = {"email": "bob@example.com", "role": role, "password": PASSWORD}
    made = await page.call("POST", "/team/members", wanted)
    assert (made.status_code, made.json()["role"]) == (201, role.lower())
    path = f"/team/members/{made.json()['id']}"
    assert (await page.call("PATCH", path, {"role": "Approver"})).json()["role"] == "approver"
    listed = (await page.call("GET", "/team/members")).json()
    assert [each["email"] for each in listed] == ["bob@example.com", EMAIL]
    check_types(listed[0], {"id": str, "role": str, "status": str, "created_at": int})
    assert (await page.call("DELETE", path)).is_success
    assert [each["email"] for each in (await page.call("GET", "/team/members")).json()] == [EMAIL]


async def test_integrations_page_adds_and_lists_integrations(page: Page) -> None:
    wanted = {name: value for name, value in jenkins_integration("").items() if name != "name"}
    made = await page.call("POST", "/integrations", wanted)
    assert (made.status_code, made.json()["name"]) == (201, "Jenkins")
    path = f"/integrations/{made.json()['id']}"
    changed = await page.call("PATCH", path, {"status": "disabled", "metadata": wanted["metadata"]})
    assert changed.json()["status"] == "disabled"
    listed = (await page.call("GET", "/integrations")).json()
    assert listed == [changed.json()]
    assert (await page.call("DELETE", path)).is_success


@pytest.mark.parametrize(
    "query", ["", "?last_n_days=7", "?start_date=2026-03-01&end_date=2026-03-02T12:00:00.000Z", "?last_n_days=366"]
)
async def test_analytics_page_reads_flat_figures(page: Page, query: str) -> None:
    answer = await page.call("GET", f"/analytics/metrics{query}")
    assert answer.status_code == 200, answer.text
    check_types(answer.json(), METRICS)
    if "start_date" in query:
        assert (answer.json()["since"], answer.json()["until"]) == ("2026-03-01", "2026-03-02")
        assert answer.json()["period_end"].startswith("2026-03-02T23:59:59")


@pytest.mark.parametrize("query", ["last_n_days=0", "last_n_days=367", "start_date=yesterday"])
async def test_analytics_refuses_an_impossible_period(page: Page, query: str) -> None:
    check_problem(await page.call("GET", f"/analytics/metrics?{query}"), 422)


async def test_profile_page_changes_name_and_password(page: Page) -> None:
    assert (await page.call("PATCH", "/auth/me", {"full_name": "Ana B."})).json()["full_name"] == "Ana B."
    wrong = {"current_password": "not it", "new_password": "a new and long one"}
    refused = check_problem(await page.call("PATCH", "/auth/users/me/password", wrong), 400)
    assert refused["detail"] == "The current password is wrong. Enter it again."
    changed = await page.call("PATCH", "/auth/users/me/password", {**wrong, "current_password": PASSWORD})
    assert changed.status_code == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_chat_page_reads_usage_of_the_answer(agent: EngineHarness) -> None:
    answer = await agent.me.ask("read the thing")
    used = answer.all("token.usage")
    assert {each["source"] for each in used} == {"main"}
    check_types(used[0], {"model": str, "prompt_tokens": int, "completion_tokens": int, "total_tokens": int})


@pytest.mark.asyncio(loop_scope="module")
async def test_edit_of_a_replaced_message_keeps_the_newer_branch(agent: EngineHarness) -> None:
    """A second tab still shows the message that the first one has replaced, and edits it too."""
    first = await agent.me.ask("hello")
    where = {"conversation_id": first.conversation_id}
    [old, _] = await agent.me.timeline(first.conversation_id)
    await agent.me.ask("read the thing", replaces=old["id"], **where)
    await agent.me.ask("hello again", **where)
    await agent.me.ask("hello from the other tab", replaces=old["id"], **where)
    said = [each["content"] for each in await agent.me.timeline(first.conversation_id) if each["type"] == "user"]
    assert said == ["read the thing", "hello again", "hello from the other tab"]
