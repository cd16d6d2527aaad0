"""Decide by a field's name whether its value is likely a secret.

A name is split into words first (`ACCOUNT_PASSWORD`, `dbPassword`, `x-api-key`), so that `count` inside of `ACCOUNT`
means nothing, and a plural or a describing last word (`secrets`, `tokenTTL`, `password_file`) marks what is no secret.
"""

import re
from functools import lru_cache

__all__ = [
    "is_name_of_object",
    "is_object_reference",
    "is_plain_value",
    "is_plural_of_secrets",
    "is_secret_name",
    "word_set",
    "words_of",
]

_LONGEST_NAME = 256
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_SECRETS = word_set(
    "password passwd passwort pwd passphrase passcode secret token credential credentials cred creds "
    "authorization cookie jwt bearer dockerconfigjson dockercfg htpasswd netrc pgpass apikey apikeys accesskey "
    "secretkey privatekey masterkey authkey accountkey signingkey encryptionkey sharedkey requirepass masterauth psk "
    "otp totp"
)
_ENDINGS = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "token",
    "secret",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "masterkey",
    "authkey",
    "accountkey",
    "signingkey",
    "encryptionkey",
    "sharedkey",
    "credential",
    "credentials",
    "pwd",
    "jwt",
)
_BEFORE_PASS = word_set(
    "admin auth bind client cluster db ftp host imap key keystore ldap login mail mongo mysql os pg postgres "
    "rabbitmq redis repl require root server smtp sql ssh store su sudo superuser truststore user vnc"
)
_JOINED_PASS = frozenset(f"{before}pass" for before in _BEFORE_PASS)
_JOINED_PW = frozenset(f"{before}pw" for before in _BEFORE_PASS) | {"pw"}
_NOT_BEFORE_PASS = word_set(
    "proxy fastcgi uwsgi grpc scgi memcached by low high band all num first second one two single multi"
)
_KEY_OWNERS = word_set(
    "access account api app application auth client connection consumer cookie credential crypt decryption deploy "
    "encrypt encryption fernet function hmac host integration jwt licence license master private registration "
    "root rsa secret service session shared signature signing ssh storage subscription tls webhook write admin "
    "aes preshared"
)
_DESCRIBING = word_set(
    "name names ref refs reference references path paths file files filename dir directory location url urls uri "
    "uris endpoint endpoints host hosts hostname port kind kinds type types ttl count counts counter length len "
    "size sizes enabled enable disabled disable algorithm algorithms alg version versions expiry expires expired "
    "expire expiration expirations expiring seconds minutes hours days ms millis policy policies class classes "
    "provider providers review reviews mount mounts mounted volume volumes id ids keyref namespace namespaces "
    "selector template templates store stores manager controller operator webhook webhooks prefix suffix format "
    "field fields column header headers issuer issuers audience audiences lifetime duration interval timeout age "
    "mode status state error errors reset strength complexity rule rules rotation rotate budget limit limits max "
    "min used usage required optional rate bucket buckets samesite domain secure httponly change changed changes "
    "by at from source sources method methods service services generator exchange request requests response "
    "validation validator description title label labels annotation annotations config configuration settings "
    "options option scope scopes sync syncer cleaner signer exists present hint help prompt placeholder schema "
    "env variable variables key keys index injector checksum sha sha256 digest percent ratio generation recreate "
    "refresh immutable creation created updated deleted auth"
)
_NEVER_BEFORE = word_set("max min num number total completion prompt n per count next page continue continuation")
_STILL_SECRET = frozenset(
    [
        ("webhook", "url"),
        ("access", "key", "id"),
        ("secret", "id"),
        ("client", "key", "data"),
        ("client", "certificate", "data"),
        ("auth", "salt"),
        ("nonce", "salt"),
        ("password", "salt"),
        ("secret", "salt"),
        ("secret", "value"),
        ("password", "value"),
        ("token", "value"),
        ("slack", "webhook"),
        ("discord", "webhook"),
        ("teams", "webhook"),
        ("secret", "key"),
        ("credential", "key"),
        ("cookie", "key"),
        ("recovery", "code"),
        ("recovery", "codes"),
        ("backup", "codes"),
        ("webhook", "key"),
        ("mfa", "code"),
        ("otp", "code"),
        ("verification", "code"),
    ]
)
_REFERRING = word_set(
    "admin auth ca cert certificate certs config credentials creds database db default docker env existing "
    "external from image issuer keystore pull pullsecret registry repo repository root ssl source ssh store "
    "target tls token truststore password user volume"
)
_PLURALS = word_set("passwords secrets tokens credentials creds apikeys")
_OBJECT_NAME = re.compile(r"\A[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?:/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)?\Z")
_PLAIN = re.compile(
    r"(?i)\A(?:null|none|true|false|nil|undefined|~|yes|no|on|off|\*+|<[^<>]{0,80}>|\$\{[A-Za-z0-9_.]{0,80}\}"
    r"|\$\([^()]{0,80}\)|\{\{[^{}]{0,200}\}\}|<set to the key .{0,400}|<not set>.{0,80})\Z"
)
_VARIABLE = re.compile(r"\A\$[A-Z_][A-Z0-9_]{2,60}\Z")
_FILE = re.compile(
    r"\A(?:file://)?/(?:etc|var|run|usr|opt|home|mnt|tmp|secrets?|vault|root|srv|app|data|config|conf|certs?|ssl|keys?|pki)"
    r"/[A-Za-z0-9_./@-]{1,300}\Z"
)
_NO_CODE = re.compile(r"\A(?:[a-z-]{1,20}|\d{1,3}(?:\.\d{1,6}){0,4})\Z")
_DIRECTORY = re.compile(r"\A/[A-Za-z0-9_./-]{0,300}\Z")


@lru_cache(maxsize=8192)
def words_of(name: str) -> tuple[str, ...]:
    """Split a field's name into lower-case words; of an annotation's key only the part behind the domain."""
    return tuple(word.lower() for word in _WORD.findall(name[-_LONGEST_NAME:].rpartition("/")[2]))


@lru_cache(maxsize=8192)
def is_secret_name(name: str) -> bool:
    """Tell whether a value under this name is likely a password, a token or a key."""
    words = words_of(name) if "checksum" not in name else ()
    while words and words[-1].isdigit():
        words = words[:-1]
    if not words or words[:3] == ("agent", "inject", "secret"):  # Vault's annotation: its value is a path
        return False
    if any(words[-len(ending) :] == ending for ending in _STILL_SECRET):
        return True
    last = _last_secret_word(words)
    if last is None or words[-1] in _DESCRIBING - _words_at(words, last):
        return False
    return not (last > 0 and words[last - 1] in _NEVER_BEFORE and words[last] in ("token", "secret", "key"))


def is_plural_of_secrets(name: str) -> bool:
    """Tell whether an object under this name maps names to secrets, as `passwords: {alice: ...}` does."""
    words = words_of(name)
    return bool(words) and (words[-1] in _PLURALS or words[-2:] == ("api", "keys"))


def is_plain_value(name: str, value: str) -> bool:
    """Tell whether a value is none of a secret although its name is: empty, a placeholder, a variable or a file."""
    if not value or _PLAIN.match(value) or _VARIABLE.match(value) or _FILE.match(value):
        return True
    if words_of(name)[-1:] == ("otp",) and _NO_CODE.match(value):  # or Erlang's version
        return True
    return words_of(name) in (("pwd",), ("oldpwd",)) and bool(_DIRECTORY.match(value))


def is_name_of_object(value: str) -> bool:
    """Tell whether a value is written as the names of Kubernetes' objects are."""
    return bool(_OBJECT_NAME.match(value))


def is_object_reference(name: str, value: str) -> bool:
    """Tell whether `existingSecret: my-secret` and the like name a Secret instead of holding one."""
    words = words_of(name)
    refers = words[-1:] == ("secret",) and words[-2:-1] and words[-2] in _REFERRING and "_" not in name
    return bool(refers or "existing" in words) and bool(_OBJECT_NAME.match(value))


def _words_at(words: tuple[str, ...], last: int) -> frozenset[str]:
    """The last word itself where it is part of the secret's name, as `key` in `api_key`."""
    return frozenset(words[last:]) if last == len(words) - 1 else frozenset()


def _last_secret_word(words: tuple[str, ...]) -> int | None:
    for index in range(len(words) - 1, -1, -1):
        if _is_secret_word(words, index):
            return index
    return None


def _is_secret_word(words: tuple[str, ...], index: int) -> bool:
    word = words[index]
    before = words[index - 1] if index else ""
    if word in _SECRETS or word.endswith(_ENDINGS) or word in _JOINED_PASS or word in _JOINED_PW:
        return True
    if word == "pass":
        return index == len(words) - 1 and before not in _NOT_BEFORE_PASS
    return word in ("key", "keys") and before in _KEY_OWNERS
