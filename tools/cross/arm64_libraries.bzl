"""Debian's static libraries for aarch64, unpacked in a folder of their own: the machine's packages stay as they are."""

PACKAGES = ["libdeflate-dev", "libssl-dev", "libyaml-cpp-dev"]

# apt-get with no state of the machine's but its sources.
FETCH = """
set -e
mkdir -p apt/lists/partial
cat > apt/conf <<END
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Sandbox::User "root";
Dir::State::lists "$PWD/apt/lists";
Dir::State::status "/dev/null";
Dir::Cache "$PWD/apt";
END
export APT_CONFIG="$PWD/apt/conf"
apt-get -qq update
apt-get -qq download "$@"
for package in *.deb; do dpkg-deb --extract "$package" .; done
rm -r apt *.deb
"""

def _arm64_libraries_impl(ctx):
    result = ctx.execute(["sh", "-c", FETCH, "sh"] + PACKAGES)
    if result.return_code != 0:
        fail("apt-get could not fetch %s for arm64: %s" % (", ".join(PACKAGES), result.stderr))
    ctx.file("BUILD", """
filegroup(
    name = "arm64",
    srcs = glob(["usr/include/**", "usr/lib/**/*.a"]),
    visibility = ["//visibility:public"],
)
""")

arm64_libraries = repository_rule(implementation = _arm64_libraries_impl)
