#!/usr/bin/env bash
# Packages, lint, types, unit tests, size, and drift of what is generated. script/browser.sh has the tests in a browser.
set -euo pipefail
cd "$(dirname "$0")/.."

export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
npm ci --no-audit --no-fund
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

# The same sources give the same bytes wherever they are built.
npm exec --offline -- vite build --logLevel error --outDir "$kept/dist" --emptyOutDir
if ! diff -rq dist "$kept/dist"; then
  echo "web/dist differs from its sources: commit what npm run build made" >&2
  exit 1
fi
npm run --silent size | tail -1
