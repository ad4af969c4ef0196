"""Finds the CUDA toolkit: CUDA_HOME, or /usr/local/cuda. A CUDA_HOME without one, say `none`, means that there is none."""

OLDEST = 13

def _release(ctx, home):
    if not home.startswith("/") or not ctx.path(home + "/bin/nvcc").exists:
        return 0
    text = ctx.execute([home + "/bin/nvcc", "--version"]).stdout
    number = text.partition("release ")[2].partition(".")[0]
    return int(number) if number.isdigit() else 0

def _cuda_toolkit_impl(ctx):
    home = ctx.os.environ.get("CUDA_HOME", "/usr/local/cuda")
    found = _release(ctx, home) >= OLDEST
    ctx.file("toolkit.bzl", "NVCC = \"%s\"\n" % (home + "/bin/nvcc" if found else ""))
    ctx.file("BUILD", """
cc_library(
    name = "runtime",
    linkopts = ["-L%s/lib64", "-lcudart_static", "-ldl", "-lrt", "-lpthread"],
    visibility = ["//visibility:public"],
)
""" % home)

cuda_toolkit = repository_rule(
    implementation = _cuda_toolkit_impl,
    environ = ["CUDA_HOME"],
    local = True,
    configure = True,
)
