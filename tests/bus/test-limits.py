# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is larger than it may be is refused as a whole, with where it stands and what the limit is; what was in force
stays, which packets and the loaded program tell."""

import contextlib
import json
import os
import resource
import sys

from harness import Daemon, Worker, check, equal, main
from network import Net

OUT4 = Net.OUT4
WORDS = ("web", "out", "tcp", f"{OUT4}:80")


@contextlib.contextmanager
def world():
    """A job that a file allows port 80 of the peer, and nothing else."""
    with Daemon() as d, Net() as net, Worker(net.outside) as peer:
        for port in (80, 81):
            peer.do("listen", name=f"l{port}", address=OUT4, port=port)
        put(d, policy("allow out tcp/80"))
        d.ok("reload")
        job = d.job("web", "--default=deny", net=net.inside)
        job.peer = peer
        is_as_it_was(d, job)
        yield d, job


def policy(*rules, **more):
    return {"cgpolicy": 1, "match": {"units": ["web"]}, "default": "deny", "rules": list(rules), **more}


def put(d, content, name="10-web.json"):
    path = f"{d.dir}/policy.d/{name}"
    with open(f"{path}.tmp", "w", encoding="utf-8") as f:
        json.dump(content, f, indent=1)
    os.rename(f"{path}.tmp", path)
    return path


def is_as_it_was(d, job):
    """Only port 80, in the rules, in the loaded program, and for packets."""
    for port, rc in ((80, 0), (81, 3)):
        got, answer = d.explain("web", "out", "tcp", f"{OUT4}:{port}")
        equal((got, answer["kernel"]["agrees"]), (rc, True), port)
    job.do("connect", name="c", address=OUT4, port=80)
    job.peer.do("accept", name="l80", to="a")
    job.fails("EPERM", "connect", name="d", address=OUT4, port=81)


def is_refused(d, job, limit, path, line=None):
    """A reload with something that is too large."""
    generation = d.show("web")["generation"]
    result = d.ctl("reload")
    text = result.err + "\n".join(d.json("status")["degraded"])
    for part in (limit, path if line is None else f"{path}:{line}"):
        check(part in text, part, "is not in", text[:2000])
    equal(d.show("web")["generation"], generation)
    is_as_it_was(d, job)


def test_rules_of_a_file():
    with world() as (d, job):
        path = put(d, policy("allow out tcp/80", *("allow out tcp/81" for _ in range(16000))))
        is_refused(d, job, "16000", path)
        # What is just allowed is.
        put(d, policy("allow out tcp/80", *(f"allow out udp/{n}" for n in range(1000, 6000))))
        d.ok("reload")
        equal(len(d.show("web")["rules"]), 5001)
        equal(d.json("status")["degraded"], [])
        is_as_it_was(d, job)


def test_rules_of_a_subject():
    """Each file has its limit, and all that match one subject together have one."""
    with world() as (d, job):
        for i in range(2):
            put(d, policy(*(f"allow out tcp/{n}" for n in range(82, 10082))), name=f"2{i}-more.json")
        is_refused(d, job, "16000", "web")


def test_peers_and_text_of_a_rule():
    with world() as (d, job):
        path = put(d, policy("allow out tcp/80", "allow out to " + ",".join(f"10.{n >> 8}.{n & 255}.1" for n in range(4097))))
        is_refused(d, job, "4096", path)
        result = d.ctl("allow", "web", "out", "to", ",".join(f"10.{n >> 8}.{n & 255}.1" for n in range(4097)))
        check(result.rc != 0 and "4096" in result.err, result)
        is_as_it_was(d, job)


def test_size_of_a_file():
    with world() as (d, job):
        path = put(d, policy("allow out tcp/81", comment="x" * (5 << 20)))
        is_refused(d, job, "large", path)


def test_interfaces():
    with world() as (d, job):
        put(d, policy("allow out tcp/80", *(f"allow out tcp/81 via if{n}" for n in range(80))))
        is_refused(d, job, "interfaces", "")


def test_tables_over_their_cap():
    """Rules that cut all of the space in pieces, none like another: more than the tables of one subject may have."""
    with world() as (d, job):
        rules = ["allow out tcp/80"]
        for n in range(7500):
            a, b = n * 40503 % 65536, n * 30011 % 60000 + 100
            rules.append(f"allow out tcp/{b}-{b + n % 4000 + 1} to {11 + a % 180}.{a >> 8}.{a & 255}.0/24")
            rules.append(f"deny out udp/{b}-{b + n % 3000 + 1} to 2001:db8:{a:x}:{n:x}::/64")
        put(d, policy(*rules))
        is_refused(d, job, "of at most", "web")


def test_no_descriptor_in_the_middle_of_a_change():
    """A real failure half way: whichever call it is, all or nothing is in force, and it is said."""
    with world() as (d, job):
        pid = d.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 1
        refused = made = 0
        for room in range(2, 60, 3):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + room, limits[1]))
            rule = ("web", "out", "tcp/82")
            result = d.ctl("allow", *rule)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            is_as_it_was(d, job)
            there = any(r["rule"] == "allow out tcp/82" for r in d.show("web")["rules"])
            equal(there, result.rc == 0, "answer and policy differ", result)
            refused, made = refused + (result.rc != 0), made + (result.rc == 0)
            if there:
                d.ok("remove", "web", "allow", *rule[1:])
        check(refused > 0 and made > 0, "nothing ever failed, or all did", refused, made)
        equal(d.json("status")["degraded"], [])


if __name__ == "__main__":
    main(sys.modules[__name__])
