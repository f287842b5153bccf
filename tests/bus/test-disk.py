# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon whose disk is full: what it cannot keep it does not put in force, what is in force stays, and all is
well again when there is room."""

import contextlib
import errno
import os
import sys

from harness import Daemon, check, equal, folder, libc, main

SIZE = 512 * 1024


@contextlib.contextmanager
def small_disk():
    """A daemon on a file system of its own, and a function that fills it to the last byte."""
    with folder() as f:
        if libc.mount(b"tmpfs", f.encode(), b"tmpfs", 0, f"size={SIZE},mode=0700".encode()) < 0:
            raise OSError("cannot mount a tmpfs")
        try:
            with Daemon(f"{f}/d") as d:
                yield d, f"{f}/ballast"
        finally:
            libc.umount2(f.encode(), 2)


def fill(path):
    with open(path, "wb", buffering=0) as f:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * size)
    try:
        with open(path + "2", "wb", buffering=0) as f:
            f.write(b"x")
    except OSError as e:
        equal(e.errno, errno.ENOSPC)
    else:
        raise AssertionError("the disk is not full")
    finally:
        os.unlink(path + "2")


def refused(result):
    equal((result.rc, result.out), (1, ""), result.err)
    check("No space left on device" in result.err, result.err)
    check(any(w in result.err for w in ("nothing was changed", "is unchanged", "no job was made")), result.err)


def test_changes_are_refused_and_undone():
    with small_disk() as (d, ballast):
        job = d.job("web", "--rule=deny out tcp/9", "--default=allow")
        d.ok("apply", "-", stdin='{"cgpolicy": 1, "match": {"units": ["idle"]}, "rules": ["allow in tcp/1"]}')
        before = {n: d.show(n) for n in ("web", "idle")}
        fill(ballast)
        for words in (("allow", "web", "out", "tcp/9"), ("remove", "web", "deny", "out", "tcp/9"), ("mode", "web", "off"),
                      ("default", "web", "deny"), ("deny", "idle", "in", "tcp/2"), ("profile", "web", "default")):
            refused(d.ctl(*words))
        refused(d.ctl("apply", "-", stdin='{"cgpolicy": 1, "match": {"units": ["web"]}, "rules": ["allow out tcp/9"]}'))
        refused(d.ctl("run", "other", "--", "true"))
        check(not os.path.exists(d.job_cgroup("other")), "the refused job left its cgroup")
        for name, unit in before.items():
            equal(d.show(name), unit, name)
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        rc, answer = d.explain("web", "out", "tcp", "127.0.0.1:9")
        equal((rc, answer["kernel"]["agrees"]), (3, True))
        # With room again all of it works.
        os.unlink(ballast)
        d.ok("allow", "web", "out", "tcp/9")
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)
        equal(d.ctl("run", "other", "--", "true").rc, 0)
        d.ok("deny", "idle", "in", "tcp/2")


def test_denials_are_counted_and_seen():
    with small_disk() as (d, ballast):
        job = d.job("web")
        fill(ballast)
        log = d.follow("web")
        for port in range(1, 20):
            job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=port)
            equal(log.next(protocol="tcp")["remote"], f"127.0.0.1:{port}")
        equal(d.show("web")["blocked"], 19)
        os.unlink(ballast)
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=20)
        check("127.0.0.1:20 " in d.ok("log", "-n1"), "the log goes on")


def test_a_kill_on_a_full_disk():
    with small_disk() as (d, ballast):
        job = d.job("web", "--rule=deny out tcp/9", "--default=allow")
        d.ok("allow", "web", "in", "tcp/8080")
        before = d.show("web")
        fill(ballast)
        refused(d.ctl("allow", "web", "out", "tcp/9"))
        d.restart()
        equal(d.show("web"), before)
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        equal(d.explain("web", "out", "tcp", "127.0.0.1:9")[0], 3)
        refused(d.ctl("allow", "web", "out", "tcp/9"))
        os.unlink(ballast)
        d.ok("allow", "web", "out", "tcp/9")
        d.restart()
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)


def test_a_job_ends_on_a_full_disk():
    with small_disk() as (d, ballast):
        job = d.job("web", "--rule=allow out tcp/9")
        fill(ballast)
        job.end()
        d.wait_job_over("web")
        equal(d.ctl("show", "web").rc, 4)
        os.unlink(ballast)
        equal(d.ctl("run", "web", "--", "true").rc, 0)
        d.restart()
        equal(d.json("status")["units"], [])


if __name__ == "__main__":
    main(sys.modules[__name__])
