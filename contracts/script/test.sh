#!/usr/bin/env bash
# Formatting, tests, gas snapshots, and drift of everything generated.
set -euo pipefail
cd "$(dirname "$0")/.."

bash script/install.sh
tools/forge fmt --check
FORGE_SNAPSHOT_CHECK=true tools/forge test

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
node tools/artifacts.mjs "$fresh/artifacts" "$fresh/storage"
if ! diff -rq ../crates/contracts/artifacts "$fresh/artifacts" || ! diff -rq snapshots/storage "$fresh/storage"; then
  echo "generated files differ from the sources: run contracts/script/gen.sh" >&2
  exit 1
fi
