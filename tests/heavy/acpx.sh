#!/usr/bin/env bash
# What the user of acpx sees when the model delegates: see acpx.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/heavy/node.bash

readonly VERSION=0.19.1
if ! command -v python3 >/dev/null; then
    echo "| acpx | – | not run: there is no python3 |"
    exit 0
fi
node_packages acpx "acpx@$VERSION"
echo "| acpx | version | acpx $(acpx --version), Node.js $(node --version) |"
exec timeout 150 python3 tests/heavy/acpx.py
