#!/usr/bin/env bash
# Remakes what is generated from the Solidity sources: crates/contracts/artifacts (ABIs and bytecode as JSON, and the
# interfaces that the Rust bindings are made from), the storage layouts in snapshots/storage, and the tree vectors that
# Solidity and Rust tests share. Same sources and lock file, same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

bash script/install.sh
tools/forge build --quiet --skip test
node tools/artifacts.mjs ../crates/contracts/artifacts snapshots/storage
node tools/vectors.mjs
