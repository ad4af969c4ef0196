"""Links the folder of reference captures that may stand beside the checkout."""

def _shared_folder_impl(ctx):
    folder = ctx.path(str(ctx.path(Label("//:WORKSPACE")).dirname) + "/../shared")
    if folder.exists:
        ctx.symlink(folder, "shared")
    ctx.file("BUILD", """
filegroup(
    name = "mma_captures",
    srcs = glob(["shared/mma_captures/*.txt"]),
    visibility = ["//visibility:public"],
)
""")

shared_folder = repository_rule(implementation = _shared_folder_impl, local = True, configure = True)
