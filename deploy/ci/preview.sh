#!/usr/bin/env bash
# Plans every tenant, keeps the complete plans, posts one comment, and passes the verdict on as its exit code:
# 0 fine, 5 denied by policy or a loss that nobody allowed, anything else: no verdict could be had.
#
# Needs `freehold` on PATH, FREEHOLD_API_URL, FREEHOLD_API_KEY (scopes tenants:read and operations:read; for
# FREEHOLD_PROGRAM=installed operations:write too), and the variables of the CI service (see post_comment.py).
# Optional: FREEHOLD_PREVIEW_ARGS (default --changed), FREEHOLD_PREVIEW_OUT (default freehold-preview),
# FREEHOLD_PROGRAM: checkout (default) plans with the program of the commit in this folder, whose environment
# `python3 tools/bootstrap.py` makes; installed plans with the control plane's own release.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${FREEHOLD_PREVIEW_OUT:-freehold-preview}
commit=$(git rev-parse HEAD 2>/dev/null || true)

# The arguments are words on purpose.
# shellcheck disable=SC2086
freehold preview ${FREEHOLD_PREVIEW_ARGS:---changed} --program "${FREEHOLD_PROGRAM:-checkout}" --exit-code --format markdown --out "$out" --commit "$commit" >/dev/null
verdict=$?

# A verdict without its comment would be a riddle, and a comment that cannot be posted must not hide the verdict.
if [ -f "$out/comment.md" ]; then
  python3 "$here/post_comment.py" "$out/comment.md" || [ "$verdict" -ne 0 ] || verdict=1
fi
exit "$verdict"
