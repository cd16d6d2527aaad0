"""Sign-in by a provider that lies, breaks off, or isn't there: refused with a sentence, and nobody comes in."""

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import pytest_asyncio
from starlette.responses import JSONResponse, RedirectResponse, Response

from src.api.adapters.oidc import kept, tokens, wire
from src.api.adapters.oidc.provider import OpenIdProvider
from src.api.oidc import _client
from src.api.ports import Reader
from src.api.schemas.records import User
from src.api.services.attempts import AUDIENCE
from src.api.services.oidc import OidcSignIn
from src.api.utils.clock import SystemClock
from tests.support.app import SECRET, Running, given, problem, running
from tests.support.hostile_provider import CLIENT, Forge, Hostile, hostile_provider, private_key, unsigned
from tests.support.oidc_provider import PAGES, Browser, a_browser

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("authorised")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def liar() -> AsyncIterator[Hostile]:
    async with hostile_provider() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, liar: Hostile) -> AsyncIterator[Running]:
    settings = given(
        tmp_path_factory.mktemp("data"),
        local_mode=True,
        public_url=PAGES,
        oidc_issuer=liar.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret="posted",
        oidc_roles={"admins": "admin"},
    )
    async with running(settings.model_copy(update={"local_mode": False})) as engine:
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def hostile(house: Running, liar: Hostile) -> AsyncIterator[Hostile]:
    """Unknown yet to the engine, which has kept nothing of it."""
    liar.reset()
    known = await sign_in(house)
    used = known._provider = OpenIdProvider(_client(house.settings), SystemClock())
    yield liar
    await used.aclose()


async def sign_in(house: Running) -> OidcSignIn:
    assert house.services.oidc is not None
    found = await house.services.oidc()
    assert isinstance(found, OidcSignIn)
    return found


async def provider_of(house: Running) -> OpenIdProvider:
    found = (await sign_in(house))._provider
    assert isinstance(found, OpenIdProvider)
    return found


async def sent(browser: Browser, hostile: Hostile) -> str:
    """Begins, and is sent back at once; the state."""
    answer = await browser.open("/auth/oidc/login")
    assert answer.status_code == 302, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (query["tenant"], query["code_challenge_method"]) == (["7"], ["S256"])
    hostile.nonce = query["nonce"][0]
    return query["state"][0]


async def came_back(house: Running, hostile: Hostile, **more: str) -> httpx.Response:
    async with a_browser(house.app) as browser:
        state = await sent(browser, hostile)
        return await browser.open("/auth/oidc/callback", params={"state": state, "code": "c", **more})


async def accounts(house: Running) -> list[User]:
    async def body(reader: Reader) -> list[User]:
        return await reader.find(User, {})

    return await house.services.conversations._store.read(body)


def claiming(**claims: Any) -> Forge:
    """A well-signed token with other claims; None: without that claim."""
    return lambda hostile, honest: hostile.signed(
        {name: value for name, value in {**honest, **claims}.items() if value is not None}
    )


def hashed_with_the_public_key(hostile: Hostile, honest: dict[str, Any]) -> str:
    """What a verifier takes for signed that lets the token choose its algorithm."""
    head = unsigned({"alg": "HS256", "kid": "first"}, honest).rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("HS256").sign(head.encode(), hostile.pem)
    return f"{head}.{jwt.utils.base64url_encode(signature).decode()}"


def altered(hostile: Hostile, honest: dict[str, Any]) -> str:
    head, _, signature = hostile.signed(honest).split(".")
    body = unsigned({}, {**honest, "sub": "admin"}).split(".")[1]
    return f"{head}.{body}.{signature}"


NOW = int(time.time())
BAD: dict[tuple[str, str], Forge] = {
    ("no signature", "algorithm"): lambda _, honest: unsigned({"alg": "none"}, honest),
    ("no signature, loudly", "algorithm"): lambda _, honest: unsigned({"alg": "NONE", "kid": "first"}, honest),
    ("the public key as a secret", "algorithm"): hashed_with_the_public_key,
    ("the client's secret as a key", "algorithm"): lambda _, honest: jwt.encode(
        honest, "posted" * 8, "HS256", {"kid": "first"}
    ),
    ("another key under a known name", "signature is wrong"): lambda _, honest: jwt.encode(
        honest, private_key(), "RS256", {"kid": "first"}
    ),
    ("an unknown key", "no key"): lambda hostile, honest: hostile.signed(honest, "second"),
    ("altered", "signature is wrong"): altered,
    ("an algorithm as a list", "algorithm"): lambda _, honest: unsigned({"alg": ["RS256"], "kid": "first"}, honest),
    ("its own key", "no key"): lambda hostile, honest: jwt.encode(
        honest, (own := private_key()), "RS256", {"jwk": hostile.public("mine", own), "kid": "mine"}
    ),
    ("a critical extension", "can't be read"): lambda hostile, honest: jwt.encode(
        honest, hostile.key, "RS256", {"kid": "first", "crit": ["exp2"], "exp2": 1}
    ),
    ("no token", "can't be read"): lambda *_: "x",
    ("another issuer", "another provider"): claiming(iss="https://evil.example"),
    ("no issuer", "missing"): claiming(iss=None),
    ("another client", "another application"): claiming(aud="another"),
    ("several clients, for another", "another application"): claiming(aud=["another", CLIENT], azp="another"),
    ("several clients, for nobody", "another application"): claiming(aud=["another", CLIENT]),
    ("for another party", "another application"): claiming(azp="another"),
    ("no client", "missing"): claiming(aud=None),
    ("another sign-in", "another sign-in"): claiming(nonce="another"),
    ("no nonce", "missing"): claiming(nonce=None),
    ("over", "time is over"): claiming(exp=NOW - 3_600),
    ("no end", "missing"): claiming(exp=None),
    ("an end that is none", "not whole"): claiming(exp="soon"),
    ("an endless end", "not whole"): claiming(exp=float("inf")),
    ("from the future", "not come"): claiming(iat=NOW + 3_600),
    ("from long ago", "too long ago"): claiming(iat=NOW - 3_600),
    ("no time", "missing"): claiming(iat=None),
    ("not yet", "not come"): claiming(nbf=NOW + 3_600),
    ("nobody", "missing"): claiming(sub=None),
    ("nobody at all", "claims"): claiming(sub=""),
    ("somebody unnameable", "claims"): claiming(sub="a\x00b"),
    ("somebody very long", "claims"): claiming(sub="x" * 256),
    ("a number", "not whole"): claiming(sub=7),
}


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(("bad", "forge"), BAD.items(), ids=[name for name, _ in BAD])
async def test_a_token_that_proves_nothing(
    house: Running, hostile: Hostile, bad: tuple[str, str], forge: Forge
) -> None:
    """Each for its own reason."""
    hostile.forge = forge
    before = await accounts(house)
    body = problem(await came_back(house, hostile), 400)
    assert body["reason"] == "oidc_token"
    assert bad[1] in body["detail"]
    assert await accounts(house) == before


async def test_an_honest_one_is_believed(house: Running, hostile: Hostile) -> None:
    """Who tells all in the ID token is not asked for more, and gets the client's secret where it wants it."""
    hostile.described = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await came_back(house, hostile)).status_code == 303
    assert hostile.form["client_secret"] == "posted"
    assert 43 <= len(hostile.form["code_verifier"]) <= 128
    for forge in (
        claiming(aud=["another", CLIENT], azp=CLIENT),
        claiming(iat=NOW - 30, exp=NOW + 3_600),
        claiming(groups="admins", email_verified="true"),
    ):
        hostile.forge = forge
        assert (await came_back(house, hostile)).status_code == 303
    assert [(user.email, user.role, user.is_verified) for user in await accounts(house)] == [
        ("zoe@example.com", "admin", True)
    ]
    assert hostile.asked["/keys"] == 1


@pytest.mark.parametrize(
    "published",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"kty": "oct", "k": "AAAA"},
        {"n": "AQAB"},
        {"kid": "other"},
    ],
)
async def test_a_key_for_something_else(house: Running, hostile: Hostile, published: dict[str, str]) -> None:
    hostile.published = [{**hostile.public("first"), **published}]
    assert problem(await came_back(house, hostile), 400)["reason"] == "oidc_token"


async def test_a_key_that_is_too_short(house: Running, hostile: Hostile) -> None:
    hostile.key = private_key(1_024)
    hostile.published = [hostile.public("first")]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        answer = await came_back(house, hostile)
    assert problem(answer, 400)["reason"] == "oidc_token"


async def test_a_key_without_a_name_must_be_the_only_one(house: Running, hostile: Hostile) -> None:
    hostile.forge = lambda provider, honest: provider.signed(honest, None)
    assert (await came_back(house, hostile)).status_code == 303
    hostile.published = [hostile.public("first"), hostile.public("second", private_key())]
    (await provider_of(house))._id_tokens._keys._kept._value = None
    assert problem(await came_back(house, hostile), 400)["reason"] == "oidc_token"


async def test_new_keys_are_fetched_when_one_is_unknown_but_not_again_at_once(house: Running, hostile: Hostile) -> None:
    assert (await came_back(house, hostile)).status_code == 303
    hostile.key = private_key()
    hostile.published = [hostile.public("second")]
    hostile.forge = lambda provider, honest: provider.signed(honest, "second")
    assert (await came_back(house, hostile)).status_code == 303
    assert hostile.asked["/keys"] == 2
    hostile.forge = lambda provider, honest: provider.signed(honest, "third")
    for _ in range(3):
        assert problem(await came_back(house, hostile), 400)["reason"] == "oidc_token"
    assert hostile.asked["/keys"] == 2
    assert tokens.REFRESH_SECONDS >= 10


async def test_a_session_begins_once_even_where_a_code_works_twice(house: Running, hostile: Hostile) -> None:
    async with a_browser(house.app) as browser:
        state = await sent(browser, hostile)
        cookie = {"Cookie": f"oidc_sign_in={browser.http.cookies['oidc_sign_in']}"}
        query = {"state": state, "code": "c"}
        assert (await browser.open("/auth/oidc/callback", params=query)).status_code == 303
        browser.http.cookies.clear()
        again = await browser.open("/auth/oidc/callback", params=query, headers=cookie)
    assert problem(again, 400)["reason"] == "oidc_state"


@pytest.mark.parametrize("claims", [{"aud": "fastapi-users:auth"}, {"exp": 1}, {"state": "other"}])
async def test_a_cookie_that_is_not_of_this_sign_in(house: Running, hostile: Hostile, claims: dict[str, Any]) -> None:
    async with a_browser(house.app) as browser:
        state = await sent(browser, hostile)
        told = jwt.decode(browser.http.cookies["oidc_sign_in"], SECRET, ["HS256"], audience=AUDIENCE)
        forged = jwt.encode({**told, **claims}, SECRET, "HS256")
        foreign = jwt.encode(told, SECRET[::-1], "HS256")
        browser.http.cookies.clear()
        for cookie in (forged, foreign, "x", ""):
            answer = await browser.open(
                "/auth/oidc/callback",
                params={"state": state, "code": "c"},
                headers={"Cookie": f"oidc_sign_in={cookie}"},
            )
            assert problem(answer, 400)["reason"] == "oidc_state"
    assert hostile.asked["/token"] == 0


async def test_the_sender_of_the_answer(house: Running, hostile: Hostile) -> None:
    """One that says who it is must be ours; one that promised to say it must."""
    assert (await came_back(house, hostile, iss=hostile.issuer)).status_code == 303
    assert problem(await came_back(house, hostile, iss=f"{hostile.issuer}/"), 400)["reason"] == "oidc_issuer"
    assert hostile.asked["/token"] == 1


async def test_a_person_told_of_by_userinfo_is_the_one_who_signed_in(house: Running, hostile: Hostile) -> None:
    hostile.described = {"userinfo_endpoint": f"{hostile.issuer}/me"}
    hostile.forge = claiming(groups=None, email=None)
    told = {"email": "zoe@example.com", "groups": ["admins"]}
    hostile.answers["/me"] = lambda: JSONResponse({"sub": "admin", **told})
    assert problem(await came_back(house, hostile), 400)["reason"] == "oidc_token"
    hostile.answers["/me"] = lambda: JSONResponse({"sub": "zoe", **told})
    assert (await came_back(house, hostile)).status_code == 303


async def test_groups_may_lie_deeper(house: Running, hostile: Hostile) -> None:
    provider = await provider_of(house)
    for name, claims, groups in (
        ("realm_access.roles", {"realm_access": {"roles": ["a", 7, "b"]}}, {"a", "b"}),
        ("https://example.com/groups", {"https://example.com/groups": ["a"]}, {"a"}),
        ("groups", {"groups": {"a": 1}}, set()),
        ("a.b", {"a": ["b"]}, set()),
    ):
        object.__setattr__(provider._client, "groups_claim", name)
        assert provider._person("zoe", claims).groups == groups


ANSWERS: dict[str, Response] = {
    "an error": Response("oops", 500),
    "a page": Response("<html>"),
    "a list": JSONResponse([]),
    "another place": RedirectResponse("http://127.0.0.1:9/"),
    "nothing": Response(),
    "too much": Response(b'{"' + b"x" * (wire.ANSWER_BYTES + 1)),
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_none(house: Running, hostile: Hostile, path: str, answer: Response) -> None:
    hostile.answers[path] = lambda: answer
    async with a_browser(house.app) as browser:
        began = await browser.open("/auth/oidc/login")
        if path.startswith("/."):
            body = problem(began, 503)
        else:
            state = parse_qs(urlsplit(began.headers["location"]).query)["state"][0]
            body = problem(await browser.open("/auth/oidc/callback", params={"state": state, "code": "c"}), 503)
    assert body["code"] == "identity_unavailable"


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"jwks_uri": "https://"},
        {"authorization_endpoint": None},
    ],
)
async def test_a_description_that_can_not_be(house: Running, hostile: Hostile, described: dict[str, Any]) -> None:
    hostile.described = described
    async with a_browser(house.app) as browser:
        assert problem(await browser.open("/auth/oidc/login"), 503)["code"] == "identity_unavailable"


async def test_a_provider_that_is_away(house: Running, hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked again by each who comes; a browser is shown the page for it; the probe says so."""
    hostile.answers["/.well-known/openid-configuration"] = lambda: Response(status_code=502)
    async with a_browser(house.app) as browser:
        for _ in range(3):
            problem(await browser.open("/auth/oidc/login"), 503)
        shown = await browser.open("/auth/oidc/login", headers={"Accept": "text/html"})
        ready = (await browser.open("/health/ready")).json()
        assert hostile.asked["/.well-known/openid-configuration"] == 1
        assert shown.headers["location"] == f"{PAGES}/login?error=identity_unavailable"
        state = {each["name"]: each for each in ready["dependencies"]}["oidc"]
        assert (state["state"], state["error"]) == ("error", None)
        hostile.answers.clear()
        monkeypatch.setattr(kept, "REST_SECONDS", 0)
        assert (await browser.open("/auth/oidc/login")).status_code == 302


async def test_what_is_plain_is_not_spoken_to_by_who_must_not(house: Running, hostile: Hostile) -> None:
    provider = await provider_of(house)
    object.__setattr__(provider._client, "plain", False)
    async with a_browser(house.app) as browser:
        assert "not encrypted" in problem(await browser.open("/auth/oidc/login"), 503)["detail"]
