"""OIDC sign-in against a hostile, broken or unreachable provider: refused with a reason, and no account is created."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import pytest_asyncio
from starlette.responses import JSONResponse, RedirectResponse, Response

from skyflo_common.clock import SystemClock
from src.api.adapters.oidc import cache, id_tokens
from src.api.adapters.oidc import http as oidc_http
from src.api.adapters.oidc.provider import OpenIdProvider
from src.api.oidc import _client
from src.api.ports import Reader
from src.api.schemas.records import User
from src.api.services.accounts.oidc.attempts import AUDIENCE
from src.api.services.accounts.oidc.service import OidcSignIn
from tests.support.app import SECRET, RunningApp, check_problem, make_settings, run_app
from tests.support.hostile_provider import (
    CLIENT,
    FromNow,
    HostileProvider,
    TokenFactory,
    open_hostile_provider,
    private_key,
    unsigned,
)
from tests.support.oidc_provider import PAGES, Browser, open_browser

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("authorised")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_provider() -> AsyncIterator[HostileProvider]:
    async with open_hostile_provider() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def oidc_engine(
    tmp_path_factory: pytest.TempPathFactory, shared_provider: HostileProvider
) -> AsyncIterator[RunningApp]:
    settings = make_settings(
        tmp_path_factory.mktemp("data"),
        local_mode=True,
        public_url=PAGES,
        oidc_issuer=shared_provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret="posted",
        oidc_roles={"admins": "admin"},
    )
    async with run_app(settings.model_copy(update={"local_mode": False})) as engine:
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def hostile(oidc_engine: RunningApp, shared_provider: HostileProvider) -> AsyncIterator[HostileProvider]:
    """The hostile provider, reset, with nothing about it in the engine's caches."""
    shared_provider.reset()
    known = await sign_in_service(oidc_engine)
    used = known.provider = OpenIdProvider(_client(oidc_engine.settings), SystemClock())
    yield shared_provider
    await used.aclose()


async def sign_in_service(oidc_engine: RunningApp) -> OidcSignIn:
    assert oidc_engine.services.oidc is not None
    found = await oidc_engine.services.oidc()
    assert isinstance(found, OidcSignIn)
    return found


async def provider_adapter(oidc_engine: RunningApp) -> OpenIdProvider:
    found = (await sign_in_service(oidc_engine)).provider
    assert isinstance(found, OpenIdProvider)
    return found


async def start_sign_in(browser: Browser, hostile: HostileProvider) -> str:
    """Start a sign-in and return the `state` that the engine sent to the provider."""
    answer = await browser.open("/auth/oidc/login")
    assert answer.status_code == 302, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (query["tenant"], query["code_challenge_method"]) == (["7"], ["S256"])
    hostile.nonce = query["nonce"][0]
    return query["state"][0]


async def complete_sign_in(oidc_engine: RunningApp, hostile: HostileProvider, **more: str) -> httpx.Response:
    async with open_browser(oidc_engine.app) as browser:
        state = await start_sign_in(browser, hostile)
        return await browser.open("/auth/oidc/callback", params={"state": state, "code": "c", **more})


async def list_accounts(oidc_engine: RunningApp) -> list[User]:
    async def body(reader: Reader) -> list[User]:
        return await reader.find(User, {})

    return await oidc_engine.services.conversations.store.read(body)


def with_claims(**claims: Any) -> TokenFactory:
    """Sign a valid ID token with these claims changed; None removes a claim."""
    return lambda hostile, honest: hostile.signed(
        {name: value for name, value in {**honest, **claims}.items() if value is not None}
    )


def sign_with_public_key_as_secret(hostile: HostileProvider, honest: dict[str, Any]) -> str:
    """Sign with HMAC and the public key as the secret, for a verifier that lets the token choose its algorithm."""
    head = unsigned({"alg": "HS256", "kid": "first"}, honest).rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("HS256").sign(head.encode(), hostile.pem)
    return f"{head}.{jwt.utils.base64url_encode(signature).decode()}"


def alter_payload(hostile: HostileProvider, honest: dict[str, Any]) -> str:
    head, _, signature = hostile.signed(honest).split(".")
    body = unsigned({}, {**honest, "sub": "admin"}).split(".")[1]
    return f"{head}.{body}.{signature}"


INVALID_TOKENS: dict[tuple[str, str], TokenFactory] = {
    ("no signature", "algorithm"): lambda _, honest: unsigned({"alg": "none"}, honest),
    ("no signature, loudly", "algorithm"): lambda _, honest: unsigned({"alg": "NONE", "kid": "first"}, honest),
    ("the public key as a secret", "algorithm"): sign_with_public_key_as_secret,
    ("the client's secret as a key", "algorithm"): lambda _, honest: jwt.encode(
        honest, "posted" * 8, "HS256", {"kid": "first"}
    ),
    ("another key under a known name", "signature is wrong"): lambda _, honest: jwt.encode(
        honest, private_key(), "RS256", {"kid": "first"}
    ),
    ("an unknown key", "none of the provider's keys"): lambda hostile, honest: hostile.signed(honest, "second"),
    ("altered", "signature is wrong"): alter_payload,
    ("an algorithm as a list", "algorithm"): lambda _, honest: unsigned({"alg": ["RS256"], "kid": "first"}, honest),
    ("its own key", "none of the provider's keys"): lambda hostile, honest: jwt.encode(
        honest, (own := private_key()), "RS256", {"jwk": hostile.public("mine", own), "kid": "mine"}
    ),
    ("a critical extension", "can't be read"): lambda hostile, honest: jwt.encode(
        honest, hostile.key, "RS256", {"kid": "first", "crit": ["exp2"], "exp2": 1}
    ),
    ("no token", "can't be read"): lambda *_: "x",
    ("another issuer", "another provider"): with_claims(iss="https://evil.example"),
    ("no issuer", "missing"): with_claims(iss=None),
    ("another client", "another application"): with_claims(aud="another"),
    ("several clients, for another", "another application"): with_claims(aud=["another", CLIENT], azp="another"),
    ("several clients, for nobody", "another application"): with_claims(aud=["another", CLIENT]),
    ("for another party", "another application"): with_claims(azp="another"),
    ("no client", "missing"): with_claims(aud=None),
    ("another sign-in", "another sign-in"): with_claims(nonce="another"),
    ("no nonce", "missing"): with_claims(nonce=None),
    ("over", "has expired"): with_claims(exp=FromNow(-3_600)),
    ("no end", "missing"): with_claims(exp=None),
    ("an end that is none", "incomplete"): with_claims(exp="soon"),
    ("an endless end", "incomplete"): with_claims(exp=float("inf")),
    ("from the future", "not valid yet"): with_claims(iat=FromNow(3_600)),
    ("from long ago", "too long ago"): with_claims(iat=FromNow(-3_600)),
    ("no time", "missing"): with_claims(iat=None),
    ("not yet", "not valid yet"): with_claims(nbf=FromNow(3_600)),
    ("nobody", "missing"): with_claims(sub=None),
    ("nobody at all", "claims"): with_claims(sub=""),
    ("somebody unnameable", "claims"): with_claims(sub="a\x00b"),
    ("somebody very long", "claims"): with_claims(sub="x" * 256),
    ("a number", "incomplete"): with_claims(sub=7),
}


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(("bad", "make_token"), INVALID_TOKENS.items(), ids=[name for name, _ in INVALID_TOKENS])
async def test_invalid_id_token_is_refused(
    oidc_engine: RunningApp, hostile: HostileProvider, bad: tuple[str, str], make_token: TokenFactory
) -> None:
    """Each token is refused for the reason that its case names."""
    hostile.make_token = make_token
    before = await list_accounts(oidc_engine)
    body = check_problem(await complete_sign_in(oidc_engine, hostile), 400)
    assert body["reason"] == "oidc_token"
    assert bad[1] in body["detail"]
    assert await list_accounts(oidc_engine) == before


async def test_valid_id_token_signs_in(oidc_engine: RunningApp, hostile: HostileProvider) -> None:
    """Without missing claims, userinfo is not requested; the client secret goes where the provider wants it."""
    hostile.extra_metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await complete_sign_in(oidc_engine, hostile)).status_code == 303
    assert hostile.form["client_secret"] == "posted"
    assert 43 <= len(hostile.form["code_verifier"]) <= 128
    for make_token in (
        with_claims(aud=["another", CLIENT], azp=CLIENT),
        with_claims(iat=FromNow(-30), exp=FromNow(3_600)),
        with_claims(groups="admins", email_verified="true"),
    ):
        hostile.make_token = make_token
        assert (await complete_sign_in(oidc_engine, hostile)).status_code == 303
    assert [(user.email, user.role, user.is_verified) for user in await list_accounts(oidc_engine)] == [
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
async def test_key_for_another_purpose_is_refused(
    oidc_engine: RunningApp, hostile: HostileProvider, published: dict[str, str]
) -> None:
    hostile.published = [{**hostile.public("first"), **published}]
    assert check_problem(await complete_sign_in(oidc_engine, hostile), 400)["reason"] == "oidc_token"


async def test_short_key_is_refused(oidc_engine: RunningApp, hostile: HostileProvider) -> None:
    hostile.key = private_key(1_024)
    hostile.published = [hostile.public("first")]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        answer = await complete_sign_in(oidc_engine, hostile)
    assert check_problem(answer, 400)["reason"] == "oidc_token"


async def test_token_without_key_id_requires_single_key(oidc_engine: RunningApp, hostile: HostileProvider) -> None:
    hostile.make_token = lambda provider, honest: provider.signed(honest, None)
    assert (await complete_sign_in(oidc_engine, hostile)).status_code == 303
    hostile.published = [hostile.public("first"), hostile.public("second", private_key())]
    (await provider_adapter(oidc_engine))._id_tokens._keys._cache._value = None
    assert check_problem(await complete_sign_in(oidc_engine, hostile), 400)["reason"] == "oidc_token"


async def test_unknown_key_refreshes_keys_at_most_once_per_interval(
    oidc_engine: RunningApp, hostile: HostileProvider
) -> None:
    assert (await complete_sign_in(oidc_engine, hostile)).status_code == 303
    hostile.key = private_key()
    hostile.published = [hostile.public("second")]
    hostile.make_token = lambda provider, honest: provider.signed(honest, "second")
    assert (await complete_sign_in(oidc_engine, hostile)).status_code == 303
    assert hostile.asked["/keys"] == 2
    hostile.make_token = lambda provider, honest: provider.signed(honest, "third")
    for _ in range(3):
        assert check_problem(await complete_sign_in(oidc_engine, hostile), 400)["reason"] == "oidc_token"
    assert hostile.asked["/keys"] == 2
    assert id_tokens.REFRESH_SECONDS >= 10


async def test_callback_starts_one_session_even_if_code_is_reusable(
    oidc_engine: RunningApp, hostile: HostileProvider
) -> None:
    async with open_browser(oidc_engine.app) as browser:
        state = await start_sign_in(browser, hostile)
        cookie = {"Cookie": f"oidc_sign_in={browser.http.cookies['oidc_sign_in']}"}
        query = {"state": state, "code": "c"}
        assert (await browser.open("/auth/oidc/callback", params=query)).status_code == 303
        browser.http.cookies.clear()
        again = await browser.open("/auth/oidc/callback", params=query, headers=cookie)
    assert check_problem(again, 400)["reason"] == "oidc_state"


@pytest.mark.parametrize("claims", [{"aud": "fastapi-users:auth"}, {"exp": 1}, {"state": "other"}])
async def test_cookie_of_another_sign_in_is_refused(
    oidc_engine: RunningApp, hostile: HostileProvider, claims: dict[str, Any]
) -> None:
    async with open_browser(oidc_engine.app) as browser:
        state = await start_sign_in(browser, hostile)
        claimed = jwt.decode(browser.http.cookies["oidc_sign_in"], SECRET, ["HS256"], audience=AUDIENCE)
        forged = jwt.encode({**claimed, **claims}, SECRET, "HS256")
        foreign = jwt.encode(claimed, SECRET[::-1], "HS256")
        browser.http.cookies.clear()
        for cookie in (forged, foreign, "x", ""):
            answer = await browser.open(
                "/auth/oidc/callback",
                params={"state": state, "code": "c"},
                headers={"Cookie": f"oidc_sign_in={cookie}"},
            )
            assert check_problem(answer, 400)["reason"] == "oidc_state"
    assert hostile.asked["/token"] == 0


async def test_issuer_parameter_must_match(oidc_engine: RunningApp, hostile: HostileProvider) -> None:
    """An `iss` parameter must match, and it is required if the provider announced it."""
    assert (await complete_sign_in(oidc_engine, hostile, iss=hostile.issuer)).status_code == 303
    assert (
        check_problem(await complete_sign_in(oidc_engine, hostile, iss=f"{hostile.issuer}/"), 400)["reason"]
        == "oidc_issuer"
    )
    assert hostile.asked["/token"] == 1


async def test_userinfo_subject_must_match_id_token(oidc_engine: RunningApp, hostile: HostileProvider) -> None:
    hostile.extra_metadata = {"userinfo_endpoint": f"{hostile.issuer}/me"}
    hostile.make_token = with_claims(groups=None, email=None)
    claimed = {"email": "zoe@example.com", "groups": ["admins"]}
    hostile.answers["/me"] = lambda: JSONResponse({"sub": "admin", **claimed})
    assert check_problem(await complete_sign_in(oidc_engine, hostile), 400)["reason"] == "oidc_token"
    hostile.answers["/me"] = lambda: JSONResponse({"sub": "zoe", **claimed})
    assert (await complete_sign_in(oidc_engine, hostile)).status_code == 303


async def test_groups_claim_may_be_nested(oidc_engine: RunningApp, hostile: HostileProvider) -> None:
    provider = await provider_adapter(oidc_engine)
    for name, claims, groups in (
        ("realm_access.roles", {"realm_access": {"roles": ["a", 7, "b"]}}, {"a", "b"}),
        ("https://example.com/groups", {"https://example.com/groups": ["a"]}, {"a"}),
        ("groups", {"groups": {"a": 1}}, set()),
        ("a.b", {"a": ["b"]}, set()),
    ):
        object.__setattr__(provider._client, "groups_claim", name)
        assert provider._build_person("zoe", claims).groups == groups


INVALID_ANSWERS: dict[str, Response] = {
    "an error": Response("oops", 500),
    "a page": Response("<html>"),
    "a list": JSONResponse([]),
    "another place": RedirectResponse("http://127.0.0.1:9/"),
    "nothing": Response(),
    "too much": Response(b'{"' + b"x" * (oidc_http.MAX_RESPONSE_BYTES + 1)),
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
@pytest.mark.parametrize("answer", INVALID_ANSWERS.values(), ids=INVALID_ANSWERS)
async def test_invalid_provider_response_is_unavailable(
    oidc_engine: RunningApp, hostile: HostileProvider, path: str, answer: Response
) -> None:
    hostile.answers[path] = lambda: answer
    async with open_browser(oidc_engine.app) as browser:
        began = await browser.open("/auth/oidc/login")
        if path.startswith("/."):
            body = check_problem(began, 503)
        else:
            state = parse_qs(urlsplit(began.headers["location"]).query)["state"][0]
            body = check_problem(await browser.open("/auth/oidc/callback", params={"state": state, "code": "c"}), 503)
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
async def test_invalid_provider_metadata_is_unavailable(
    oidc_engine: RunningApp, hostile: HostileProvider, described: dict[str, Any]
) -> None:
    hostile.extra_metadata = described
    async with open_browser(oidc_engine.app) as browser:
        assert check_problem(await browser.open("/auth/oidc/login"), 503)["code"] == "identity_unavailable"


async def test_unreachable_provider_is_unavailable(
    oidc_engine: RunningApp, hostile: HostileProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later sign-ins do not repeat the request; browsers go to the error page; health reports the outage."""
    hostile.answers["/.well-known/openid-configuration"] = lambda: Response(status_code=502)
    async with open_browser(oidc_engine.app) as browser:
        for _ in range(3):
            check_problem(await browser.open("/auth/oidc/login"), 503)
        shown = await browser.open("/auth/oidc/login", headers={"Accept": "text/html"})
        ready = (await browser.open("/health/ready")).json()
        assert hostile.asked["/.well-known/openid-configuration"] == 1
        assert shown.headers["location"] == f"{PAGES}/login?error=identity_unavailable"
        state = {each["name"]: each for each in ready["dependencies"]}["oidc"]
        assert (state["state"], state["error"]) == ("error", None)
        hostile.answers.clear()
        monkeypatch.setattr(cache, "RETRY_SECONDS", 0)
        assert (await browser.open("/auth/oidc/login")).status_code == 302


async def test_unencrypted_provider_is_refused_outside_local_mode(
    oidc_engine: RunningApp, hostile: HostileProvider
) -> None:
    provider = await provider_adapter(oidc_engine)
    object.__setattr__(provider._client, "allow_http", False)
    async with open_browser(oidc_engine.app) as browser:
        assert "without TLS" in check_problem(await browser.open("/auth/oidc/login"), 503)["detail"]
