#!/bin/sh
# Greets the people named on the command line, or the world.
for name in "$@"; do
    printf 'Hello, %s!\n' "$name"
done
