#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may include whom. This table is the one in HACKING.md, enforced."""

import os
import re
from fnmatch import fnmatch

from check import Tap, files, read

# Headers that belong to a library other than libc. What is not named here is libc's.
THIRD_PARTY = {
    "libbpf": ("bpf/*",),
    "json-c": ("json-c/*",),
    "systemd": ("systemd/*",),
    "sd-event": ("systemd/sd-event.h",),
    "libnl": ("netlink/*",),
    "uapi": ("linux/*", "asm/*"),
    "cmocka": ("cmocka.h",),
}

# The first pattern that matches a file is its row: pattern, project headers as written, libraries. A
# file's own folder is always allowed.
TABLE = [
    ("bpf/include/*", (), ("uapi",)),
    ("bpf/*", ("cgp-abi.h", "*.bpf.h"), ("uapi", "libbpf")),
    ("daemon/util/*", (), ()),
    # Pure: of util only what does nothing but compute.
    (
        "daemon/policy/image.c",
        ("util/cleanup.h", "util/macro.h", "util/hash.h", "cgp-abi.h", "match.bpf.h"),
        (),
    ),
    (
        "daemon/policy/set-host.h",
        ("set.bpf.h",),
        (),
    ),
    (
        "daemon/policy/parse*.c",
        ("util/cleanup.h", "util/macro.h", "util/hash.h", "util/strv.h", "cgp-abi.h"),
        ("json-c",),
    ),
    ("daemon/policy/*", ("util/cleanup.h", "util/macro.h", "util/hash.h", "util/strv.h", "cgp-abi.h"), ()),
    ("daemon/kernel/*", ("util/*", "cgp-abi.h", "policy/image.h", "policy/set.h", "*.skel.h"), ("libbpf", "uapi")),
    ("daemon/track/*", ("util/*",), ("sd-event", "uapi")),
    ("daemon/net/*", ("util/*",), ("libnl", "sd-event", "uapi")),
    ("daemon/events/*", ("util/*", "cgp-abi.h", "policy/text.h"), ("json-c",)),
    ("daemon/core/plan.*", ("util/*", "policy/*", "cgp-abi.h", "kernel/ops.h"), ()),
    # Makes packets for the dry run.
    ("daemon/core/packet.*", ("util/*", "policy/*", "cgp-abi.h"), ("uapi",)),
    (
        "daemon/core/*",
        ("util/*", "policy/*", "kernel/*", "track/*", "net/watch.h", "net/socket-destroy.h", "events/*", "cgp-abi.h"),
        ("sd-event", "json-c"),
    ),
    ("daemon/bus/*", ("util/*", "policy/*", "events/*", "core/*", "cgp-abi.h"), ("systemd", "json-c")),
    ("daemon/main.c", ("util/*", "kernel/kernel.h", "core/*", "bus/*"), ("systemd",)),
    ("daemon/private.*", ("util/*", "track/cgroup.h", "bus/api.h"), ("uapi",)),
    ("daemon/exit-status.h", (), ()),
    ("ctl/*", ("util/*", "policy/*", "bus/api.h", "cgp-abi.h"), ("systemd", "json-c")),
    ("tests/*", ("*",), tuple(THIRD_PARTY)),
    ("bench/*", ("*",), tuple(THIRD_PARTY)),
]

# Said once more as what must never be, so that a widened row above cannot allow it by accident.
NEVER = [
    ("daemon/policy/*", ("util/log.h", "util/io.h", "util/time.h", "systemd/*", "bpf/*", "time.h", "unistd.h")),
    ("daemon/kernel/*", ("util/log.h", "systemd/*")),
    ("daemon/net/*", ("util/log.h",)),
    ("daemon/core/*", ("bus/*",)),
    ("ctl/*", ("core/*", "kernel/*", "track/*", "net/*", "events/*")),
    ("[!db]*", ("*.skel.h",)),
]

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def own_folder(path, header):
    # Project includes are written from daemon/; elsewhere, and beside main.c, a neighbour has no folder.
    folder = os.path.dirname(path)
    if "/" in header:
        return os.path.dirname(header) == folder.removeprefix("daemon/")
    return os.path.exists(os.path.join(folder, header))


def problems_of(path):
    row = next((row for row in TABLE if fnmatch(path, row[0])), None)
    if row is None:
        return [f"{path}: no row of the table is for it"]
    _, project, libraries = row
    known = [pattern for library in THIRD_PARTY.values() for pattern in library]
    allowed = [pattern for library in libraries for pattern in THIRD_PARTY[library]]
    found = []
    for match in INCLUDE.finditer(read(path)):
        header = match[1] or match[2]
        line = read(path)[: match.start(1 if match[1] else 2)].count("\n") + 1
        if any(fnmatch(path, who) and any(fnmatch(header, p) for p in what) for who, what in NEVER):
            found.append(f"{path}:{line}: {header} is never included here")
        elif match[1]:
            if not own_folder(path, header) and not any(fnmatch(header, p) for p in project):
                found.append(f'{path}:{line}: "{header}" is not among {", ".join(project) or "no headers"}')
        elif any(fnmatch(header, p) for p in known) and not any(fnmatch(header, p) for p in allowed):
            found.append(f"{path}:{line}: <{header}> is not among {', '.join(libraries) or 'libc'}")
    return found


def headers_are_acyclic():
    """The folders are ordered by the table; within a folder headers must not include each other in turn."""
    graph = {}
    for path in files("*.h", under="daemon/"):
        included = (m[1] for m in INCLUDE.finditer(read(path)) if m[1])
        graph[path] = [f"daemon/{h}" for h in included if os.path.exists(f"daemon/{h}")]
    problems = []
    done = set()

    def visit(path, trail):
        if path in trail:
            problems.append(" -> ".join(trail[trail.index(path) :] + [path]))
        elif path not in done:
            done.add(path)
            for header in graph.get(path, []):
                visit(header, trail + [path])

    for path in graph:
        visit(path, [])
    return problems


tap = Tap()
sources = files("*.c", "*.h")
for folder in sorted({os.path.dirname(f) for f in sources}):
    here = [f for f in sources if os.path.dirname(f) == folder]
    tap.case(f"includes of {folder}/", [p for f in here for p in problems_of(f)])
tap.case("headers do not include each other in a circle", headers_are_acyclic())
tap.done()
