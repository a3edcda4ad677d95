#!/usr/bin/env bash
# This host in a real Placement that runs inside the command: what a sync would change, the sync, what is left to
# change (nothing), and the tree as Placement has it.
#   demo.sh PLACEMENT-REPORTER DIRECTORY
set -u
reporter=$1
directory=$2
rm -rf "$directory"

run() {
  printf '\n$ placement-reporter --embedded %s\n' "$*"
  "$reporter" --embedded="$directory/placement.sqlite" "$@"
}

run diff
[ $? -eq 2 ] || exit 1  # 2: there is something to do
run sync || exit 1
run diff || exit 1      # 0: nothing is left to do
run show --from placement || exit 1
