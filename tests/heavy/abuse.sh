#!/usr/bin/env bash
# Long lines, bad lines, many sessions, clients that do not read: see benches/abuse.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo bench --locked --quiet --bench abuse
