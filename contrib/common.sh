# shellcheck shell=bash
# Sourced by contrib/run and contrib/check: installs what is missing on a Debian or Ubuntu machine, and keeps
# a virtual environment in step with the sources.
#
# What is always true: nothing is installed twice, apt is not called when nothing is missing, and what a
# step wrote is shown only if the step fails. What was broken off is begun again, and what was done before it
# is not. Everything said goes to standard error, a line before each step.

set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

# The system's Python: its headers and venv are Debian packages, and other interpreters in PATH come and go.
python=${FLOWFS_PYTHON:-/usr/bin/python3}

# The mount helper, and what pyfuse3 (C), pcapy-ng (C++) and the core are built with.
packages=(fuse3 libfuse3-dev libpcap-dev pkg-config gcc g++)
[[ -n ${FLOWFS_PYTHON:-} ]] || packages+=(python3 python3-dev python3-venv)

say() { printf 'contrib/%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# quietly TITLE COMMAND...: says TITLE and runs COMMAND; its output is shown only if it fails.
quietly() {
    local title=$1 output
    shift
    say "$title"
    if output=$("$@" 2>&1 </dev/null); then return; fi
    printf '%s\n' "$output" >&2
    die "this failed: $title"
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

# The packages among "$@" that are not installed, one a line.
missing_packages() {
    local installed package
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null) || true
    for package; do
        [[ $'\n'$installed$'\n' == *$'\n'"$package installed"$'\n'* ]] || printf '%s\n' "$package"
    done
}

# need_packages NAME...: installs those that are missing.
need_packages() {
    local missing
    if ! command -v dpkg-query apt-get >/dev/null; then
        say "no Debian or Ubuntu here; what is needed, by the names of their packages: $*"
        return
    fi
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        die "these packages are missing, and there is no sudo; as root: apt-get install ${missing[*]}"
    fi
    ((EUID == 0)) || sudo -v || die "these packages are missing; as root: apt-get install ${missing[*]}"
    # A list that cannot be refreshed (one of several sources is down) may still hold what is wanted.
    say "refreshing the list of Debian packages"
    as_root apt-get -qq update >/dev/null 2>&1 </dev/null || true
    # apt refuses to go on behind a dpkg that was broken off.
    as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >/dev/null 2>&1 </dev/null || true
    quietly "installing Debian packages (about a minute): ${missing[*]}" as_root env \
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 --no-install-recommends \
        install "${missing[@]}"
}

# need_peers NAME...: installs programs to compare with, by the names of their packages; goes on without one that is
# not to be had. (In need_venv they would make it another environment than that of contrib/run.)
need_peers() {
    local peer
    for peer; do
        command -v "$peer" >/dev/null || (need_packages "$peer") ||
            say "there is no $peer to be had; going on without it"
    done
}

need_python() {
    [[ -x $python ]] || die "there is no $python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "flowfs needs Python 3.11 or newer," \
        "and $python is $("$python" -V) (Debian 12 and Ubuntu 24.04 have it; FLOWFS_PYTHON=... names another one)"
}

# as_builder COMMAND...: when root (by sudo) works in a checkout of a user, the environment is built by that
# user, who could not renew it otherwise.
as_builder() {
    local place=$venv uid gid home
    until [[ -e $place ]]; do place=$(dirname -- "$place"); done
    read -r uid gid < <(stat -c '%u %g' -- "$place")
    if ((EUID != 0 || uid == 0)); then
        "$@"
        return
    fi
    home=$(getent passwd "$uid" | cut -d: -f6) || home=/nonexistent
    setpriv --reuid="$uid" --regid="$gid" --clear-groups env HOME="$home" "$@"
}

# A hash of all that goes into the installed package.
sources_hash() {
    (
        cd -- "$root"
        find pyproject.toml contrib/build_hook.py flowfs -type f ! -name '*.pyc' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
    )
}

# The requirements in pyproject.toml, one a line, where "$1" is extras in brackets, or nothing.
requirements() {
    "$venv/bin/python" - "$root/pyproject.toml" "$1" <<'PYTHON'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
extras = [extra for extra in sys.argv[2].strip("[]").split(",") if extra]
more = [one for extra in extras for one in project["optional-dependencies"][extra]]
print(*project["dependencies"], *more, sep="\n")
PYTHON
}

# need_venv SPECIFICATION PACKAGE...: brings $venv in step with the sources, where "$root$SPECIFICATION" is
# what pip installs, and the Debian packages are needed for it.
need_venv() {
    local specification=$1 lock
    shift
    up_to_date "$(wanted "$specification" "$@")" && return
    as_builder mkdir -p -- "$venv"
    exec {lock}<"$venv" # which --clear empties, and does not remove
    flock -n "$lock" || {
        say 'another one is installing; waiting for it'
        flock "$lock"
    }
    if ! up_to_date "$(wanted "$specification" "$@")"; then
        trap interrupted INT
        install_all "$specification" "$@"
        trap - INT
    fi
    exec {lock}<&-
}

# A virtual environment knows its own path, and that of its Python.
base() { printf '%s %s\n' "$(readlink -f -- "$python" || true)" "$venv"; }

# What need_venv is to bring about.
wanted() {
    local specification=$1
    shift
    printf '%s %s %s %s\n' "$(base)" "$specification" "$*" "$(sources_hash)"
}

up_to_date() { is_done stamp "$1" && [[ -x $venv/bin/flowfs ]] && command -v fusermount3 >/dev/null; }

interrupted() {
    say 'interrupted; the next time it goes on from here'
    exit 130
}

# once NAME WHAT TITLE COMMAND...: a step, unless it was done before, for the same WHAT. That it was done is
# noted in the virtual environment, behind the step: one that was broken off is not.
once() {
    local name=$1 what=$2 title=$3
    shift 3
    ! is_done "$name" "$what" || return 0
    as_builder rm -f -- "$venv/flowfs-$name"
    quietly "$title" as_builder env PYTHONDONTWRITEBYTECODE=1 "$@"
    printf '%s\n' "$what" | as_builder tee -- "$venv/flowfs-$name.new" >/dev/null
    as_builder mv -f -- "$venv/flowfs-$name.new" "$venv/flowfs-$name"
}

is_done() { [[ -r $venv/flowfs-$1 && $(<"$venv/flowfs-$1") == "$2" ]]; }

install_all() {
    local specification=$1 pip pcapy others what
    shift
    [[ ! -x $python ]] || need_python # before anything is installed for one that is too old
    need_packages "$@"
    need_python
    # What is lost is to be made again, and what a new environment replaces, which may be broken off as well.
    [[ -x $venv/bin/flowfs ]] || as_builder rm -f -- "$venv/flowfs-stamp"
    if [[ ! -x $venv/bin/python ]] || ! is_done venv "$(base)"; then
        as_builder rm -f -- "$venv"/flowfs-{venv,pcapy,libraries,stamp}
    fi
    once venv "$(base)" "making a virtual environment in $venv (some seconds)" \
        "$python" -m venv --clear -- "$venv"
    pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input)
    mapfile -t pcapy < <(requirements "$specification" | grep '^pcapy-ng')
    mapfile -t others < <(requirements "$specification" | grep -v '^pcapy-ng')
    # The wheel of pcapy-ng carries libpcap 1.9.1, which does not know SLL2: build it on the system's. By itself,
    # since --no-binary keeps pip from using what else it has built.
    once pcapy "${pcapy[*]}" 'compiling pcapy-ng (about half a minute)' \
        "${pip[@]}" --no-binary pcapy-ng -- "${pcapy[@]}"
    once libraries "${others[*]}" 'compiling pyfuse3, and installing other libraries (about a minute)' \
        "${pip[@]}" -- "${others[@]}"
    what=$(wanted "$specification" "$@") # before it is built: the sources may change meanwhile
    once stamp "$what" 'compiling and installing flowfs (a minute or two)' "${pip[@]}" -- "$root$specification"
}
