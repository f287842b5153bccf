#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual's table of what is seen: each row names a test that exists, and only what programs on control groups
cannot see is said not to be."""

import os
import re

from check import Tap, read

MANUAL = "docs/cgpolicyctl.1"
SECTION = "WHAT IS SEEN"
BLIND = {"AF_PACKET", "AF_VSOCK", "Closed ports", "Kernel sockets", "TIME_WAIT"}
# What somebody will look for; each is a way around that a row has to speak of.
WAYS = (
    "mapped", "MSG_FASTOPEN", "io_uring", "sendmmsg", "then sendto", "extension headers", "routing headers", "source routing",
    "Fragments", "Passing of descriptors", "Socket activation", "fork", "another control group", "Network namespaces",
    "AF_PACKET", "Raw sockets", "MPTCP client", "MPTCP server", "SCTP", "AF_VSOCK", "QUIC", "multicast and broadcast",
    "Closed ports", "TIME_WAIT", "Kernel sockets", "Implicit binds",
)


def table():
    """Rows of cells; a cell is a list of lines."""
    text = read(MANUAL)
    section = text[text.index(f".SH {SECTION}\n"):]
    body = section[section.index("\n.TS\n"):section.index("\n.TE\n")].replace("\\-", "-")
    _, body = body.split("|Test\n")
    # Between T{ and T} a newline is part of a cell.
    cells = re.sub(r"T\{\n(.*?)\nT\}", lambda m: m[1].replace("\n", "\0"), body, flags=re.S)
    return [
        [[line for line in cell.split("\0") if line and line != ".br"] for cell in row.split("|")] for row in cells.split("\n")
    ]


def source_of(suite, program):
    """Where the cases of a program stand."""
    if suite == "bus":
        return f"tests/bus/test-{program.removeprefix('bus-')}.py"
    return f"tests/{suite}/test-{program}.c"


def find(test):
    """What is wrong with the name of a test, or None."""
    match = re.fullmatch(r"([a-z]+)/([a-z0-9-]+): (\w[\w ]*)", test)
    if not match:
        return f"'{test}' is not SUITE/PROGRAM: CASE"
    suite, program, case = match.groups()
    path = source_of(suite, program)
    if not os.path.exists(path):
        return f"'{test}': there is no {path}"
    text = read(path)
    if path.endswith(".py"):
        found = f"def test_{case.replace(' ', '_')}():" in text
    else:
        # Told to the runner, and not only written.
        found = re.search(rf"\bcmocka_unit_test\w*\(\s*{case}\b", text)
    return None if found else f"'{test}': {path} has no such case"


def main():
    tap = Tap()
    rows = table()
    tap.case("the table has a row for each way", [
        f"no row speaks of '{way}'" for way in WAYS if not any(way in " ".join(row[0]) for row in rows)
    ])
    bad = []
    for row in rows:
        name = " ".join(row[0])
        if len(row) != 4 or not all(row):
            bad.append(f"{name}: {len(row)} cells, of which none may be empty")
        elif row[1] not in (["seen"], ["not seen"]):
            bad.append(f"{name}: is it seen?")
        elif (row[1] == ["not seen"]) != (name in BLIND):
            bad.append(f"{name}: {row[1][0]}")
    tap.case("only what cannot be seen is not seen", bad)
    tap.case("each row has tests that exist", [wrong for row in rows for wrong in map(find, row[-1]) if wrong])
    tap.done()


main()
