#!/usr/bin/env bash
# The tests in a real browser against a real node, which OPENLEDGER_BIN names or cargo builds.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ! -x "${CHROMIUM:-/usr/bin/chromium}" ]]; then
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    echo "Chromium is missing: install it (Debian: apt-get install chromium) or name it in CHROMIUM" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi

export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
# The other checks of the web app may have installed the packages already.
if [[ ! package-lock.json -ot node_modules/.package-lock.json ]]; then
  npm ci --no-audit --no-fund
fi
npm run --silent e2e
