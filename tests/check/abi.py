#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""cgp-abi.h means the same to the compiler of the daemon and to that of the programs.

It compiles alone for both, has no padding that is not written down, and every size and offset that the
host's compiler sees is asserted when compiling for the bpf target.
"""

import os
import re
import subprocess
import tempfile

from check import ROOT, Tap, read

HEADER = "bpf/include/cgp-abi.h"
INCLUDE = f'#include "{os.path.join(ROOT, HEADER)}"\n'
MULTIARCH = subprocess.run(["gcc", "-print-multiarch"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
STRICT = ["-std=gnu17", "-Wall", "-Wextra", "-pedantic", "-Wpadded", "-Werror"]
HOST = ["gcc", *STRICT]
BPF = ["clang", "-target", "bpf", *STRICT, f"-I/usr/include/{MULTIARCH}"]


def compile_text(compiler, text, *output):
    run = subprocess.run(
        [*compiler, "-x", "c", "-", *(output or ["-fsyntax-only"])], input=text, stderr=subprocess.PIPE, text=True
    )
    return run.stderr.splitlines()[:12] or ["it failed without a word"] if run.returncode else []


def structures():
    """{structure: [member]} of the header; a member that is an array is named without its bounds."""
    text = re.sub(r"/\*.*?\*/", "", read(HEADER), flags=re.DOTALL)
    found = {}
    for match in re.finditer(r"^struct (\w+) \{(.*?)^\};", text, flags=re.DOTALL | re.MULTILINE):
        members = re.findall(r"(\w+)\s*(?:\[[^\]]*\])?\s*;", match[2])
        found[match[1]] = members
    return found


def layout_on_host(structs):
    """Lines of assertions that the host's compiler says are true."""
    lines = []
    for name, members in structs.items():
        lines.append(f'P("sizeof(struct {name})", sizeof(struct {name}));')
        for member in members:
            what = f"__builtin_offsetof(struct {name}, {member})"
            size = f"sizeof(((struct {name} *)0)->{member})"
            lines.append(f'P("{what}", {what});')
            lines.append(f'P("{size}", {size});')
    program = (
        "#include <stdio.h>\n" + INCLUDE + "#define P(text, value) "
        'printf("_Static_assert(%s == %zu, \\"%s\\");\\n", text, (size_t)(value), text)\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "layout")
        problems = compile_text(["gcc", "-std=gnu17"], program, "-o", binary)
        if problems:
            return problems, ""
        return [], subprocess.run([binary], stdout=subprocess.PIPE, text=True, check=True).stdout


tap = Tap()
structs = structures()
tap.case("compiles alone for the host, without implicit padding", compile_text(HOST, INCLUDE))
tap.case("compiles alone for the bpf target, without implicit padding", compile_text(BPF, INCLUDE))
tap.case(
    "its structures are found",
    [] if len(structs) >= 10 and all(structs.values()) else [f"only {sorted(structs)}, or one without members"],
)
failed, assertions = layout_on_host(structs)
tap.case("the host's layout is known", failed or ([] if assertions else ["nothing was printed"]))
tap.case("the bpf target has the host's sizes and offsets", compile_text(BPF, INCLUDE + assertions))
tap.case(
    "a wrong size would be noticed",
    []
    if compile_text(BPF, INCLUDE + '_Static_assert(sizeof(struct cgp_verdict) == 9, "");')
    else ["an assertion that is false compiled"],
)
tap.case(
    "members have a fixed width",
    [
        f"struct {name}: {member}"
        for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", read(HEADER), flags=re.DOTALL | re.MULTILINE)
        for member in re.findall(
            r"^\s*(?!__u8|__u16|__u32|__u64|struct |char |/|\*)([a-z_]\w* +\w+.*;)", body, flags=re.MULTILINE
        )
    ],
)
tap.done()
