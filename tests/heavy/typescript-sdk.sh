#!/usr/bin/env bash
# A chat and background tasks through the client of the official TypeScript SDK: see typescript_sdk.mjs.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/heavy/node.bash

readonly VERSION=2.4.0
node_packages typescript-sdk "@agentclientprotocol/sdk@$VERSION"
echo "| typescript-sdk | version | @agentclientprotocol/sdk $VERSION, Node.js $(node --version) |"
MODULES="$modules" exec timeout 150 node tests/heavy/typescript_sdk.mjs
