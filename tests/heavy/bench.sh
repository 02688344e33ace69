#!/usr/bin/env bash
# The numbers of benches/whole, benches/store and benches/tasks, written to docs/BENCH.md. A target that is missed does not fail the stage.
set -euo pipefail
cd "$(dirname "$0")/../.."
for bench in whole store tasks; do
    cargo bench --locked --quiet --bench "$bench" -- --write \
        | awk -v bench="$bench" -F ' *[|] *' '/^\|/ && $2 != "what" && $2 !~ /^-+:?$/ {
            print "| bench | " bench ": " $2 " | " $4 ", worst " $5 ", target " $3 ", met: " $7 " |" }'
done
