"""The runtime's environment, read once by typed readers. A bad value stops the start with its name."""

import os
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from contracts.destinations import Policy
from contracts.runtime import TOKEN_ISSUER
from tenant_runtime.access.public_keys import PublicKey, jwks_read
from tenant_runtime.engine.serde.sealing import SealKey, seal_keys_parse
from tenant_runtime.errors import SettingsInvalid

PACKAGED_MANIFEST = Path(__file__).parent / "agents" / "examples" / "agents.toml"
OFFLINE_MODEL = "offline-rules-1"
OFFLINE_EMBEDDING = "offline-hash-1"
_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")


_SECRET_ARN = re.compile(r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:\S+$")
POSTGRES_SCHEMES = ("postgresql", "postgres")
#: The `s` at the end stands for TLS.
VECTOR_SCHEMES = ("weaviate", "weaviates", "qdrant", "qdrants")
PAGES_ALLOW = "RUNTIME_PAGES_ALLOW"
MAIL_URL, MAIL_TOKEN = "RUNTIME_MAIL_URL", "RUNTIME_MAIL_TOKEN"


@dataclass(frozen=True)
class ManagedDatabase:
    """A Postgres whose password AWS keeps and changes; `ca_file` holds the authorities its certificate is by."""

    secret_arn: str
    host: str
    port: int
    name: str
    ca_file: Path


@dataclass(frozen=True)
class Settings:
    """What `serve` needs. Secrets are kept out of `repr`, so that no log line can show them.

    Exactly one of `database_url` and `managed_database` is set.
    """

    database_url: str | None = field(repr=False)
    managed_database: ManagedDatabase | None
    redis_url: str | None = field(repr=False)
    vector_url: str | None = field(repr=False)
    vector_api_key: str | None = field(repr=False)
    api_key: str | None = field(repr=False)
    admin_key: str | None = field(repr=False)
    token_keys: Mapping[str, PublicKey]
    token_issuer: str | None
    public_url: str | None
    encryption_keys: tuple[SealKey, ...] = field(repr=False)
    """The first seals what is stored of threads, all open it. None at all: RUNTIME_ENCRYPTION is off."""
    sealing_grace_s: int
    delta_channels: bool
    thread_ttl_minutes: int
    run_log_s: int
    tenant: str
    replica: str
    usage_url: str | None
    usage_token: str | None = field(repr=False)
    model_base_url: str | None
    model_api_key: str | None = field(repr=False)
    model_name: str
    embedding_model: str
    #: Runs that execute in one process at once; 0 leaves them all to other workers.
    max_runs: int
    #: Runs of one user that execute at once, over all workers; 0 for no bound.
    user_runs: int
    #: How many workers may be lost over one run.
    max_attempts: int
    pool_size: int
    storage_interval_s: int
    log_level: str
    drain_s: int
    state_dir: Path | None
    predecessor: int | None
    webhook_secrets: tuple[str, ...] = field(repr=False)
    webhook_policy: Policy
    pages_allow: frozenset[str]
    """Origins the tool `read_page` may read."""
    mail_url: str | None
    """Where the example tool `send_mail` posts; without it, mails are only recorded."""
    mail_token: str | None = field(repr=False)


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an http URL, in the one form they are compared in; None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


class Reader:
    """Typed access to one mapping of environment values; `NAME_FILE` may hold a secret's path instead."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str | None = None) -> str | None:
        value = self._environ.get(name, "").strip()
        return value or default

    def secret(self, name: str) -> str | None:
        """The value of NAME, else the first line of the file NAME_FILE names. Both at once is refused."""
        plain, path = self.text(name), self.text(f"{name}_FILE")
        if plain and path:
            raise SettingsInvalid(f"{name}: found both {name} and {name}_FILE; wanted one of them")
        if not path:
            return plain
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsInvalid(
                f"{name}_FILE: found a path that cannot be read ({error.strerror}); wanted a readable file"
            ) from error
        if not value:
            raise SettingsInvalid(f"{name}_FILE: found an empty file; wanted the secret in it")
        return value

    def url(self, name: str, schemes: tuple[str, ...], *, secret: bool = False) -> str | None:
        value = self.secret(name) if secret else self.text(name)
        if value is None:
            return None
        parts = urlsplit(value)
        wanted = " or ".join(f"{scheme}://..." for scheme in schemes)
        if parts.scheme not in schemes:
            # The value itself may hold a password: only its scheme is repeated.
            raise SettingsInvalid(f"{name}: found scheme {parts.scheme or 'none'!r}; wanted {wanted}")
        if not parts.netloc and not parts.query and not parts.path.strip("/"):
            raise SettingsInvalid(f"{name}: found no host; wanted {wanted}")
        return value

    def name(self, name: str, default: str) -> str:
        value = self.text(name, default) or default
        if not _NAME.match(value):
            raise SettingsInvalid(f"{name}: found {value!r}; wanted lower-case letters, digits and hyphens")
        return value

    def pod(self) -> str | None:
        """The pod's name, which is its host name; None outside of Kubernetes."""
        return self._environ.get("HOSTNAME") if self._environ.get("KUBERNETES_SERVICE_HOST") else None

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        raw = self.text(name)
        if raw is None:
            return default
        if not raw.isdecimal() or not low <= int(raw) <= high:
            raise SettingsInvalid(f"{name}: found {raw!r}; wanted a whole number from {low} to {high}")
        return int(raw)

    def origins(self, name: str) -> frozenset[str]:
        """A list of origins, `https://shop.example` or `http://127.0.0.1:8080`, with commas between."""
        found: set[str] = set()
        for part in (self.text(name) or "").split(","):
            if not part.strip():
                continue
            origin = origin_of(part.strip())
            if origin is None or urlsplit(part.strip()).path.strip("/"):
                raise SettingsInvalid(
                    f"{name}: found {part.strip()!r}; wanted origins such as https://shop.example"
                )
            found.add(origin)
        return frozenset(found)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = (self.text(name, default) or default).lower()
        if value not in allowed:
            raise SettingsInvalid(f"{name}: found {value!r}; wanted one of {', '.join(allowed)}")
        return value


def _database(read: Reader) -> tuple[str | None, ManagedDatabase | None]:
    """A URL with its password, or where AWS keeps the password; refuses both, and neither."""
    url = read.url("RUNTIME_DATABASE_URL", POSTGRES_SCHEMES, secret=True)
    arn, host = read.text("RUNTIME_DATABASE_SECRET_ARN"), read.text("RUNTIME_DATABASE_HOST")
    port, name = read.integer("RUNTIME_DATABASE_PORT", 5432, 1, 65535), read.text("RUNTIME_DATABASE_NAME")
    ca_file = read.text("RUNTIME_DATABASE_CA_FILE")
    parts = {
        "RUNTIME_DATABASE_SECRET_ARN": arn,
        "RUNTIME_DATABASE_HOST": host,
        "RUNTIME_DATABASE_NAME": name,
        "RUNTIME_DATABASE_CA_FILE": ca_file,
    }
    if url is not None:
        for variable, value in parts.items():
            if value is not None:
                raise SettingsInvalid(
                    f"{variable}: found it beside RUNTIME_DATABASE_URL; wanted one of the two ways"
                )
        return url, None
    if not any(parts.values()):
        raise SettingsInvalid(
            "RUNTIME_DATABASE_URL: found nothing; wanted postgresql://user:password@host/db, or "
            "RUNTIME_DATABASE_SECRET_ARN with the password in AWS"
        )
    for variable, value in parts.items():
        if value is None:
            raise SettingsInvalid(f"{variable}: found nothing; wanted it, because its counterparts are set")
    assert arn is not None
    assert host is not None
    assert name is not None
    assert ca_file is not None
    if not _SECRET_ARN.match(arn):
        raise SettingsInvalid(
            f"RUNTIME_DATABASE_SECRET_ARN: found {arn!r}; wanted arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
        )
    if not os.access(ca_file, os.R_OK):
        raise SettingsInvalid(
            f"RUNTIME_DATABASE_CA_FILE: found {ca_file!r}, which cannot be read; wanted the certificates of RDS"
        )
    return None, ManagedDatabase(arn, host, port, name, Path(ca_file))


def _vector_store(read: Reader) -> tuple[str | None, str | None]:
    url = read.url("RUNTIME_VECTOR_URL", POSTGRES_SCHEMES + VECTOR_SCHEMES, secret=True)
    key = read.secret("RUNTIME_VECTOR_API_KEY")
    parts = urlsplit(url or "")
    by_key = parts.scheme in VECTOR_SCHEMES
    if key is not None and not by_key:
        raise SettingsInvalid(
            "RUNTIME_VECTOR_API_KEY: found one, and no store that takes it; wanted RUNTIME_VECTOR_URL with one of "
            f"{', '.join(VECTOR_SCHEMES)}"
        )
    if by_key and (parts.username is not None or not parts.hostname or parts.path.strip("/") or parts.query):
        raise SettingsInvalid(
            f"RUNTIME_VECTOR_URL: found more or less than a host and a port; wanted {parts.scheme}://host:port, and "
            "the key in RUNTIME_VECTOR_API_KEY"
        )
    return url, key


def _token_keys(read: Reader) -> tuple[Mapping[str, PublicKey], str | None]:
    text, issuer = read.secret("RUNTIME_JWT_KEYS"), read.text("RUNTIME_JWT_ISSUER", TOKEN_ISSUER)
    if text is None:
        return {}, None
    try:
        return jwks_read(text), issuer
    except ValueError as error:
        raise SettingsInvalid(f"RUNTIME_JWT_KEYS: {error}") from error


def _encryption(read: Reader) -> tuple[SealKey, ...]:
    text = read.secret("RUNTIME_ENCRYPTION_KEYS")
    wanted = read.choice("RUNTIME_ENCRYPTION", "auto", ("auto", "required", "off"))
    off = wanted == "off" or (wanted == "auto" and text is None)
    if off and text is not None:
        raise SettingsInvalid(
            "RUNTIME_ENCRYPTION: found off beside RUNTIME_ENCRYPTION_KEYS; wanted one of them"
        )
    if off:
        return ()
    try:
        keys = seal_keys_parse(text or "")
    except ValueError as error:
        raise SettingsInvalid(
            f"RUNTIME_ENCRYPTION_KEYS: found that {error}; wanted ID:KEY, several separated by commas"
        ) from None
    if not keys:
        raise SettingsInvalid(
            "RUNTIME_ENCRYPTION_KEYS: found nothing; wanted ID:KEY with 32 random bytes in base64 (for example "
            "`k1:$(openssl rand -base64 32)`), or RUNTIME_ENCRYPTION=off where threads may lie unsealed"
        )
    return keys


def _webhook_secrets(read: Reader) -> tuple[str, ...]:
    """As Standard Webhooks has them: 24 to 64 random bytes in base64 after `whsec_`."""
    secrets = tuple(filter(None, (read.secret("RUNTIME_WEBHOOK_SECRET") or "").split(",")))
    for secret in secrets:
        try:
            held = b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            held = b""
        if not 24 <= len(held) <= 64:
            raise SettingsInvalid(
                "RUNTIME_WEBHOOK_SECRET: found something else; wanted whsec_ and 24 to 64 random bytes in base64, "
                "several separated by commas"
            )
    return secrets


def settings_read(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads everything or raises SettingsInvalid with the name, what was found and what is wanted."""
    read = Reader(os.environ if environ is None else environ)
    database_url, managed_database = _database(read)
    vector_url, vector_api_key = _vector_store(read)
    api_key, admin_key = read.secret("RUNTIME_API_KEY"), read.secret("RUNTIME_ADMIN_KEY")
    token_keys, token_issuer = _token_keys(read)
    if api_key is None and admin_key is None and not token_keys:
        raise SettingsInvalid(
            "RUNTIME_API_KEY: found neither it nor RUNTIME_ADMIN_KEY nor RUNTIME_JWT_KEYS; wanted at least one, "
            "else nobody gets in"
        )
    for label, key in (("RUNTIME_API_KEY", api_key), ("RUNTIME_ADMIN_KEY", admin_key)):
        if key is not None and len(key) < 16:
            raise SettingsInvalid(f"{label}: found {len(key)} characters; wanted at least 16 random ones")
    if api_key is not None and api_key == admin_key:
        raise SettingsInvalid("RUNTIME_ADMIN_KEY: found the same value as RUNTIME_API_KEY; wanted another")
    usage_url, usage_token = (
        read.url("RUNTIME_USAGE_URL", ("http", "https")),
        read.secret("RUNTIME_USAGE_TOKEN"),
    )
    if (usage_url is None) != (usage_token is None):
        missing = "RUNTIME_USAGE_TOKEN" if usage_token is None else "RUNTIME_USAGE_URL"
        raise SettingsInvalid(f"{missing}: found nothing; wanted it, because its counterpart is set")
    base_url = read.url("MODEL_BASE_URL", ("http", "https"))
    model = read.text("MODEL_NAME", OFFLINE_MODEL) or OFFLINE_MODEL
    if base_url is not None and read.text("MODEL_NAME") is None:
        raise SettingsInvalid("MODEL_NAME: found nothing; wanted the model to ask for at MODEL_BASE_URL")
    return Settings(
        database_url=database_url,
        managed_database=managed_database,
        redis_url=read.url("RUNTIME_REDIS_URL", ("redis", "rediss", "unix"), secret=True),
        vector_url=vector_url,
        vector_api_key=vector_api_key,
        api_key=api_key,
        admin_key=admin_key,
        token_keys=token_keys,
        token_issuer=token_issuer,
        public_url=read.url("RUNTIME_PUBLIC_URL", ("http", "https")),
        encryption_keys=_encryption(read),
        sealing_grace_s=read.integer("RUNTIME_SEALING_GRACE_S", 900, 0, 86400),
        delta_channels=read.choice("RUNTIME_DELTA_CHANNELS", "on", ("on", "off")) == "on",
        thread_ttl_minutes=read.integer("RUNTIME_THREAD_TTL_MINUTES", 0, 0, 60 * 24 * 3660),
        run_log_s=read.integer("RUNTIME_RUN_LOG_S", 86400, 0, 10 * 365 * 86400),
        tenant=read.name("RUNTIME_TENANT", "local"),
        replica=read.name("RUNTIME_REPLICA", read.pod() or "r0"),
        usage_url=usage_url,
        usage_token=usage_token,
        model_base_url=base_url,
        model_api_key=read.secret("MODEL_API_KEY"),
        model_name=model,
        embedding_model=read.text("MODEL_EMBEDDING_NAME", OFFLINE_EMBEDDING) or OFFLINE_EMBEDDING,
        max_runs=read.integer("RUNTIME_MAX_RUNS", 16, 0, 1000),
        user_runs=read.integer("RUNTIME_USER_RUNS", 0, 0, 10_000),
        max_attempts=read.integer("RUNTIME_MAX_ATTEMPTS", 5, 1, 100),
        pool_size=read.integer("RUNTIME_POOL_SIZE", 8, 2, 200),
        storage_interval_s=read.integer("RUNTIME_STORAGE_INTERVAL_S", 300, 5, 86400),
        log_level=read.choice("RUNTIME_LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        drain_s=read.integer("RUNTIME_DRAIN_S", 25, 0, 3600),
        state_dir=Path(folder) if (folder := read.text("RUNTIME_STATE_DIR")) else None,
        predecessor=read.integer("RUNTIME_PREDECESSOR", 0, 0, 2**31) or None,
        webhook_secrets=_webhook_secrets(read),
        webhook_policy=Policy(
            http=read.choice("RUNTIME_WEBHOOK_HTTP", "off", ("on", "off")) == "on",
            private=read.choice("RUNTIME_WEBHOOK_PRIVATE", "off", ("on", "off")) == "on",
        ),
        pages_allow=read.origins("RUNTIME_PAGES_ALLOW"),
        mail_url=read.url("RUNTIME_MAIL_URL", ("http", "https")),
        mail_token=read.secret("RUNTIME_MAIL_TOKEN"),
    )
