#!/bin/sh
# Installs the Debian packages that are missing for one of
#
#   tools/install.sh bazel    Bazel itself
#   tools/install.sh run      building and running the programs
#   tools/install.sh test     tests, benchmarks, the format check
#   tools/install.sh long     also the proofs of //tests/long:all, with other compilers
#
# and does nothing, in about 15 ms, when none is. This is the one list of packages.
bazel="bazel-bootstrap"
run="$bazel g++ dataset-fashion-mnist libcli11-dev libdeflate-dev libeigen3-dev libfmt-dev libgit2-dev libhwy-dev libjs-dygraphs
  librandom123-dev libsqlite3-dev libssl-dev libxxhash-dev libyaml-cpp-dev nlohmann-json3-dev"
test="$run catch2 chromium chromium-driver clang-format git libbenchmark-dev libdnnl-dev libmpfr-dev
  libopenblas-dev python3"
long="$test clang g++-aarch64-linux-gnu qemu-user-static"

die() {
  echo "faultline: $1" >&2
  exit 2
}

case "$1" in
  bazel) wanted=$bazel ;;
  run) wanted=$run ;;
  test) wanted=$test ;;
  long) wanted=$long ;;
  *) die "tools/install.sh takes bazel, run, test or long" ;;
esac

present=" $(dpkg-query -W -f='${db:Status-Status}=${Package} ' $wanted 2>/dev/null)"
missing=
for package in $wanted; do
  case "$present" in
    *" installed=$package "*) ;;
    *) missing="$missing $package" ;;
  esac
done
[ -z "$missing" ] && exit 0

command="apt-get update && apt-get install --no-install-recommends$missing"
command -v apt-get >/dev/null || die "packages are missing and there is no apt-get here; on Debian 12, as root: $command"
if [ "$(id -u)" = 0 ]; then
  as_root=
elif sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  die "packages are missing and installing them needs root; as root: $command"
fi

echo "faultline: installing$missing" >&2
# A desktop's own updater may hold the lock for a while.
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
$apt update >/dev/null && $apt install -y --no-install-recommends $missing >/dev/null ||
  die "apt-get could not install them; what it said is above"
