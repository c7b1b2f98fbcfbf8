#!/usr/bin/env bash
# Remakes crates/contracts/artifacts from the Solidity sources: ABIs and bytecode as JSON, and the interfaces that the
# Rust bindings are made from. Same sources and lock file, same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x node_modules/.bin/forge ] || ! cmp -s package-lock.json node_modules/.package-lock.source; then
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.package-lock.source
fi
node_modules/.bin/forge build --force --quiet --skip test
node tools/artifacts.mjs ../crates/contracts/artifacts
