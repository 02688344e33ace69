#!/usr/bin/env bash
# What the user of Toad sees on the screen, in tmux: see toad_screen.py.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly VERSION=0.6.20
folder="${CARGO_TARGET_DIR:-$PWD/target}/toad-$VERSION"

if ! command -v tmux >/dev/null; then
    echo "| toad | – | not run: there is no tmux |"
    exit 0
fi
# Toad asks for Python 3.14; toad_on_3_13.py lets it run on 3.13. One that pyenv has will do.
python=
for candidate in python3.14 python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[34].*/bin/python python3; do
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "| toad | – | not run: there is no Python from 3.13 on |"
    exit 0
fi
if ! "$folder/bin/python" -c 'import textual, importlib.util as u, sys; sys.exit(u.find_spec("toad") is None)' 2>/dev/null; then
    rm -rf "$folder"
    if ! { "$python" -m venv "$folder" \
        && timeout 150 "$folder/bin/pip" install --quiet --disable-pip-version-check \
            --ignore-requires-python "batrachian-toad==$VERSION"; } >&2; then
        rm -rf "$folder"
        echo "| toad | – | not run: batrachian-toad $VERSION could not be installed |"
        exit 0
    fi
fi
program=("$folder/bin/toad")
how=
if ! "$folder/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 14))'; then
    program=("$folder/bin/python" "$PWD/tests/heavy/toad_on_3_13.py")
    how=", through toad_on_3_13.py as it asks for 3.14"
fi
shown=$("${program[@]}" --version)
echo "| toad | version | Toad $shown, $("$folder/bin/python" --version)$how; $(tmux -V) |"
exec timeout 120 "$folder/bin/python" tests/heavy/toad_screen.py "${program[@]}"
