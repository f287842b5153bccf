# SPDX-License-Identifier: LGPL-2.1-or-later
"""run with the real daemon: what the command gets, what becomes of its signals and its status, and how
long its policy lives."""

import os
import pty
import select
import signal
import socket
import subprocess
import sys

from harness import (COMMAND, PYTHON, WAIT, Daemon, Hang, Lines, check, die_with_parent, equal, folder, main,
                     processes_of, shared, wait_empty, wait_exit, wait_readable)

SHELL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shell.py")


def start(d, name, *command, options=(), **more):
    return subprocess.Popen(
        [COMMAND, "--private", d.dir, "run", name, *options, "--", *command], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent, **more,
    )


def finish(process):
    out, err = process.communicate(timeout=WAIT)
    return process.returncode, out.decode(), err.decode()


def test_exit_status():
    with shared() as d:
        for n in (0, 1, 3, 42, 255):
            equal(d.ctl("run", "a", "--", "sh", "-c", f"exit {n}"), (n, "", ""))
        for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGPIPE):
            equal(d.ctl("run", "a", "--", "sh", "-c", f"kill -{int(sig)} $$").rc, 128 + sig)
        result = d.ctl("run", "a", "--", "/none/such")
        check(result.rc == 127 and "not found" in result.err, result)
        result = d.ctl("run", "a", "--", "/etc/passwd")
        check(result.rc == 126 and "cannot execute" in result.err, result)


def test_a_name_is_free_as_soon_as_its_job_ended():
    with shared() as d:
        for n in range(50):
            equal(d.ctl("run", "again", "--", "true"), (0, "", ""), "run", n)


def test_first_instruction_is_inside():
    with shared() as d:
        result = d.ctl("run", "web", "--", "cat", "/proc/self/cgroup")
        equal((result.rc, result.err), (0, ""))
        check(f"0::/{os.path.basename(d.cgroup)}/web\n" in result.out, result.out)
        # A forked child is inside, too, and its parent is not.
        result = d.ctl("run", "web", "--", "sh", "-c", "cat /proc/$PPID/cgroup; (cat /proc/self/cgroup)")
        equal(result.out.count("/web\n"), 1, result.out)


def test_nothing_is_said_but_what_the_command_says():
    with shared() as d:
        result = d.ctl("run", "web", "--", "sh", "-c", "echo out; echo err >&2; cat", stdin="in\n")
        equal(result, (0, "out\nin\n", "err\n"))


def test_environment():
    with shared() as d, folder() as f:
        with open(f"{f}/tool", "w", encoding="ascii") as file:
            file.write('#!/bin/sh\nprintf "%s|" "$@" "$PWD" "$FOO" "$(id -u)" "$(umask)"\n')
        os.chmod(f"{f}/tool", 0o755)
        real = os.path.realpath(f)
        expected = f"a b||--x|{real}|bar|0|0027|"

        def prepare():
            os.umask(0o027)

        path = f"{f}:{os.environ['PATH']}"
        for name in ("tool", "./tool", f"{f}/tool"):
            result = subprocess.run(
                [COMMAND, "--private", d.dir, "run", "web", "--", name, "a b", "", "--x"], cwd=f, text=True,
                env={**os.environ, "FOO": "bar", "PATH": path}, capture_output=True, preexec_fn=prepare, check=False,
            )
            equal((result.returncode, result.stdout, result.stderr), (0, expected, ""), name)


def test_options():
    with shared() as d:
        job = d.job("a", "--default=allow", "--rule=deny out tcp/1", "--rule", "deny out udp/2")
        unit = d.show("a")
        equal((unit["default"], [r["rule"] for r in unit["rules"]]),
              ({"in": "allow", "out": "allow"}, ["deny out tcp/1", "deny out udp/2"]))
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=1)
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)
        d.job("b", "--profile=default")
        unit = d.show("b")
        equal((unit["profile"], unit["default"]), ("default", {"in": "deny", "out": "deny"}))
        check(any(r["layer"] == "runtime" for r in unit["rules"]), unit["rules"])
        d.job("c", "--mode=audit").fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)
        for options, code in ((("--rule=allow in tcp/x",), 5), (("--default=perhaps",), 2), (("--mode=loud",), 2),
                              (("--profile=none-such",), 4), (("--rule=in tcp/1",), 5)):
            result = d.ctl("run", "x", *options, "--", "echo", "ran")
            equal((result.rc, result.out), (code, ""), options, result.err)
        check(not os.path.exists(d.job_cgroup("x")), "a refused job left its cgroup")


def test_same_name_twice():
    with shared() as d:
        job = d.job("web")
        result = d.ctl("run", "web", "--", "echo", "ran")
        equal((result.rc, result.out), (8, ""))
        check("a job named 'web' is running" in result.err, result.err)
        equal(processes_of(d.job_cgroup("web")), [job.pid])


def test_twenty_at_once():
    with shared() as d:
        runs = [start(d, f"n{n}", "sh", "-c", "cat /proc/self/cgroup; cat") for n in range(20)]
        try:
            for n, run in enumerate(runs):
                check(Lines(run.stdout, "run").next_that(lambda line: line.startswith("0::")).endswith(f"/n{n}"))
            equal(len(d.json("status")["units"]), 20)
        finally:
            for run in runs:
                run.stdin.close()
                run.wait(WAIT)
                run.stdout.close()
                run.stderr.close()
        equal([run.returncode for run in runs], [0] * 20)


def test_signals_are_forwarded():
    with shared() as d:
        for name in ("TERM", "HUP", "USR1", "INT"):
            run = start(d, "web", "sh", "-c", f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do read line; done")
            equal(run.stdout.readline(), b"ready\n")
            run.send_signal(getattr(signal, "SIG" + name))
            equal(finish(run), (9, f"got {name}\n", ""), name)


class Terminal:
    """A shell with job control on a terminal of its own. It starts run in the foreground and tells."""

    def __init__(self, d, name, *command):
        report, self.told = None, None
        self.read_fd, report = os.pipe()
        orders, self.order_fd = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.dup2(report, 3)
            os.dup2(orders, 4)
            os.closerange(5, 256)
            os.execv(PYTHON[0], [*PYTHON, SHELL, COMMAND, "--private", d.dir, "run", name, "--", *command])
        os.close(report)
        os.close(orders)
        self.reports = Lines(self.read_fd, "the shell")
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.order_fd)
        os.close(self.fd)
        os.close(self.read_fd)
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)

    def until(self, text):
        while text not in self.text:
            wait_readable(f"{text!r} on the terminal", self.fd)
            self.text += os.read(self.fd, 4096).decode()
        before, self.text = self.text.split(text, 1)
        return before

    def type(self, keys):
        os.write(self.fd, keys)


def test_terminal():
    with shared() as d, Terminal(d, "web", "sh", "-c", "test -t 0 -a -t 1 -a -t 2 && stty size; echo done") as terminal:
        out = terminal.until("done")
        check("0 0" in out or " " in out.strip(), out)
        equal(terminal.reports.next(), "exited 0")


def test_interrupt_from_the_terminal_comes_once():
    program = ("import signal, sys; n = []; signal.signal(2, lambda *a: n.append(1)); print('ready', flush=True); "
               "line = sys.stdin.readline(); print('interrupts', len(n), flush=True)")
    with shared() as d, Terminal(d, "web", *PYTHON, "-c", program) as terminal:
        terminal.until("ready")
        terminal.type(b"\x03")
        terminal.until("^C")
        terminal.type(b"\n")
        terminal.until("interrupts 1")
        equal(terminal.reports.next(), "exited 0")


def test_stop_and_continue_on_the_terminal():
    with shared() as d, Terminal(d, "web", "sh", "-c", "trap 'echo continued' CONT; echo ready; read a; read b; echo bye") as terminal:
        terminal.until("ready")
        terminal.type(b"\x1a")
        equal(terminal.reports.next(), f"stopped {int(signal.SIGTSTP)}")
        os.write(terminal.order_fd, b"continue\n")
        equal(terminal.reports.next(), "continued")
        terminal.type(b"\n")
        terminal.type(b"\n")
        terminal.until("bye")
        equal(terminal.reports.next(), "exited 0")


TREE = "setsid sh -c 'echo ready; exec sleep 100000' & sleep 100000 & echo ready; wait"


def ready_tree(run):
    lines = Lines(run.stdout, "the tree of processes")
    equal([lines.next(), lines.next()], ["ready"] * 2)


def test_kill_of_run_kills_the_job():
    with shared() as d:
        run = start(d, "web", "sh", "-c", TREE)
        ready_tree(run)
        check(len(processes_of(d.job_cgroup("web"))) == 3, processes_of(d.job_cgroup("web")))
        run.kill()
        finish(run)
        wait_empty(d.job_cgroup("web"))
        d.wait_job_over("web")


def test_kill_of_run_kills_the_job_also_without_a_daemon():
    with Daemon() as d:
        run = start(d, "web", "sh", "-c", TREE)
        ready_tree(run)
        d.kill()
        run.kill()
        finish(run)
        wait_empty(d.job_cgroup("web"))
        equal(processes_of(d.job_cgroup("web")), [])


def test_a_job_goes_on_when_the_daemon_dies():
    with Daemon() as d:
        run = start(d, "web", "sh", "-c", "echo ready; read line; echo $line; exit 5")
        equal(run.stdout.readline(), b"ready\n")
        d.kill()
        run.stdin.write(b"on\n")
        equal(finish(run), (5, "on\n", ""))


def test_what_a_job_leaves_behind_keeps_its_policy():
    with shared() as d:
        job = d.job("web", "--rule=allow out tcp/9")
        left = job.do("fork_daemon")["pid"]
        equal(job.end(), 0, "the command itself ended")
        equal(processes_of(d.job_cgroup("web")), [left])
        equal([r["rule"] for r in d.show("web")["rules"]], ["allow out tcp/9"])
        equal(d.ctl("run", "web", "--", "true").rc, 8, "the name is in use")
        os.kill(left, signal.SIGKILL)
        d.wait_job_over("web")
        equal(d.ctl("show", "web").rc, 4, "its rules are gone")
        equal(os.listdir(f"{d.dir}/runtime.d"), [])
        d.job("web")
        equal(d.show("web")["rules"], [], "the name is free, and begins anew")


def test_inherited_socket_is_warned_of():
    with shared() as d, socket.socket() as s:
        result = d.ctl("run", "web", "--", "true", pass_fds=[s.fileno()])
        equal((result.rc, result.out), (0, ""))
        check(f"descriptor {s.fileno()} is a network socket" in result.err, result.err)
        equal(d.ctl("-q", "run", "web", "--", "true", pass_fds=[s.fileno()]), (0, "", ""))


def test_a_client_that_goes_before_it_enters_leaves_no_job():
    with shared() as d:
        from dbus_peer import Peer

        with Peer(d.dir) as peer:
            made = peer.call("CreateJob", "sasa{sv}", "ghost", ["allow out tcp/1"], {})
            equal((made.values[0], len(made.fds)), ("ghost", 1))
            os.close(made.fds[0])
            equal(d.show("ghost")["state"], "attached")
            equal(d.ctl("run", "ghost", "--", "true").rc, 8)
        d.wait_job_over("ghost")
        equal(d.ctl("show", "ghost").rc, 4)


if __name__ == "__main__":
    main(sys.modules[__name__])
