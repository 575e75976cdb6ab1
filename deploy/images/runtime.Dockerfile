# syntax=docker/dockerfile:1
# check=skip=InvalidDefaultArgInFrom
# The tenant runtime: tenant_runtime and contracts with the locked group `runtime`; no control plane, no Django, no
# Pulumi. The base image has no default: build.sh wants it by digest, and so does the first step here.
ARG PYTHON_IMAGE

FROM ${PYTHON_IMAGE} AS build
ARG PYTHON_IMAGE
ARG UV_VERSION=0.13.9
RUN case "${PYTHON_IMAGE}" in *@sha256:*) ;; *) echo "PYTHON_IMAGE must name a digest" >&2; exit 1 ;; esac
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir "uv==${UV_VERSION}"
WORKDIR /build
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_CACHE_DIR=/var/cache/uv UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv sync --frozen --only-group runtime --no-install-project
COPY contracts /app/contracts
COPY tenant_runtime /app/tenant_runtime
RUN /opt/venv/bin/python -m compileall -q /app

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 freehold \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin freehold
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /app
USER 10001:10001
EXPOSE 8123
# /live says that the process answers; in a cluster the probes are /live and /ready.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8123/live', timeout=2)"]
ENTRYPOINT ["python", "-m", "tenant_runtime"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8123"]
