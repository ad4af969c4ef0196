"""Files as data of the program, so that it runs from anywhere."""

def embedded_files(name, srcs, visibility = None):
    """A library with `faultline::<name>()` in "<package>/<name>.h": (file name, content), in the order of srcs."""
    native.genrule(
        name = name + "_source",
        srcs = srcs,
        outs = [name + ".h", name + ".cc"],
        cmd = """
            type='const std::vector<std::pair<std::string_view, std::string_view>>&'
            {
                echo '#pragma once'
                echo '#include <string_view>'
                echo '#include <utility>'
                echo '#include <vector>'
                echo "namespace faultline { $$type %s(); }"
            } > $(RULEDIR)/%s.h
            {
                echo '#include "%s/%s.h"'
                echo 'namespace faultline {'
                count=0
                table=''
                for file in $(SRCS); do
                    echo "static const unsigned char kFile$$count[] = {"
                    od -An -v -tu1 -w32 $$file | sed 's/  */,/g; s/^,//; s/$$/,/'
                    echo '0};'
                    table="$$table {\\"$$(basename $$file)\\", {reinterpret_cast<const char*>(kFile$$count), sizeof(kFile$$count) - 1}},"
                    count=$$((count + 1))
                done
                echo "$$type %s() {"
                echo "  static const std::vector<std::pair<std::string_view, std::string_view>> kFiles = {$$table};"
                echo '  return kFiles;'
                echo '}'
                echo '}'
            } > $(RULEDIR)/%s.cc
        """ % (name, name, native.package_name(), name, name, name),
    )
    native.cc_library(
        name = name,
        srcs = [name + ".cc"],
        hdrs = [name + ".h"],
        linkstatic = True,
        visibility = visibility,
    )
