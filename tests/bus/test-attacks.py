# SPDX-License-Identifier: LGPL-2.1-or-later
"""What somebody tried who wants to reach a denied peer, to wear the daemon out, or to make it act on what is
not its own."""

import contextlib
import os
import resource
import shutil
import socket
import sys

from dbus_peer import Peer
from harness import Daemon, Worker, check, equal, folder, libc, main, wait_readable
from network import Net

QUEUE_MAX = 1024  # as in server.h


def test_new_number_no_old_conversations():
    """A conversation that a peer had with a job that is over does not let another job talk to that peer."""
    with Daemon() as d, Net() as net, Worker(net.outside) as peer:
        d.job("other")  # so that the kernel's memory outlives the daemon
        old = d.job("old", "--rule=allow in udp/6000", net=net.inside)
        old.do("udp", name="s", address=net.IN4, port=6000)
        peer.do("udp", name="s", address=net.OUT4, port=7000)
        peer.do("sendto", name="s", data="question", address=net.IN4, port=6000)
        equal(old.do("recvfrom", name="s")["data"], "question")
        old.do("sendto", name="s", data="answer", address=net.OUT4, port=7000)
        old.end()
        d.wait_job_over("old")
        d.restart()
        new = d.job("new", "--rule=allow in udp/6000", net=net.inside)
        new.do("udp", name="s", address=net.IN4, port=6000)
        new.fails("EPERM", "sendto", name="s", data="unasked", address=net.OUT4, port=7000)


def test_directory_that_is_replaced():
    """Who owns the directory above puts another one in its place: what is mounted there stays."""
    with folder() as parent:
        with Daemon(f"{parent}/d") as d:
            os.rename(f"{parent}/d", f"{parent}/away")
            os.makedirs(f"{parent}/d/bpf")
            equal(libc.mount(b"decoy", f"{parent}/d/bpf".encode(), b"tmpfs", 0, None), 0)
            try:
                d.dir = f"{parent}/away"
                d.ok("detach", "--all")
                equal(d.stop(), 0)
                check(os.path.ismount(f"{parent}/d/bpf"), "it unmounted what is not its own")
                check(not os.path.ismount(f"{parent}/away/bpf"), "it left its own mount")
            finally:
                libc.umount2(f"{parent}/d/bpf".encode(), 2)
                shutil.rmtree(f"{parent}/d")
                os.rename(f"{parent}/away", f"{parent}/d")
                d.dir = f"{parent}/d"


def test_no_descriptor_left():
    """More connections than the daemon has descriptors for: it says so once, and serves again later."""
    with Daemon() as d:
        used = len(os.listdir(f"/proc/{d.process.pid}/fd"))
        resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (used + 8, used + 8))
        with contextlib.ExitStack() as stack:
            last = None
            for _ in range(64):
                last = stack.enter_context(socket.socket(socket.AF_UNIX))
                last.connect(f"{d.dir}/bus")
            # Turned away, or refused when what it needs beside the socket is not there.
            wait_readable("the end of a connection too many", last.fileno())
            equal(last.recv(1), b"")
        d.ok("status")
        lines = [line for line in d.stderr().splitlines() if "Too many open files" in line]
        check(0 < len(lines) <= 64, len(lines), "lines say so")


def test_peer_that_does_not_read():
    """It asks and asks and never reads an answer: it is cut off, and others are served."""
    with Daemon() as d, Peer(d.dir) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(64 * QUEUE_MAX):
                peer.send("Introspect", interface="org.freedesktop.DBus.Introspectable")
            raise AssertionError("the daemon goes on answering one who does not listen")
        check("does not read" in d.stderr(), d.stderr())
        d.ok("status")


def test_profile_that_breaks_under_a_job():
    with Daemon() as d:
        profile = f"{d.dir}/profiles/tight.json"
        with open(profile, "w", encoding="utf-8") as f:
            f.write('{"cgpolicy": 1, "default": "deny"}')
        d.ok("reload")
        job = d.job("web", "--profile=tight")
        for breaks in (lambda: open(profile, "w", encoding="utf-8").close(), lambda: os.unlink(profile)):
            breaks()
            d.ok("reload")
            job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
            check(d.json("status")["degraded"], "nobody is told")
        d.restart()
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)


if __name__ == "__main__":
    main(sys.modules[__name__])
