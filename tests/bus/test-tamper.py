# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody with all privileges puts another program on a hook: what is enforced is no longer what the rules say, and
`explain` has to say so, because it asks the program that is loaded. A reload puts it right."""

import contextlib
import glob
import json
import os
import subprocess
import sys

from harness import Daemon, Worker, check, die_with_parent, equal, main
from network import Net
from waiting import Lines, wait_exit

TAMPER = os.path.abspath(os.environ["TAMPER"])
OUT4 = Net.OUT4


def replace_daemon(d):
    """A daemon fills programs that no hook carries any more again, as soon as it likes; not those of one before it.
    What is held from before stays as it is."""
    d.restart()


class Held:
    """A program that is held, to be put on the link with put()."""

    def __init__(self, to, origin=None):
        self.process = subprocess.Popen(
            [TAMPER, to, *([origin] if origin else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent
        )
        self.lines = Lines(self.process.stdout, "tamper")

    def __enter__(self):
        equal(self.lines.next(), "held")
        return self

    def put(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        equal(self.lines.next(), "done")

    def __exit__(self, *_):
        self.process.stdin.close()
        wait_exit(self.process, "tamper")
        self.process.stdout.close()


def link(d, name, hook):
    """Where the hook of a job is pinned."""
    paths = glob.glob(f"{d.dir}/bpf/v2/links/*-{os.stat(d.job_cgroup(name)).st_ino:016x}/{hook}")
    equal(len(paths), 1, "links of the job")
    return paths[0]


@contextlib.contextmanager
def world(*rules):
    with Daemon() as d, Net() as net, Worker(net.outside) as peer:
        for port in (80, 81):
            peer.do("listen", name=f"l{port}", address=OUT4, port=port)
        yield d, d.job("web", *rules, net=net.inside), peer


def is_noticed(d, *words, rules="deny", kernel="allow"):
    """Exit status, what is said, and what a script reads."""
    for quiet in ((), ("--quiet",)):
        result = d.ctl("explain", *words, *quiet)
        equal(result.rc, 1, result)
        for part in ("THE KERNEL DISAGREES", f"the answer is {rules}", f"the loaded program says {kernel}", "cgpolicyctl reload"):
            check(part in result.err, part, result)
    result = d.ctl("--json=short", "explain", *words)
    equal(result.rc, 1, result)
    answer = json.loads(result.out)
    equal((answer["verdict"], answer["kernel"]["checked"], answer["kernel"]["agrees"], answer["kernel"]["verdict"]),
          (rules, True, False, kernel))
    return answer


def agrees(d, *words, rc):
    got, answer = d.explain(*words)
    equal((got, answer["kernel"]["agrees"]), (rc, True), words, answer)


WORDS = ("web", "out", "tcp", f"{OUT4}:80")


def test_control():
    """Nobody tampers: the same questions, and the same changes."""
    with world("--default=deny", "--rule=allow out tcp/80") as (d, _, _):
        agrees(d, *WORDS, rc=0)
        with Held(link(d, "web", "egress")):
            d.ok("remove", "web", "allow", "out", "tcp/80")
            agrees(d, *WORDS, rc=3)
            d.ok("reload")
            agrees(d, *WORDS, rc=3)
        check("publishing it again" not in d.stderr(), "it repaired what was whole")


def test_own_program_of_before():
    """The same subject's, of a policy that allowed more."""
    with world("--default=deny", "--rule=allow out tcp/80") as (d, job, _):
        egress = link(d, "web", "egress")
        with Held(egress) as held, Held(link(d, "web", "connect4")) as call:
            replace_daemon(d)
            d.ok("remove", "web", "allow", "out", "tcp/80")
            agrees(d, *WORDS, rc=3)
            call.put()
            held.put()
            is_noticed(d, *WORDS)
            # What nobody touched is judged as ever.
            agrees(d, "web", "in", "tcp", f"{OUT4}:80", rc=3)
            d.ok("reload")
            check("publishing it again" in d.stderr(), "the repair is noted")
            agrees(d, *WORDS, rc=3)
            job.fails("EPERM", "connect", name="c", address=OUT4, port=80)
            equal(d.json("status")["degraded"], [])


def test_another_program_altogether():
    """Of a subject that may do anything. The packets are real."""
    with world("--default=deny") as (d, job, peer):
        d.job("free", "--default=allow")
        for hook in ("connect4", "egress", "ingress"):
            with Held(link(d, "web", hook), link(d, "free", hook)) as held:
                held.put()
        job.do("connect", name="c", address=OUT4, port=81)
        is_noticed(d, *WORDS)
        is_noticed(d, "web", "in", "tcp", f"{OUT4}:80")
        agrees(d, "free", *WORDS[1:], rc=0)
        d.ok("reload")
        agrees(d, *WORDS, rc=3)
        agrees(d, "web", "in", "tcp", f"{OUT4}:80", rc=3)
        job.fails("EPERM", "connect", name="d", address=OUT4, port=80)
        agrees(d, "free", *WORDS[1:], rc=0)


def test_that_nobody_asked_about():
    """A hook that no packet can be tried on is compared by what it carries."""
    with world("--default=deny") as (d, job, _):
        d.job("free", "--default=allow")
        with Held(link(d, "web", "sock_create"), link(d, "free", "sock_create")) as held:
            held.put()
        d.ok("reload")
        check("publishing it again" in d.stderr(), "the repair is noted")
        agrees(d, *WORDS, rc=3)
        job.fails("EPERM", "connect", name="d", address=OUT4, port=80)


def test_one_that_allows_less():
    with world("--default=deny") as (d, job, _):
        egress = link(d, "web", "egress")
        with Held(egress) as held:
            replace_daemon(d)
            d.ok("allow", "web", "out", "tcp/80")
            agrees(d, *WORDS, rc=0)
            held.put()
            is_noticed(d, *WORDS, rules="allow", kernel="deny")
            d.ok("reload")
            agrees(d, *WORDS, rc=0)
            job.do("connect", name="c", address=OUT4, port=80)


def test_next_change_repairs():
    with world("--default=deny", "--rule=allow out tcp/80") as (d, job, _):
        with Held(link(d, "web", "egress")) as held, Held(link(d, "web", "connect4")) as call:
            replace_daemon(d)
            d.ok("remove", "web", "allow", "out", "tcp/80")
            call.put()
            held.put()
            d.ok("deny", "web", "out", "tcp/9")
            agrees(d, *WORDS, rc=3)
            job.fails("EPERM", "connect", name="c", address=OUT4, port=80)


def test_restart_repairs():
    """What the hooks carry is compared with the record, and it is nothing that is known."""
    with world("--default=deny", "--rule=allow out tcp/80") as (d, job, _):
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(Held(link(d, "web", hook))) for hook in ("connect4", "egress", "ingress")]
            replace_daemon(d)
            d.ok("remove", "web", "allow", "out", "tcp/80")
            d.kill()
            for program in held:
                program.put()
            job.do("connect", name="c", address=OUT4, port=80)
            d.start()
            agrees(d, *WORDS, rc=3)
            job.fails("EPERM", "connect", name="c", address=OUT4, port=80)


if __name__ == "__main__":
    main(sys.modules[__name__])
