#!/bin/bash
# tools/bazel and tools/install.sh on machines that are made up: a folder of stand-ins is the whole PATH.
set -u
tools="$PWD/tools"
machine="$TEST_TMPDIR/machine"
problems=0

expect() {  # what, pattern, got
  # shellcheck disable=SC2053
  [[ "$3" == $2 ]] && return
  echo "$1: expected '$2', got '$3'"
  problems=$((problems + 1))
}

stand_in() {  # name, body
  printf '#!/bin/sh\n%s\n' "$2" >"$machine/$1"
  chmod +x "$machine/$1"
}

# A Debian with every package but $1, as user $2.
new_machine() {
  rm -rf "$machine"
  mkdir "$machine"
  ln -s "$(command -v env)" "$(command -v dirname)" "$machine/"
  stand_in id "echo $2"
  stand_in dpkg-query 'shift 2; for p; do case "'" $1 "'" in *" $p "*) ;; *) echo "installed=$p \c" ;; esac; done'
  stand_in apt-get "echo \"\$*\" >>$machine/apt.txt"
  stand_in real 'echo "real: $*"'
}

# Prints stdout, stderr, what apt-get was asked and the exit code.
bazel() {
  local status
  PATH="$machine" BAZEL_REAL=real /bin/sh "$tools/bazel" "$@" 2>"$machine/errors.txt"
  status=$?
  cat "$machine/errors.txt" "$machine/apt.txt" 2>/dev/null
  echo "exit $status"
}

new_machine "" 0
expect "nothing missing" $'real: test //... --config=asan\nexit 0' "$(bazel test //... --config=asan)"
expect "startup options" $'real: --output_base=/x run //a\nexit 0' "$(bazel --output_base=/x run //a)"

new_machine "catch2 libfmt-dev" 0
expect "info needs Bazel alone" $'real: info\nexit 0' "$(bazel info)"
expect "run installs what it lacks" \
  $'real: run //a test\nfaultline: installing libfmt-dev\n*update\n*install*--no-install-recommends libfmt-dev\nexit 0' \
  "$(bazel run //a test)"
rm "$machine/apt.txt"
expect "test installs more" \
  $'real: test //...\nfaultline: installing libfmt-dev catch2\n*update\n*install* libfmt-dev catch2\nexit 0' \
  "$(bazel test //...)"

new_machine "qemu-user-static" 0
expect "test leaves the emulator out" $'real: test //...\nexit 0' "$(bazel test //...)"
expect "the long proofs install it" \
  $'real: test //tests/long:all\nfaultline: installing qemu-user-static\n*update\n*install* qemu-user-static\nexit 0' \
  "$(bazel test //tests/long:all)"

new_machine "libfmt-dev" 0
stand_in apt-get 'echo "no network" >&2; exit 100'
expect "apt-get fails" $'*no network\nfaultline: apt-get could not*\nexit 2' "$(bazel run //a)"

new_machine "libfmt-dev" 0
rm "$machine/apt-get"
expect "no apt-get" \
  $'faultline: *no apt-get*: apt-get update && apt-get install --no-install-recommends libfmt-dev\nexit 2' \
  "$(bazel run //a)"

new_machine "libfmt-dev" 1000
expect "no rights" \
  $'faultline: *root: apt-get update && apt-get install --no-install-recommends libfmt-dev\nexit 2' "$(bazel run //a)"
stand_in sudo '[ "$1" = -n ] && shift; [ "$1" = true ] && exit; echo "sudo: $1" >>'"$machine"'/apt.txt; exec "$@"'
expect "sudo without a password" \
  $'real: run //a\nfaultline: installing libfmt-dev\nsudo: env\n*update\nsudo: env\n*install* libfmt-dev\nexit 0' \
  "$(bazel run //a)"

new_machine "" 0
rm "$machine/dpkg-query" "$machine/apt-get"
expect "not a Debian" $'faultline: *no apt-get*libfmt-dev*\nexit 2' "$(bazel run //a)"

exit $problems
