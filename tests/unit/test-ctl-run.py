#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cgpolicyctl run`: cgroup, exit status, signals, job control, and what happens when it is killed. Works in a
mount namespace and a control group of its own. usage: test-ctl-run.py COMMAND FAKE-DAEMON"""

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile

if os.geteuid() != 0:
    print("1..0 # SKIP needs root")
    sys.exit(0)
if os.environ.get("CGPOLICY_TEST_NAMESPACE") != "1":
    os.environ["CGPOLICY_TEST_NAMESPACE"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation=private", sys.executable, "-B", *sys.argv])

from ctl_harness import COMMAND, Fake, check, expect, main


class Jobs:
    """A control group that is emptied and removed with the block."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cgpolicy-test-")
        subprocess.run(["mount", "-t", "cgroup2", "none", self.folder.name], check=True)
        self.dir = os.path.join(self.folder.name, f"cgpolicy-test-run-{os.getpid()}")
        os.mkdir(self.dir)
        self.fake = Fake(self.dir)
        return self, self.fake.__enter__()

    def __exit__(self, *_):
        self.fake.__exit__()
        with open(self.dir + "/cgroup.kill", "w", encoding="ascii") as f:
            f.write("1")
        self.wait_empty()
        for name in os.listdir(self.dir):
            if os.path.isdir(os.path.join(self.dir, name)):
                os.rmdir(os.path.join(self.dir, name))
        os.rmdir(self.dir)
        subprocess.run(["umount", self.folder.name], check=True)
        self.folder.cleanup()

    def pids(self, name):
        with open(f"{self.dir}/{name}/cgroup.procs", encoding="ascii") as f:
            return [int(line) for line in f]

    def wait_empty(self, name="."):
        with open(f"{self.dir}/{name}/cgroup.events", encoding="ascii") as f:
            poll = select.poll()
            poll.register(f, select.POLLPRI)
            while "populated 1" in f.read():
                poll.poll()
                f.seek(0)


def wait_state(pid, *states):
    """Looks until the process is in one of these states: only a parent gets an event of that."""
    while True:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            if f.read().rpartition(")")[2].split()[0] in states:
                return
        os.sched_yield()


def test_inside_before_the_first_instruction():
    with Jobs() as (_, fake):
        run = fake.ctl("run", "a", "--", "/bin/cat", "/proc/self/cgroup")
        expect(run, 0, None, "")
        check(run.stdout.splitlines()[-1].endswith("/a"), run.stdout)


def test_exit_status():
    with Jobs() as (_, fake):
        expect(fake.ctl("run", "a", "--", "sh", "-c", "exit 7"), 7, "", "")
        expect(fake.ctl("run", "a", "--", "sh", "-c", "kill -9 $$"), 137, "", "")
        expect(fake.ctl("run", "a", "--", "/none/such"), 127, "", "is not found")
        expect(fake.ctl("run", "a", "--", "/etc/passwd"), 126, "", "cannot execute")
        expect(fake.ctl("run", "busy", "--", "true"), 8, "", "in use")
        expect(fake.ctl("run", "a", "--rule=allow oot tcp/1", "--", "true"), 5, "", "did you mean")


def test_arguments_and_streams():
    with Jobs() as (_, fake):
        with open("/etc/passwd", encoding="utf-8") as f:
            expect(fake.ctl("run", "a", "--", "head", "-n1", "--", stdin=f), 0, open("/etc/passwd", encoding="utf-8").readline(), "")
        expect(fake.ctl("run", "a", "--", "sh", "-c", 'echo "$#" "$CGPOLICY_PRIVATE"; pwd', "sh", "--json", "--", "x", cwd="/usr"),
               0, f"3 {fake.dir}\n/usr\n", "")
        expect(fake.ctl("run", "a", "--", "sh", "-c", "ls /proc/$$/fd"), 0, "0\n1\n2\n", "")


def test_signal_state_is_inherited():
    state = "grep -E '^Sig(Blk|Ign)' /proc/self/status"
    with Jobs() as (_, fake):
        def prepare():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        plain = subprocess.run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], preexec_fn=prepare, capture_output=True, text=True, check=True)
        run = fake.ctl("run", "a", "--", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", preexec_fn=prepare)
        expect(run, 0, plain.stdout, "")
        expect(fake.ctl("run", "a", "--", "sh", "-c", state + ">/dev/null; exit 3", preexec_fn=prepare), 3)


def test_signals_are_forwarded():
    with Jobs() as (_, fake):
        for name in ("INT", "QUIT", "TERM", "HUP", "USR1", "USR2", "WINCH", "ALRM", "PIPE"):
            script = f"trap 'echo {name}; exit 9' {name}; echo ready; while :; do read line <&3; done"
            reading, writing = os.pipe()
            with fake.start("run", "a", "--", "sh", "-c", f"exec 3<&{reading}; {script}", pass_fds=[reading]) as run:
                check(run.stdout.readline() == "ready\n")
                run.send_signal(getattr(signal, "SIG" + name))
                out, err = run.communicate()
                check((run.returncode, out, err) == (9, name + "\n", ""), run.returncode, out, err)
            os.close(reading)
            os.close(writing)


def test_default_action_of_a_signal():
    with Jobs() as (_, fake):
        with fake.start("run", "a", "--", "sh", "-c", "echo ready; exec cat /dev/zero >/dev/null") as run:
            check(run.stdout.readline() == "ready\n")
            run.send_signal(signal.SIGTERM)
            check(run.wait() == 128 + signal.SIGTERM, run.returncode)


def test_own_signals_do_not_come_back():
    with Jobs() as (_, fake):
        script = "trap 'n=$((n+1))' TERM; kill -TERM 0; kill -USR1 $PPID; sh -c 'kill -USR2 $PPID'; echo $n"
        run = fake.ctl("run", "a", "--", "sh", "-c", "trap : USR2; " + script, start_new_session=True)
        expect(run, 0, "1\n", "")


TREE = "setsid sh -c 'echo ready; exec sleep 100000' & sleep 100000 & sleep 100000 & echo ready; wait"


def test_killed_run_takes_the_job_along():
    with Jobs() as (jobs, fake):
        with fake.start("run", "a", "--", "sh", "-c", TREE) as run:
            check([run.stdout.readline() for _ in range(2)] == ["ready\n"] * 2)
            check(len(jobs.pids("a")) == 4, jobs.pids("a"))
            run.kill()
            check(run.wait() == -signal.SIGKILL)
            jobs.wait_empty("a")
            check(jobs.pids("a") == [])


def test_job_outlives_the_daemon():
    with Jobs() as (_, fake):
        with fake.start("run", "a", "--", "sh", "-c", "trap 'exit 4' TERM; echo ready; sleep 100000 & wait") as run:
            check(run.stdout.readline() == "ready\n")
            fake.process.kill()
            fake.process.wait()
            run.send_signal(signal.SIGTERM)
            check(run.wait() == 4, run.returncode)


def test_what_is_left_behind_stays():
    with Jobs() as (jobs, fake):
        expect(fake.ctl("run", "a", "--", "sh", "-c", "sleep 100000 >/dev/null 2>&1 & exit 5"), 5, "", "")
        check(len(jobs.pids("a")) == 1, jobs.pids("a"))


def test_inherited_sockets_are_named():
    with Jobs() as (_, fake), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inet, socket.socket(socket.AF_UNIX) as unix:
        run = fake.ctl("run", "a", "--", "true", pass_fds=[inet.fileno(), unix.fileno()])
        expect(run, 0, "", f"descriptor {inet.fileno()} is a network socket")
        check(len(run.stderr.splitlines()) == 1, run.stderr)
        expect(fake.ctl("run", "a", "--", "true"), 0, "", "")


def read_until(fd, words):
    text = b""
    while words not in text:
        text += os.read(fd, 4096)
    return text.decode()


def test_terminal():
    """Ctrl-C reaches the command once; Ctrl-Z stops both, and both go on together."""
    with Jobs() as (_, fake):
        script = "trap 'echo INT' INT; echo ready; while read line; do echo \"got $line\"; done; exit 6"
        pid, fd = pty.fork()
        if pid == 0:
            # A leader that waits, as a shell does: the job is in a process group of its own, in the foreground.
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            job = os.fork()
            if job == 0:
                os.setpgid(0, 0)
                os.tcsetpgrp(0, os.getpid())
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                os.execve(COMMAND, [COMMAND, "run", "a", "--", "sh", "-c", script], fake.environment())
            _, status = os.waitpid(job, os.WUNTRACED)
            os.write(1, b"stopped %d\n" % (os.WSTOPSIG(status) if os.WIFSTOPPED(status) else -1))
            os.killpg(job, signal.SIGCONT)
            _, status = os.waitpid(job, 0)
            os.write(1, b"status %d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        read_until(fd, b"ready")
        os.write(fd, b"\x1a")
        read_until(fd, b"stopped %d" % signal.SIGTSTP)
        os.write(fd, b"hello\n")
        read_until(fd, b"got hello")
        os.write(fd, b"\x03")
        text = read_until(fd, b"INT\r\n")
        os.write(fd, b"again\n\x04")
        text += read_until(fd, b"status 6")
        check(text.count("INT\r\n") == 1, text)
        os.close(fd)
        os.waitpid(pid, 0)


def test_stopped_by_name():
    """Without a job control shell nobody would continue run, so it goes on waiting."""
    with Jobs() as (jobs, fake):
        with fake.start("run", "a", "--", "sh", "-c", "echo ready; read line < /dev/null; exec sleep 100000", start_new_session=True) as run:
            check(run.stdout.readline() == "ready\n")
            (pid,) = jobs.pids("a")
            os.kill(pid, signal.SIGSTOP)
            wait_state(pid, "T")
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)
            check(run.wait() == 128 + signal.SIGTERM, run.returncode)


def test_strangers_have_no_access():
    """A daemon of root, asked by nobody, and a daemon of nobody, asked by root."""
    with Fake() as fake, open(COMMAND, "rb") as program:
        run = fake.ctl("status", user=65534, group=65534, executable="/proc/self/fd/0", stdin=program)
        expect(run, 7, "", "no access")
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket(socket.AF_UNIX) as listener:
            os.chmod(folder, 0o777)
            os.setegid(65534)
            os.seteuid(65534)
            listener.bind(folder + "/bus")
            listener.listen()
            os.seteuid(0)
            os.setegid(0)
            run = subprocess.run([COMMAND, "--private", folder, "status"], capture_output=True, text=True, check=False)
            expect(run, 7, "", "runs as uid 65534")


main([case for name, case in list(globals().items()) if name.startswith("test_")])
