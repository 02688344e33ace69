#!/usr/bin/env bash
# A chat through the client of the official Python SDK: see python_sdk.py. Needs Python 3.10 and a package
# index, and is left out without them.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly VERSION=0.12.1
folder="${CARGO_TARGET_DIR:-target}/python-sdk-$VERSION"

if ! python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    echo "| python-sdk | – | left out: there is no Python from 3.10 on |"
    exit 0
fi
if ! "$folder/bin/python" -c 'import acp' 2>/dev/null; then
    rm -rf "$folder"
    if ! { python3 -m venv "$folder" \
        && "$folder/bin/pip" install --quiet --disable-pip-version-check "agent-client-protocol==$VERSION"; } >&2; then
        rm -rf "$folder"
        echo "| python-sdk | – | left out: agent-client-protocol $VERSION could not be installed |"
        exit 0
    fi
fi
echo "| python-sdk | version | agent-client-protocol $VERSION, $("$folder/bin/python" --version) |"
"$folder/bin/python" tests/heavy/python_sdk.py
