#!/usr/bin/env bash
# Makes a virtual environment with the project.
#   setup.sh DIRECTORY use     and what it takes to use it with an embedded Placement
#   setup.sh DIRECTORY test    and everything its tests use; what cannot be had is said, and the tests that need it
#                              skip themselves
set -eu
cd "$(dirname "$0")/.."
venv=$1
purpose=$2

say() { printf 'setup: %s\n' "$*"; }

# System packages: to make a virtual environment; to build libvirt-python, and a libvirtd to test with.
needed="python3-venv"
if [ "$purpose" = test ]; then
  needed="$needed git python3-dev gcc pkg-config libvirt-dev"
  needed="$needed libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils swtpm swtpm-tools"
fi

absent() {
  for package in "$@"; do
    dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
  done
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  missing=$(absent $needed)
  if [ -n "$missing" ] && [ "$(id -u)" -eq 0 ]; then
    say "installing $missing"
    # One after the other where all together fail: one package that is not to be had must not cost the others.
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing) \
      </dev/null >/dev/null 2>&1 || for package in $missing; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
          </dev/null >/dev/null 2>&1 || say "$package cannot be installed"
      done
    missing=$(absent $needed)
  fi
  [ -z "$missing" ] || say "not installed: $missing(as root: apt-get install $missing); tests that need them are left out"
elif [ "$purpose" = test ]; then
  say "not Debian or Ubuntu: libvirt, its headers and a C compiler are yours to install; tests without them are left out"
fi

# The first Python that is new enough and can make virtual environments.
python=
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
  if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  say "needs Python 3.11 or later with its venv module (apt-get install python3-venv), or PYTHON=/path/to/python3"
  exit 1
fi
if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@" </dev/null; }

extras="test,peer,libvirt"
[ "$purpose" = test ] || extras="embedded"
say "installing the project into $venv ($("$venv/bin/python" --version))"
log=$(mktemp); trap 'rm -f "$log"' EXIT
if ! pip install -q -e ".[$extras]" >"$log" 2>&1; then
  if [ "$purpose" != test ]; then
    cat "$log"
    exit 1
  fi
  # Something of the optional part: leave out what fails, and nothing else.
  pip install -q -e '.[test]'
  pip install -q -e '.[libvirt]' >"$log" 2>&1 || say "libvirt-python cannot be installed: the libvirt tests are left out"
  pip install -q -e '.[peer]' >"$log" 2>&1 || say "nova cannot be installed: comparisons with Nova are left out"
fi
