# One image for web, bridge, worker, beat, poller and migrate. It holds no secret and no server.
#
# Two installations of the same lock. The first is whole, because only the wheels' metadata say what tickhub needs of
# it (deploy/write_runtime_lock.py); it is thrown away. The second holds that part, again checked against its hashes:
# no test tools and no embedded servers reach the image.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
WORKDIR /build
COPY requirements.lock pyproject.toml ./
COPY deploy/write_runtime_lock.py deploy/
RUN python -m venv /whole \
 && /whole/bin/pip install --require-hashes --no-deps -r requirements.lock \
 && /whole/bin/python deploy/write_runtime_lock.py > runtime.lock
RUN python -m venv /venv \
 && /venv/bin/pip install --require-hashes --no-deps -r runtime.lock \
 && /venv/bin/pip check \
 && /venv/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim
RUN groupadd --system --gid 10001 tickhub \
 && useradd --system --uid 10001 --gid tickhub --no-create-home --home-dir /app --shell /usr/sbin/nologin tickhub
WORKDIR /app
COPY --from=build /venv /venv
COPY manage.py ./
COPY deploy/healthcheck.py deploy/
COPY chains/ chains/
COPY ingest/ ingest/
COPY quality/ quality/
COPY storage/ storage/
COPY tickhub/ tickhub/
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=tickhub.settings
# As `up` sets them for its children (tickhub/supervisor/plan.py): arrays of a batch's size stay with the process.
ENV MALLOC_MMAP_THRESHOLD_=134217728 \
    MALLOC_TRIM_THRESHOLD_=268435456 \
    MALLOC_TOP_PAD_=16777216
# Compiled here: the running container cannot write to /app.
RUN python -m compileall -q /app
ENV PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000 8001
HEALTHCHECK --interval=15s --timeout=10s --start-period=20s CMD ["python", "deploy/healthcheck.py", "web"]
CMD ["python", "-m", "uvicorn", "tickhub.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--log-level", "warning", "--lifespan", "off"]
