"""Django's settings. Everything configurable is read here, through typed readers, and nowhere else."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog

from controlplane.config.env import Environment
from controlplane.core.redaction import redact_event
from controlplane.tenants.targets_file import targets_file_read, targets_problems

BASE_DIR = Path(__file__).resolve().parent.parent.parent
env = Environment()

# --- where things are -------------------------------------------------------------------------------------
FREEHOLD_HOME = env.path("FREEHOLD_HOME", "where all state lives", default=BASE_DIR / ".freehold")
_SECRETS = FREEHOLD_HOME / "secrets"
FREEHOLD_PORT = env.integer(
    "FREEHOLD_PORT", "port of the portal and API on 127.0.0.1", default=8420, low=1024, high=65535
)
FREEHOLD_PUBLIC_URL = env.url(
    "FREEHOLD_PUBLIC_URL",
    "how browsers and tenant runtimes reach the control plane",
    schemes=("http", "https"),
    default=f"http://127.0.0.1:{FREEHOLD_PORT}",
    secret=False,
).rstrip("/")

# --- secrets ----------------------------------------------------------------------------------------------
SECRET_KEY = env.secret(
    "FREEHOLD_SECRET_KEY",
    "signs sessions and CSRF tokens",
    default_file=_SECRETS / "secret_key",
    min_length=32,
)
FREEHOLD_ENCRYPTION_KEYS = [
    key.strip()
    for key in env.secret(
        "FREEHOLD_ENCRYPTION_KEYS",
        "encrypts stored secrets; comma-separated, newest first",
        default_file=_SECRETS / "encryption_keys",
        min_length=32,
    ).split(",")
    if key.strip()
]

# --- database, broker, cache ------------------------------------------------------------------------------
DATABASE_URL = env.url(
    "DATABASE_URL",
    "the control plane's Postgres",
    schemes=("postgres", "postgresql"),
    default_file=_SECRETS / "database_url",
)
REDIS_URL = env.url(
    "REDIS_URL", "broker and cache", schemes=("redis", "rediss"), default_file=_SECRETS / "redis_url"
)

# --- Pulumi -----------------------------------------------------------------------------------------------
PULUMI_BACKEND_URL = env.url(
    "PULUMI_BACKEND_URL",
    "where stack state is kept",
    schemes=("postgres", "s3", "gs", "azblob", "file"),
    default_file=_SECRETS / "pulumi_backend_url",
)
PULUMI_SECRETS_PROVIDER = env.text(
    "PULUMI_SECRETS_PROVIDER",
    "passphrase, or awskms://, gcpkms://, azurekeyvault://, hashivault://",
    default="passphrase",
)
PULUMI_PASSPHRASE_FILE = env.path(
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "passphrase of the stacks' secrets",
    default=_SECRETS / "pulumi_passphrase",
)
FREEHOLD_PULUMI = env.path("FREEHOLD_PULUMI", "the folder that holds bin/pulumi", default=BASE_DIR / ".tools")
FREEHOLD_TARGETS = env.listing("FREEHOLD_TARGETS", "targets that tenants may be placed on", default="local")
FREEHOLD_TARGETS_FILE = env.document(
    "FREEHOLD_TARGETS_FILE",
    "TOML file that says where the targets kubernetes and aws are",
    read=targets_file_read,
)
env.problems += [
    f"FREEHOLD_TARGETS: {problem}" for problem in targets_problems(FREEHOLD_TARGETS, FREEHOLD_TARGETS_FILE)
]

# --- what judges a plan -----------------------------------------------------------------------------------
FREEHOLD_POLICY_FILES = env.paths("FREEHOLD_POLICY_FILES", "Python files with policy rules of your own")
FREEHOLD_POLICY_EXCEPTIONS = env.paths(
    "FREEHOLD_POLICY_EXCEPTIONS", "TOML files of accepted findings, each with an owner and an end"
)
FREEHOLD_PRICE_TABLES = env.paths(
    "FREEHOLD_PRICE_TABLES", "TOML files of prices that come before the shipped ones"
)

# --- local target -----------------------------------------------------------------------------------------
FREEHOLD_TENANT_PORT_BASE = env.integer(
    "FREEHOLD_TENANT_PORT_BASE",
    "first of the 400 ports that local tenants use",
    default=21000,
    low=1024,
    high=65000,
)

# --- executor ---------------------------------------------------------------------------------------------
FREEHOLD_MAX_OPERATIONS = env.integer(
    "FREEHOLD_MAX_OPERATIONS", "operations that run at once", default=4, low=1, high=256
)
FREEHOLD_TARGET_LIMITS = env.limits(
    "FREEHOLD_TARGET_LIMITS", "operations that run at once on a target, such as aws=8"
)
FREEHOLD_QUEUE_DEADLINE_S = env.integer(
    "FREEHOLD_QUEUE_DEADLINE_S",
    "seconds an operation may wait to begin before it is ended",
    default=86400,
    low=60,
    high=2_592_000,
)
FREEHOLD_OPERATION_DEADLINE_S = env.integer(
    "FREEHOLD_OPERATION_DEADLINE_S",
    "seconds after which a running operation is stopped",
    default=1800,
    low=30,
    high=86400,
)
FREEHOLD_PLAN_TTL_S = env.integer(
    "FREEHOLD_PLAN_TTL_S", "seconds a plan may wait for approval", default=86400, low=60, high=2_592_000
)
FREEHOLD_TWO_PERSON_APPROVAL = env.boolean(
    "FREEHOLD_TWO_PERSON_APPROVAL", "whoever requested an operation may not approve it", default=False
)
FREEHOLD_LEASE_S = env.integer(
    "FREEHOLD_LEASE_S", "seconds an executor's lease lasts", default=15, low=2, high=600
)
FREEHOLD_LOG_RETENTION_DAYS = env.integer(
    "FREEHOLD_LOG_RETENTION_DAYS",
    "days that logs and events of operations are kept after their end, and requests for several tenants",
    default=90,
    low=1,
    high=3650,
)

FREEHOLD_SNAPSHOT_RETENTION_DAYS = env.integer(
    "FREEHOLD_SNAPSHOT_RETENTION_DAYS",
    "days a snapshot is kept, final ones too",
    default=30,
    low=1,
    high=3650,
)

# --- invoices ---------------------------------------------------------------------------------------------
FREEHOLD_INVOICE_GRACE_HOURS = env.integer(
    "FREEHOLD_INVOICE_GRACE_HOURS",
    "hours after a month's end that its close waits for late events",
    default=24,
    low=0,
    high=744,
)
FREEHOLD_CLOSE_TOLERANCE_PERMILLE = env.integer(
    "FREEHOLD_CLOSE_TOLERANCE_PERMILLE",
    "by how much of the charges accrued revenue may differ from them before a close holds the tenant",
    default=1,
    low=0,
    high=1000,
)
FREEHOLD_LATE_USAGE_MONTHS = env.integer(
    "FREEHOLD_LATE_USAGE_MONTHS",
    "how many earlier months a close looks for late usage in",
    default=3,
    low=0,
    high=36,
)

# --- tenants' models --------------------------------------------------------------------------------------
MODEL_BASE_URL = env.url(
    "MODEL_BASE_URL",
    "OpenAI-compatible endpoint that tenants' agents use; empty: the offline stand-in offline-rules-1",
    schemes=("http", "https"),
    default="",
    secret=False,
)
MODEL_API_KEY = env.secret("MODEL_API_KEY", "key for MODEL_BASE_URL", default="")
MODEL_NAME = env.text("MODEL_NAME", "the model that tenants' agents use", default="offline-rules-1")

# --- messages to people and programs outside --------------------------------------------------------------
FREEHOLD_EMAIL_URL = env.url(
    "FREEHOLD_EMAIL_URL",
    "mail server: smtp://user:password@host:587 (with STARTTLS) or smtps://...; empty: no e-mail is sent",
    schemes=("smtp", "smtps"),
    default="",
)
DEFAULT_FROM_EMAIL = env.text(
    "FREEHOLD_EMAIL_FROM", "whom our e-mail comes from", default="Freehold <freehold@localhost>"
)
FREEHOLD_EMAIL_STARTTLS = env.boolean(
    "FREEHOLD_EMAIL_STARTTLS", "smtp:// begins TLS before anything is said", default=True
)
FREEHOLD_WEBHOOK_HTTP = env.boolean(
    "FREEHOLD_WEBHOOK_HTTP", "webhooks may go to http:// too; for development", default=False
)
FREEHOLD_WEBHOOK_PRIVATE = env.boolean(
    "FREEHOLD_WEBHOOK_PRIVATE",
    "webhooks may go to private addresses, so whoever sets a webhook reaches the network of the control plane",
    default=False,
)

# --- web --------------------------------------------------------------------------------------------------
DEBUG = env.boolean("FREEHOLD_DEBUG", "Django's debug pages; never on a server others reach", default=False)
ALLOWED_HOSTS = env.listing(
    "FREEHOLD_ALLOWED_HOSTS", "host names served", default="127.0.0.1,localhost,[::1]"
)
FREEHOLD_SECURE_COOKIES = env.boolean(
    "FREEHOLD_SECURE_COOKIES",
    "cookies over HTTPS only, and HSTS",
    default=FREEHOLD_PUBLIC_URL.startswith("https://"),
)
FREEHOLD_RATE_LIMIT_PER_MINUTE = env.integer(
    "FREEHOLD_RATE_LIMIT_PER_MINUTE",
    "API requests a minute for each key or person, five times that for usage events; 0: no limit",
    default=1200,
    low=0,
    high=1_000_000,
)
FREEHOLD_INGEST_CONCURRENCY = env.integer(
    "FREEHOLD_INGEST_CONCURRENCY",
    "batches of usage events that a web process stores at once; more wait, then are told to come again",
    default=4,
    low=1,
    high=64,
)
FREEHOLD_INGEST_WAIT_S = env.integer(
    "FREEHOLD_INGEST_WAIT_S", "seconds a batch of usage events waits for its turn", default=2, low=0, high=60
)
LOG_LEVEL = env.choice(
    "FREEHOLD_LOG_LEVEL",
    "least severe line that is logged",
    choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    default="INFO",
)

env.require()


#: As long as the default lease: a transaction of ours that does nothing for so long belongs to nobody alive.
IDLE_TRANSACTION_S = 15


def _database(url: str) -> dict[str, object]:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(url)
    known = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    options = {key: value for key, value in parts.items() if key not in known}
    # A process paused inside a transaction would hold its locks, the claim lock among them, from everybody.
    bounded = f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_S}s"
    options["options"] = f"{bounded} {options['options']}" if options.get("options") else bounded
    return {
        "ENGINE": "django.db.backends.postgresql",
        **{setting: parts.get(key) or "" for key, setting in known.items()},
        # Under ASGI each request may run on a thread of its own: a pool, not a connection a thread.
        "OPTIONS": {**options, "pool": {"min_size": 0, "max_size": 16, "timeout": 10, "max_idle": 120}},
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": _database(DATABASE_URL)}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Sign-in counts failed tries here; without Redis it must fail soon, not hang.
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
}

ROOT_URLCONF = "controlplane.config.urls"
ASGI_APPLICATION = "controlplane.config.asgi.application"
INSTALLED_APPS = [
    "controlplane.core",
    "controlplane.accounts",
    "controlplane.tenants",
    "controlplane.operations",
    "controlplane.api",
    "controlplane.portal",
    "billing",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "controlplane.config.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "controlplane.portal.language.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "controlplane.portal.viewer.ViewerMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ]
        },
    }
]

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "controlplane.accounts.adapter.ClosedAccountAdapter"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
#: Asking for a new password: each ask sends an e-mail, to somebody who may not have asked.
ACCOUNT_RATE_LIMITS = {"reset_password": "20/m/ip,3/h/key"}
PASSWORD_RESET_TIMEOUT = 3600
_mail = urlsplit(FREEHOLD_EMAIL_URL)
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if _mail.hostname else 'console'}.EmailBackend"
EMAIL_HOST = _mail.hostname or ""
EMAIL_PORT = _mail.port or (465 if _mail.scheme == "smtps" else 587)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
EMAIL_USE_SSL = _mail.scheme == "smtps"
EMAIL_USE_TLS = _mail.scheme == "smtp" and FREEHOLD_EMAIL_STARTTLS
EMAIL_TIMEOUT = 20

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = FREEHOLD_SECURE_COOKIES
SECURE_HSTS_SECONDS = 31_536_000 if FREEHOLD_SECURE_COOKIES else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_TRUSTED_ORIGINS = [FREEHOLD_PUBLIC_URL]
CSRF_FAILURE_VIEW = "controlplane.core.failures.csrf_failure"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "font-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
#: Of the portal; its catalogues lie in controlplane/portal/locale. Everything else speaks English.
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
FORMAT_MODULE_PATH = ["controlplane.portal.formats"]
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = FREEHOLD_HOME / "static"
# Installed from a wheel, the assets lie in the portal's own folder (tools/wheel_assets.py).
STATICFILES_DIRS = [folder for folder in [BASE_DIR / "static"] if folder.is_dir()]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "controlplane.api.authentication.ApiKeyAuthentication",
        "controlplane.api.authentication.PortalSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["controlplane.api.authentication.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "controlplane.api.problems.problem_exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Freehold",
    "DESCRIPTION": "Provision, watch, meter and bill a dedicated stack for each tenant.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    # Swagger UI from our own static files: nothing is loaded from elsewhere.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
}

# --- Celery: the doorbell; Postgres decides ---------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(FREEHOLD_HOME / "run" / "celerybeat-schedule")

#: What operations call when a tenant's work begins or ends (operations may not import tenants).
OPERATION_SUBJECT = "controlplane.tenants.lifecycle.TenantSubject"
#: Who knows every customer (billing may not import tenants).
BILLING_CUSTOMERS = "controlplane.tenants.billed.TenantDirectory"
#: Who knows what each customer's stack is priced at (billing may not import operations).
BILLING_STACK_COSTS = "controlplane.tenants.stack_costs.TenantStackCosts"

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact_event,
        structlog.processors.JSONRenderer(),
    ],
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "controlplane.core.redaction.RedactingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # One line per health probe is noise.
    # A line for each glyph of a document, otherwise: letters of customers' names.
    "loggers": {"httpx": {"level": "WARNING"}, "fontTools": {"level": "WARNING"}},
}
