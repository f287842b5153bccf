# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks, and waiting for what comes. WAIT does not measure anything: it only ends a test that would hang."""

import os
import select
import subprocess

WAIT = float(os.environ.get("TEST_WAIT", 90))


class Hang(AssertionError):
    """What was waited for did not come."""


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, expected, *what):
    check(got == expected, *what, "got", repr(got), "instead of", repr(expected))


def wait_readable(what, *fds, timeout=WAIT):
    """The descriptors that can be read."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    ready = [fd for fd, _ in poll.poll(timeout * 1000)]
    if not ready:
        raise Hang(f"waited in vain for {what}")
    return ready


def wait_exit(process, what="a process", timeout=WAIT):
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise Hang(f"{what} does not end") from None


class Lines:
    """Whole lines from a descriptor, each waited for."""

    def __init__(self, file, what):
        self.fd = file.fileno() if hasattr(file, "fileno") else file
        self.what = what
        self.buffer = b""
        self.ended = False

    def next(self):
        """None at the end."""
        while b"\n" not in self.buffer:
            if self.ended:
                return None
            wait_readable(f"a line of {self.what}", self.fd)
            more = os.read(self.fd, 65536)
            self.ended = not more
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def next_that(self, predicate):
        seen = []
        while (line := self.next()) is not None:
            if predicate(line):
                return line
            seen.append(line)
        raise AssertionError(f"{self.what} ended without the line: {seen[-5:]}")
