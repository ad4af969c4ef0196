#!/bin/bash
# From a case's own outcome to the closing line: the JUnit files that catch_main writes, read by count_tests.py.
set -u
sample="$PWD/tests/support/sample_cases"
count="$PWD/tools/count_tests.py"
logs="$TEST_TMPDIR/testlogs"
log="$TEST_TMPDIR/log"
problems=0

expect() {  # what, expected, got
  [ "$2" = "$3" ] && return
  echo "$1: expected '$2', got '$3'"
  problems=$((problems + 1))
}

# Runs sample cases as target //p:$1; prints what it prints, ends as it ends.
sample() {
  mkdir -p "$logs/p/$1"
  TEST_TARGET="//p:$1" XML_OUTPUT_FILE="$logs/p/$1/test.xml" "$sample" "${@:2}" 2>&1
}

counted() {  # exit code of Bazel, lines of its summary
  printf '%s\n' "${@:2}" >"$log"
  python3 "$count" "$log" "$logs" "$1"
}

sample all >"$TEST_TMPDIR/all.txt"
expect "exit code with failures" 3 $?
sample good passes >/dev/null
expect "exit code of a pass" 0 $?
sample skip '[skip]' >"$TEST_TMPDIR/skip.txt"
expect "exit code when all is skipped" 0 $?
sample crash '[crash]' >/dev/null
[ $? -ne 0 ] || expect "exit code of a crash" "not 0" 0
sample none 'no such case' >/dev/null
expect "exit code for an unknown case" 2 $?

expect "reasons" "skipped: skips: no <GPU> here" "$(grep '^skipped: skips:' "$TEST_TMPDIR/skip.txt")"
grep -A1 '^failed: fails, with' "$TEST_TMPDIR/all.txt" | tail -1 | sed 's/.* --test_arg=//' >"$TEST_TMPDIR/arg"
eval "sample again $(cat "$TEST_TMPDIR/arg")" >/dev/null
expect "the printed command runs that case" 1 $?
expect "and only that case" "0 passed, 1 failed, 0 skipped" "$(counted 3 '//p:again  FAILED in 0.1s')"

expect "all outcomes" "1 passed, 3 failed, 2 skipped" "$(counted 3 '//p:all   FAILED in 0.1s')"
expect "cached" "1 passed, 0 failed, 0 skipped" "$(counted 0 '//p:good (cached) PASSED in 0.1s')"
expect "skips" "0 passed, 0 failed, 2 skipped" "$(counted 0 '//p:skip    PASSED in 0.1s')"
expect "crash" "0 passed, 1 failed, 0 skipped" "$(counted 3 '//p:crash   FAILED in 0.1s')"
expect "not built, whatever it once wrote" "0 passed, 1 failed, 0 skipped" "$(counted 1 '//p:good  FAILED TO BUILD')"
expect "never started" "0 passed, 1 failed, 0 skipped" "$(counted 1 '//p:good  NO STATUS')"
expect "died after its last case" "1 passed, 1 failed, 0 skipped" "$(counted 3 '//p:good  FAILED in 0.1s')"
expect "no file" "0 passed, 1 failed, 0 skipped" "$(counted 0 '//p:silent  PASSED in 0.1s')"
expect "no target at all" "0 passed, 1 failed, 0 skipped" "$(counted 1 'ERROR: no such package')"
counted 0 '//p:good  PASSED in 0.1s' >/dev/null
expect "exit code of the count" 0 $?
counted 0 '//p:all  PASSED in 0.1s' >/dev/null
expect "exit code of the count with failures" 1 $?

exit $problems
