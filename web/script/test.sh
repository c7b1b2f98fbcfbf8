#!/usr/bin/env bash
# What continuous integration runs for the web app: packages, lint, types, unit tests, drift of what is generated, and
# the tests in a real browser against a real node.
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
# Not npm ci: the lock file holds the native packages of the platform that wrote it, and npm ci refuses others.
npm install --no-audit --no-fund
npm run --silent lint
npm run --silent typecheck
npm test --silent

kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
cp src/api/generated/schema.ts src/chain/abis.ts "$kept"
npm run --silent gen
if ! diff -q src/api/generated/schema.ts "$kept/schema.ts" || ! diff -q src/chain/abis.ts "$kept/abis.ts"; then
  echo "src/api/generated/schema.ts or src/chain/abis.ts differs from its source: commit what npm run gen made" >&2
  exit 1
fi

npm run --silent e2e
