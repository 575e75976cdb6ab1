#!/usr/bin/env bash
# Builds the images of the control plane and of the tenant runtime, pushes them with SBOM and provenance, and prints
# their digests, which the chart and the targets file want.
#
#   PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:... GO_IMAGE=golang:1.26-bookworm@sha256:... \
#     deploy/images/build.sh registry.example.com/freehold
#
# The digest of a base image: docker buildx imagetools inspect python:3.11-slim-bookworm
# PLATFORMS (default linux/amd64) and TAG (default: the version and the commit) may be set too.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: PYTHON_IMAGE=NAME@sha256:... GO_IMAGE=NAME@sha256:... $0 REGISTRY/PREFIX" >&2
  exit 2
fi
prefix=${1%/}

for name in PYTHON_IMAGE GO_IMAGE; do
  value=${!name:-}
  if ! [[ $value =~ ^[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]]; then
    echo "$name: found '${value}'; wanted an image by digest, NAME@sha256:<64 hex digits>." >&2
    echo "Ask the registry for it: docker buildx imagetools inspect ${value:-python:3.11-slim-bookworm}" >&2
    exit 2
  fi
done

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml | head -n 1)
tag=${TAG:-$version-$(git rev-parse --short=12 HEAD)}
# The commit's time in place of the clock's: the same commit gives the same layers.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
for image in control-plane runtime; do
  arguments=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
  if [ "$image" = control-plane ]; then arguments+=(--build-arg "GO_IMAGE=$GO_IMAGE"); fi
  docker buildx build --platform "${PLATFORMS:-linux/amd64}" --sbom=true --provenance=mode=max --push \
    "${arguments[@]}" --metadata-file "$metadata" --tag "$prefix/$image:$tag" \
    --file "deploy/images/$image.Dockerfile" . >&2
  digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' "$metadata")
  if [ -z "$digest" ]; then echo "buildx told no digest of $prefix/$image" >&2; exit 1; fi
  echo "$prefix/$image@$digest"
done
