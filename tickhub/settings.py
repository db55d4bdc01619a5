"""Django's settings, all from the environment. docs/settings.md describes each variable."""

import os
import secrets
from pathlib import Path
from typing import Any

from tickhub import env

BASE_DIR = Path(__file__).resolve().parent.parent

# "local" listens on loopback and may make its own key; "production" refuses to start on either.
ENVIRONMENT = env.choice("TICKHUB_ENVIRONMENT", "local", ("local", "production"))
DEBUG = False
_given_key = env.secret("TICKHUB_SECRET_KEY")
SECRET_KEY_IS_GIVEN = _given_key is not None
# Without a key, each process makes its own: safe, but logins end with the process.
SECRET_KEY = _given_key or secrets.token_urlsafe(50)
ALLOWED_HOSTS = env.words("TICKHUB_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("TICKHUB_TRUSTED_ORIGINS", "")
HTTPS = env.choice("TICKHUB_HTTPS", "off", ("on", "off")) == "on"

INSTALLED_APPS = [
    "tickhub.apps.TickhubConfig",
    "tickhub.audit.apps.AuditConfig",
    "tickhub.reference.apps.ReferenceConfig",
    "ingest.apps.IngestConfig",
    "quality.apps.QualityConfig",
    "storage.apps.StorageConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_prometheus",
    "rest_framework",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "tickhub.urls"
ASGI_APPLICATION = "tickhub.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# A statement, an idle transaction or a silent peer that outlasts these gives its locks back.
STATEMENT_TIMEOUT_MS = env.integer("TICKHUB_STATEMENT_TIMEOUT_MS", 30_000, least=1_000, most=600_000)
IDLE_TRANSACTION_TIMEOUT_MS = env.integer("TICKHUB_IDLE_TRANSACTION_TIMEOUT_MS", 20_000, least=1_000, most=600_000)


def _database(parts: dict[str, str]) -> dict[str, Any]:  # Any: Django's setting is a free mapping
    timeouts = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
        f" -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_TIMEOUT_MS}"
        f" -c tcp_user_timeout=20000 -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
        f" -c timezone=UTC"
    )
    named = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    settings: dict[str, Any] = {named[key]: value for key, value in parts.items() if key in named}
    options: dict[str, Any] = {key: value for key, value in parts.items() if key not in named}
    options["options"] = f"{parts.get('options', '')} {timeouts}".strip()
    # Values travel beside the statement, so that a batch's bytes are never written into SQL text.
    options["server_side_binding"] = True
    # The few statements of the hot path are planned once for each connection (Django leaves this off for pgbouncer).
    options["prepare_threshold"] = 2
    # Marks the sessions that the sweeper may end when their client has gone deaf.
    options["application_name"] = "tickhub"
    options |= {
        "connect_timeout": 5,
        "tcp_user_timeout": 20_000,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    return settings | {
        "ENGINE": "django_prometheus.db.backends.postgresql",
        "OPTIONS": options,
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": _database(env.database("DATABASE_URL"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.secret("REDIS_URL") or "redis://redis-url-is-not-set.invalid:6379/0"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# Celery carries batch ids. A message may be lost or repeated: the inbox knows, and the sweeper publishes again.
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = env.integer("TICKHUB_TASK_TIME_LIMIT_S", 45, least=5, most=3600)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Without it Celery closes the database connection after every task; a new one costs more than a batch.
CELERY_DB_REUSE_MAX = 10_000
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A killed worker's message comes back after this; it exceeds the longest task and the longest retry.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": CELERY_TASK_TIME_LIMIT + 15,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 20,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
}
CELERY_TASK_DEFAULT_QUEUE = "batches"
# Telling people waits for others' servers: it has a process of its own, and holds up nobody who stores ticks.
CELERY_TASK_ROUTES = {
    "tickhub.process_batch": {"queue": "batches"},
    "quality.notify": {"queue": "notices"},
    "*": {"queue": "keeping"},
}
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "tickhub.logs.FactsFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["stderr"],
        "level": env.choice("TICKHUB_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
    },
    "loggers": {
        # One line per message would be two per batch.
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        # At DEBUG both write every header of a connection, an agent's token among them.
        "websockets": {"level": "INFO"},
        "uvicorn": {"level": "INFO"},
    },
}

# A testing aid: simulated terminals fail as this file plans (ingest/sources/faults.py).
FAULT_FILE = os.environ.get("TICKHUB_FAULT_FILE")
POLL_INTERVAL_MS = env.integer("TICKHUB_POLL_INTERVAL_MS", 50, least=1, most=60_000)
PAGE_TICKS = env.integer("TICKHUB_PAGE_TICKS", 65_536, least=100, most=1_000_000)
LEASE_TTL_MS = env.integer("TICKHUB_LEASE_TTL_MS", 5_000, least=1_000, most=600_000)
QUEUE_MAX = env.integer("TICKHUB_QUEUE_MAX", 1_000, least=10, most=100_000)
PUBLISH_AGAIN_MS = env.integer("TICKHUB_PUBLISH_AGAIN_MS", 10_000, least=100, most=600_000)
# Below this reserve nothing is captured or stored: PostgreSQL needs room for its log, or it panics.
DISK_RESERVE_MB = env.integer("TICKHUB_DISK_RESERVE_MB", 512, least=0, most=1_000_000)
DATABASE_FOLDER = env.folder("TICKHUB_DATABASE_FOLDER")
# High-water marks of the inbox: above one an incident opens, below its half it is resolved.
BACKLOG_BATCHES_HIGH = env.integer("TICKHUB_BACKLOG_BATCHES", 10_000, least=10, most=10_000_000)
BACKLOG_MB_HIGH = env.integer("TICKHUB_BACKLOG_MB", 1_024, least=1, most=1_000_000)
BACKLOG_AGE_S_HIGH = env.integer("TICKHUB_BACKLOG_AGE_S", 300, least=1, most=86_400)
EARLIEST_MSC = env.day("TICKHUB_EARLIEST_DAY", "1990-01-01")
NEW_DAYS_MOST = env.integer("TICKHUB_NEW_DAYS", 1_000, least=1, most=100_000)
FUTURE_TOLERANCE_MS = env.integer("TICKHUB_FUTURE_TOLERANCE_MS", 1_000, least=0, most=86_400_000)
# A check of one batch that takes longer is left out, and made up for later.
CHECK_TIMEOUT_MS = env.integer("TICKHUB_CHECK_TIMEOUT_MS", 2_000, least=1, most=600_000)
# How long an agent may be away before that is an incident.
AGENT_AWAY_S = env.integer("TICKHUB_AGENT_AWAY_S", 300, least=60, most=604_800)
# Minutes with ticks after which a terminal's clock that does not fit is an incident, and how far off it must be.
CLOCK_AHEAD_MINUTES = env.integer("TICKHUB_CLOCK_AHEAD_MINUTES", 3, least=1, most=60)
CLOCK_MISMATCH_MINUTES = env.integer("TICKHUB_CLOCK_MISMATCH_MINUTES", 10, least=1, most=60)
CLOCK_MISMATCH_S = env.integer("TICKHUB_CLOCK_MISMATCH_S", 900, least=60, most=86_400)
HOST_CLOCK_OFF_MS = env.integer("TICKHUB_HOST_CLOCK_OFF_MS", 500, least=10, most=3_600_000)
# How long an incident waits for somebody before it is escalated, and for another finding before it is resolved.
ESCALATE_AFTER_S = env.integer("TICKHUB_ESCALATE_AFTER_S", 900, least=0, most=604_800)
RESOLVE_AFTER_S = env.integer("TICKHUB_RESOLVE_AFTER_S", 3_600, least=60, most=604_800)
# From capture to store, all but a twentieth of the last minute's batches: above it is an incident.
LATENCY_WARNING_MS = env.integer("TICKHUB_LATENCY_WARNING_MS", 500, least=0, most=3_600_000)
# Signs what is posted to web addresses.
WEBHOOK_KEY = env.secret("TICKHUB_WEBHOOK_KEY")
# Without a host no channel can send mail.
EMAIL_HOST = env.text("TICKHUB_EMAIL_HOST", "")
EMAIL_PORT = env.integer("TICKHUB_EMAIL_PORT", 587, least=1, most=65_535)
EMAIL_HOST_USER = env.text("TICKHUB_EMAIL_USER", "")
EMAIL_HOST_PASSWORD = env.secret("TICKHUB_EMAIL_PASSWORD") or ""
_mail_tls = env.choice("TICKHUB_EMAIL_TLS", "starttls", ("starttls", "tls", "off"))
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail_tls == "starttls", _mail_tls == "tls"
DEFAULT_FROM_EMAIL = env.text("TICKHUB_EMAIL_FROM", "tickhub@localhost")
# Signs certificates; without it none are made.
CERTIFICATE_KEY = env.secret("TICKHUB_CERTIFICATE_KEY")
# One for each core: more of them wait for each other (ADR 10).
WORKERS = env.integer("TICKHUB_WORKERS", min(max(os.cpu_count() or 1, 2), 8), least=1, most=64)
