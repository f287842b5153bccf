# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of a daemon on a directory: how it starts, whom it refuses to share with, how it ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import DAEMON, WAIT, Daemon, check, equal, folder, main, run_command

NOBODY = 65534


def start_refused(*words, prefix=(), daemon=DAEMON):
    """Runs a daemon that is expected not to start."""
    done = subprocess.run([*prefix, daemon, *words], capture_output=True, text=True, timeout=WAIT, check=False)
    return done.returncode, done.stdout, done.stderr


def test_usage():
    for words, code, word in (
        ((), 2, "--private DIR is missing"), (("--private",), 2, ""), (("--private", "/x", "y"), 2, "too many"),
        (("--private", "/x", "--log-level=loud"), 2, "loud"), (("--frob",), 2, "frob"), (("--system",), 10, "--private"),
    ):
        rc, out, err = start_refused(*words)
        equal((rc, out), (code, ""), words, err)
        check(word in err, word, err)
    equal(start_refused("--version")[0], 0)
    rc, out, _ = start_refused("--help")
    check(rc == 0 and "--private DIR" in out, out)


def test_needs_root():
    with folder() as f:
        os.chmod(f, 0o755)
        shutil.copy(DAEMON, f"{f}/daemon")
        os.chmod(f"{f}/daemon", 0o755)
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
        rc, _, err = start_refused("--private", f"{f}/d", prefix=prefix, daemon=f"{f}/daemon")
        check(rc == 7 and "needs root" in err and "sudo" in err, rc, err)
        check(not os.path.exists(f"{f}/d"), "it made its directory all the same")


def test_one_daemon_a_directory():
    with Daemon() as d:
        rc, _, err = start_refused("--private", d.dir)
        check(rc == 8 and "Another cgpolicyd runs" in err and "status" in err, rc, err)
        equal(d.json("status")["units"], [], "the first one is unharmed")
        with Daemon() as other:
            other.job("web")
            equal([u["name"] for u in other.json("status")["units"]], ["web"])
            equal(d.json("status")["units"], [], "another directory is another world")


def test_directory_of_others_is_refused():
    with folder() as f:
        for mode in (0o770, 0o707, 0o777):
            os.mkdir(f"{f}/d")
            os.chmod(f"{f}/d", mode)
            rc, _, err = start_refused("--private", f"{f}/d")
            check(rc == 7 and "nobody else may write" in err, oct(mode), rc, err)
            equal(os.listdir(f"{f}/d"), [], "what it left")
            os.rmdir(f"{f}/d")
        os.mkdir(f"{f}/d", 0o700)
        os.chown(f"{f}/d", NOBODY, NOBODY)
        rc, _, err = start_refused("--private", f"{f}/d")
        check(rc == 7 and "must belong to" in err, rc, err)
        with open(f"{f}/file", "w", encoding="ascii"):
            pass
        rc, _, err = start_refused("--private", f"{f}/file")
        equal(rc, 1, err)


def test_path_that_no_socket_can_have():
    with folder() as f:
        rc, _, err = start_refused("--private", f"{f}/{'x' * 100}")
        check(rc == 2 and "too long" in err, rc, err)
        left = [line for line in open("/proc/self/mounts", encoding="utf-8") if f in line]
        equal(left, [], "it left a mount")


def test_sigterm_ends_it_within_a_second():
    # A machine that is busy elsewhere may hold up one of them, not all.
    taken = []
    for n in range(3):
        with Daemon() as d:
            if n:
                d.job("web")
            begin = time.monotonic()
            equal(d.stop(), 0)
            taken.append(time.monotonic() - begin)
        if taken[-1] < 1:
            return
    raise AssertionError(taken)


def test_sigint_ends_it_too():
    with Daemon() as d:
        d.process.send_signal(signal.SIGINT)
        equal(d.process.wait(WAIT), 0)
        check(not os.path.exists(f"{d.dir}/bus"), "the socket")


def test_a_stop_without_jobs_leaves_nothing():
    with Daemon() as d:
        cgroup = d.cgroup
        equal(d.stop(), 0)
        check(not os.path.exists(cgroup), "the cgroup")
        check(not os.path.ismount(f"{d.dir}/bpf"), "the bpffs")
        check(not os.path.exists(f"{d.dir}/bus"), "the socket")


def test_a_stop_keeps_what_is_in_force():
    with Daemon() as d:
        job = d.job("web", "--default=deny")
        equal(d.stop(), 0)
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        d.start()
        equal(d.show("web")["state"], "attached")
        d.ok("default", "web", "allow")
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)


def test_what_a_killed_daemon_left_is_no_obstacle():
    with Daemon() as d:
        job = d.job("web", "--default=deny")
        d.kill()
        for name in ("bus", "lock"):
            check(os.path.exists(f"{d.dir}/{name}"), name)
        d.start()
        equal(d.show("web")["state"], "attached")
        d.ok("allow", "web", "out", "tcp/9")
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)


def test_a_job_that_ends_without_a_daemon_is_forgotten():
    with Daemon() as d:
        job = d.job("web", "--rule=allow out tcp/9")
        d.kill()
        job.end()
        d.start()
        equal(d.json("status")["units"], [])
        equal(os.listdir(f"{d.dir}/runtime.d"), [])
        equal(d.ctl("run", "web", "--", "true").rc, 0)


def test_hostile_files_in_the_directory():
    with Daemon() as d:
        d.stop()
        for name in ("log", "generation", "lock"):
            path = f"{d.dir}/{name}"
            if os.path.exists(path):
                os.unlink(path)
            os.symlink("/etc/passwd", path)
        before = os.stat("/etc/passwd")
        rc, _, err = start_refused("--private", d.dir)
        equal(rc, 1, err)
        check("lock" in err, err)
        after = os.stat("/etc/passwd")
        equal((after.st_mtime, after.st_size, after.st_mode), (before.st_mtime, before.st_size, before.st_mode))
        for name in ("log", "generation", "lock"):
            os.unlink(f"{d.dir}/{name}")


def test_what_state_says_is_not_trusted():
    for state in (b"", b"\0" * 64, b"{}", b"\xff" * 4096):
        with Daemon() as d:
            job = d.job("web", "--default=deny")
            d.kill()
            with open(f"{d.dir}/state.d/web", "wb") as f:
                f.write(state)
            d.start()
            job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
            check(any("web" in line for line in d.json("status")["degraded"]), "it is told", d.json("status"))
            equal(d.ctl("run", "other", "--", "true").rc, 0, "the daemon serves others")
            job.end()
            d.restart()
            equal(d.json("status")["degraded"], [], "once nobody lives there")


def test_command_finds_a_directory_by_any_path():
    with Daemon() as d, folder() as f:
        os.symlink(d.dir, f"{f}/link")
        equal(run_command("--private", f"{f}/link", "status").rc, 0)
        equal(run_command("--private", os.path.relpath(d.dir, tempfile.gettempdir()), "status", cwd=tempfile.gettempdir()).rc, 0)


if __name__ == "__main__":
    main(sys.modules[__name__])
