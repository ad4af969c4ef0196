"""Prints `N passed, N failed, N skipped` for one run of `bazel test`, and ends with 1 if anything failed.

    count_tests.py LOG TESTLOGS STATUS

LOG is what Bazel printed, TESTLOGS its bazel-testlogs folder, STATUS its exit code. The targets come from the
summary in LOG, so that results of an earlier run are not counted; the cases from each target's JUnit files.
What has no result of its own counts as one failed case: a target that did not build, ran out of time, died
after its last case, or wrote no file, and a run that failed without naming a target.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree

SUMMARY = re.compile(r"^//(\S*):(\S+) +(?:\(cached\) )?([A-Z][A-Z ]*[A-Z])")
RAN = ("PASSED", "FLAKY", "FAILED", "TIMEOUT")


def outcomes(folder):
    """Returns "passed", "failed" or "skipped" for every case in the JUnit files under the folder."""
    result = []
    for path in sorted(folder.rglob("test.xml")):
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            children = {child.tag for child in case}
            failed = children & {"failure", "error"}
            result.append("failed" if failed else "skipped" if "skipped" in children else "passed")
    return result


def count(log, testlogs, status):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for package, name, verdict in (match.groups() for match in map(SUMMARY.match, log) if match):
        cases = outcomes(testlogs / package / name) if verdict in RAN else []
        for case in cases:
            total[case] += 1
        good = verdict in ("PASSED", "FLAKY") and cases
        if not good and "failed" not in cases:
            total["failed"] += 1
    if status != 0 and total["failed"] == 0:
        total["failed"] = 1
    return total


def main():
    log, testlogs, status = sys.argv[1:]
    with open(log, errors="replace") as lines:
        total = count(lines, pathlib.Path(testlogs), int(status))
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
