#!/usr/bin/env bash
# The numbers of benches/whole, written to docs/BENCH.md. A target that is missed does not fail the stage.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo bench --locked --quiet --bench whole -- --write \
    | awk -F ' *[|] *' '/^\|/ && $2 != "what" && $2 !~ /^-+$/ {
        print "| bench | " $2 " | " $4 ", worst " $5 ", target " $3 ", met: " $7 " |" }'
