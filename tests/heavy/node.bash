# Node.js and packages for it, for the stages that need them; sourced, no stage itself.

NODE_VERSION=22.23.3

# node_packages STAGE PACKAGE@VERSION…: installs the packages below target/ with a Node.js from 22.13 on, puts
# that first into PATH, and sets `modules` to where they are. Where that cannot be, prints a row that says so
# and ends the stage.
node_packages() {
    local stage=$1 folder
    shift
    folder="${CARGO_TARGET_DIR:-$PWD/target}/$stage-node"
    # Other packages than last time: begin anew.
    if [ "$(cat "$folder/installed" 2>/dev/null)" != "$* node@$NODE_VERSION" ]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        if ! command -v npm >/dev/null; then
            echo "| $stage | – | not run: there is no npm |"
            exit 0
        fi
        local packages=("$@")
        if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 13) ? 0 : 1)' 2>/dev/null; then
            packages+=("node@$NODE_VERSION")
        fi
        if ! (cd "$folder" && echo '{"private": true}' >package.json \
            && timeout 150 npm install --no-audit --no-fund --no-update-notifier --loglevel=error "${packages[@]}") >&2; then
            rm -rf "$folder"
            echo "| $stage | – | not run: npm could not install ${packages[*]} |"
            exit 0
        fi
        echo "$* node@$NODE_VERSION" >"$folder/installed"
    fi
    export PATH="$folder/node_modules/.bin:$PATH"
    modules="$folder/node_modules"
}
