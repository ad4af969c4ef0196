"""The CUDA toolkit, where there is one, and a rule that runs its compiler."""

load("@cuda//:toolkit.bzl", "NVCC")

# Where there is no toolkit, `//...` leaves the targets of CUDA out; asking for one says what is missing.
HAVE_CUDA = NVCC != ""
CUDA_TAGS = [] if HAVE_CUDA else ["manual"]

def _cuda_objects_impl(ctx):
    if not HAVE_CUDA:
        fail("needs the CUDA toolkit 13: there is none at CUDA_HOME or /usr/local/cuda")
    headers = [dep[CcInfo].compilation_context.headers for dep in ctx.attr.deps]
    architectures = []
    for code in ctx.attr.architectures:
        architectures += ["-gencode", "arch=compute_%s,code=sm_%s" % (code, code)]
    objects = []
    for source in ctx.files.srcs:
        object = ctx.actions.declare_file("%s/%s.pic.o" % (ctx.label.name, source.basename))
        ctx.actions.run(
            executable = NVCC,
            arguments = ["-c", "-std=c++20", "-O2", "-fmad=false", "-I."] + architectures +
                        ["-Xcompiler", "-fPIC,-ffp-contract=off,-Wall", source.path, "-o", object.path],
            inputs = depset([source] + ctx.files.hdrs, transitive = headers),
            outputs = [object],
            mnemonic = "CudaCompile",
            progress_message = "Compiling %s with nvcc" % source.short_path,
            use_default_shell_env = True,
        )
        objects.append(object)
    return DefaultInfo(files = depset(objects))

_cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "architectures": attr.string_list(mandatory = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "srcs": attr.label_list(allow_files = [".cu"]),
    },
)

def cuda_library(name, srcs, architectures, hdrs = [], deps = [], **kwargs):
    """A cc_library of .cu files, each compiled for the architectures ("90a" for sm_90a)."""
    _cuda_objects(
        name = name + "_objects",
        srcs = srcs,
        hdrs = hdrs,
        architectures = architectures,
        deps = deps,
        tags = CUDA_TAGS,
    )
    native.cc_library(
        name = name,
        srcs = [name + "_objects"],
        hdrs = hdrs,
        deps = deps + ["@cuda//:runtime"],
        linkstatic = True,
        tags = CUDA_TAGS,
        **kwargs
    )
