#!/bin/sh
# Checks what greet.sh says.
failed=0

check() {
    wanted=$1
    shift
    found=$(./greet.sh "$@")
    if [ "$found" = "$wanted" ]; then
        echo "ok      greet.sh${*:+ $*}"
    else
        echo "failed  greet.sh${*:+ $*}: wanted '$wanted', found '$found'"
        failed=1
    fi
}

check 'Hello, Ada!' Ada
check 'Hello, Ada!
Hello, Grace!' Ada Grace
check 'Hello, world!'
exit $failed
