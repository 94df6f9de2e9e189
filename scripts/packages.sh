#!/bin/sh
# Debian's packages that tests need: installed where they are missing and we are root. Anybody else
# is told their names, and the tests that need them are skipped; where CI is set they must be there.
set -u

missing=
need() {
    [ -n "$2" ] || missing="$missing $1"
}
need chromium "$(command -v chromium || true)"
need docker-compose "$(command -v docker-compose || true)"
need default-jdk-headless "$(command -v javac || true)"
need maven "$(command -v mvn || true)"
need npm "$(command -v npm || true)"
need openssl "$(command -v openssl || true)"
need postgresql "$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null || true)"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "driftline: installing$missing ..." >&2
    # shellcheck disable=SC2086
    if apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null; then
        exit 0
    fi
fi
if [ -n "${CI:-}" ]; then
    echo "driftline: missing: as root, apt-get install$missing" >&2
    exit 2
fi
echo "driftline: tests that need it are skipped; as root: apt-get install$missing" >&2
