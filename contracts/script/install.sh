#!/usr/bin/env bash
# Installs the tools and the library that the lock file names, unless they are there already. Run from contracts/.
set -euo pipefail
stamp=node_modules/.installed-from
if ! cmp -s package-lock.json "$stamp"; then
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json "$stamp"
fi
