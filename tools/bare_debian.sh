#!/bin/bash
# Repeats the proof that a bare Debian 12 needs nothing but this repository: debootstraps one into FOLDER,
# clones HEAD into it, runs the first two commands of README there (or the ones given) and prints their times.
#
#   sudo tools/bare_debian.sh FOLDER [COMMAND...]
#
# FOLDER must be new or empty and stays for a look; it can simply be removed: all mounts live in a mount
# namespace that ends with this script. The mirror is the one that this machine's apt uses.
set -euo pipefail

die() { echo "bare_debian: $*" >&2; exit 2; }

[ $# -ge 1 ] || die "usage: tools/bare_debian.sh FOLDER [COMMAND...]"
[ "$(id -u)" = 0 ] || die "debootstrap and chroot need root"
command -v debootstrap >/dev/null || die "needs debootstrap: apt-get install debootstrap"

if [ "${BARE_DEBIAN_INSIDE:-}" != yes ]; then
  BARE_DEBIAN_INSIDE=yes exec unshare --mount --pid --fork --kill-child -- "$0" "$@"
fi

repository=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
root=$(realpath -m "$1")
shift
if [ $# -eq 0 ]; then
  mapfile -t commands < <(grep -oE '^ *tools/bazel (run|test) [^#]*' "$repository/README.md" | head -2)
  [ ${#commands[@]} -eq 2 ] || die "README.md does not state two commands"
  set -- "${commands[@]}"
fi
[ -z "$(ls -A "$root" 2>/dev/null)" ] || die "$root is not empty"

mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
[ -n "$mirror" ] || die "apt on this machine knows no mirror of bookworm (apt-get update first)"
log=$(mktemp)
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$log" 2>&1 || die "debootstrap failed: $log"
rm "$log"
rm "$root/etc/apt/sources.list"
cp -a /etc/apt/sources.list* /etc/apt/apt.conf.d "$root/etc/apt/"
cp -L /etc/resolv.conf "$root/etc/"
echo "127.0.0.1 localhost" >"$root/etc/hosts"  # as Debian's installer does; debootstrap leaves it out
git clone --quiet --no-hardlinks "$repository" "$root/home/faultline"

mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

status=0
for command in "$@"; do
  echo "bare_debian: $command"
  start=$SECONDS
  chroot "$root" /usr/bin/env -i HOME=/root USER=root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /bin/sh -c "cd /home/faultline && $command" </dev/null || status=$?
  echo "bare_debian: status $status after $((SECONDS - start)) s: $command"
  [ $status -eq 0 ] || break
done
exit $status
