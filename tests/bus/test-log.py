# SPDX-License-Identifier: LGPL-2.1-or-later
"""The log of denials: every field, every denial once, now, later, and when nobody was there."""

import json
import os
import re
import subprocess
import sys

from dbus_peer import Peer
from harness import COMMAND, Daemon, Lines, Worker, check, die_with_parent, equal, main, shared
from network import Net

IN4, OUT4, IN6, OUT6 = Net.IN4, Net.OUT4, Net.IN6, Net.OUT6
KEYS = ["time", "subject", "direction", "protocol", "local", "remote", "pid", "comm", "uid", "hook", "rule", "suppressed",
        "generation", "action", "rule-text", "suggest"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


def events(d, *words):
    return [json.loads(line) for line in d.ok("log", "-n", "all", "--json=short", *words).splitlines()]


def told(d, name):
    """How many denials the log tells of."""
    return sum(1 + e["suppressed"] for e in events(d, name))


def deny_one(job, port=9):
    job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=port)


def test_fields_of_a_refused_connect():
    with Daemon() as d, Net() as net:
        job = d.job("web", "--rule=deny out tcp/9 to 10.77.0.0/16", net=net.inside)
        for there, hook in ((OUT4, "connect4"), (OUT6, "connect6")):
            job.fails("EPERM", "connect", name="c", address=there, port=9)
            event = events(d, "web")[-1]
            equal([k for k in event if k not in ("icmp-type", "icmp-code")], KEYS)
            check(TIME.match(event["time"]), event["time"])
            v4 = hook == "connect4"
            expected = {
                "subject": "web", "direction": "out", "protocol": "tcp", "pid": job.pid, "uid": 0, "hook": hook,
                "remote": f"{OUT4}:9" if v4 else f"[{OUT6}]:9", "rule": "web.1" if v4 else "default.out",
                "rule-text": "deny out tcp/9 to 10.77.0.0/16" if v4 else None, "action": "denied", "suppressed": 0,
                "generation": d.show("web")["generation"], "suggest": f"out tcp/9 to {there}",
            }
            equal({k: event[k] for k in expected}, expected)
            with open(f"/proc/{job.pid}/comm", encoding="ascii") as f:
                equal(event["comm"], f.read().strip())


def test_what_is_suggested_works():
    with Daemon() as d:
        job = d.job("web", "--rule=deny out tcp")
        deny_one(job)
        d.ok("allow", "web", *events(d, "web")[-1]["suggest"].split())
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)
        # Nothing can be suggested against a never.
        d.ok("never", "web", "out", "tcp")
        deny_one(job)
        event = events(d, "web")[-1]
        equal((event["rule-text"], event["suggest"]), ("never out tcp", None))


def test_fields_of_a_dropped_packet():
    with Daemon() as d, Net() as net, Worker(net.outside) as peer:
        job = d.job("web", net=net.inside)
        job.do("become", uid=4242)
        log = d.follow("web")
        for here, there in ((IN4, OUT4), (IN6, OUT6)):
            job.do("udp", name="s", address=here, port=5000)
            port = peer.do("udp", name="u", address=there)["port"]
            peer.do("sendto", name="u", data="x", address=here, port=5000)
            event = log.next(protocol="udp")
            v4 = here == IN4
            expected = {
                "subject": "web", "direction": "in", "hook": "ingress", "rule": "default.in", "rule-text": None,
                "local": f"{here}:5000" if v4 else f"[{here}]:5000", "remote": f"{there}:{port}" if v4 else f"[{there}]:{port}",
                # Of the process that made the socket, whoever is running when the packet comes.
                "pid": job.pid, "uid": 4242, "suggest": f"in udp/5000 from {there}",
            }
            equal({k: event[k] for k in expected}, expected)
            job.call("ping", address=there, raw=False, wait=False)
            event = log.next(protocol="icmp" if v4 else "icmpv6")
            equal((event["icmp-type"], event["icmp-code"], event["remote"]), (8 if v4 else 128, 0, there))


def test_lines_for_people():
    with Daemon() as d:
        job = d.job("web")
        deny_one(job)
        line, = d.ok("log").splitlines()
        for word in ("DENIED out tcp", "-> 127.0.0.1:9", f"[{job.pid}] uid 0", "connect4", "default.out",
                     "allow: out tcp/9 to 127.0.0.1"):
            check(word in line, word, line)
        check(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} web ", line), line)


def test_choosing_lines():
    with Daemon() as d:
        web, db = d.job("web"), d.job("db")
        for n in range(15):
            deny_one(web, 100 + n)
            deny_one(db, 200 + n)
        equal(len(d.ok("log").splitlines()), 10)
        equal(len(d.ok("log", "-n", "3").splitlines()), 3)
        equal(d.ok("log", "-n0"), "")
        equal([int(e["remote"].split(":")[1]) for e in events(d, "web")], list(range(100, 115)))
        equal([int(e["remote"].split(":")[1]) for e in events(d, "db")], list(range(200, 215)))
        equal(len(events(d, "web", "db")), 30)
        equal([json.loads(line)["remote"] for line in d.ok("log", "-n", "2", "--json=short", "db").splitlines()],
              ["127.0.0.1:213", "127.0.0.1:214"])
        equal(json.loads(d.ok("log", "-n1", "--json=pretty"))["subject"], "db")


def test_following():
    with Daemon() as d:
        web, db = d.job("web"), d.job("db")
        deny_one(web, 100)
        with subprocess.Popen(
            [COMMAND, "--private", d.dir, "log", "-f", "-n1", "web"], stdout=subprocess.PIPE, preexec_fn=die_with_parent
        ) as process:
            lines = Lines(process.stdout, "log -f")
            check("127.0.0.1:100 " in lines.next(), "the old line tells that it follows")
            for n in range(101, 106):
                deny_one(db, n)
                deny_one(web, n)
                line = lines.next()
                check(f"127.0.0.1:{n} " in line and " web " in line, line)
            d.kill()
            equal(lines.next(), None)
            equal(process.wait(), 6, "the stream was ended by the daemon")


def test_what_was_just_denied_is_there():
    with Daemon() as d:
        job = d.job("web")
        for n in range(1, 40):
            deny_one(job, n)
            equal(json.loads(d.ok("log", "-n1", "--json=short"))["remote"], f"127.0.0.1:{n}")


def test_a_burst_is_counted_to_the_last():
    with Daemon() as d:
        job = d.job("web", "--rule=deny out udp/7777")
        job.do("udp", name="u", address="127.0.0.1")
        equal(job.do("burst", name="u", address="127.0.0.1", port=7777, n=500)["results"], {"EPERM": 500})
        equal(d.rule("web", "deny out udp/7777")["blocked"], 500)
        equal(told(d, "web"), 500)
        check(len(events(d, "web")) < 50, "one line each would be a flood")
        equal(d.show("web")["last-blocked"]["remote"], "127.0.0.1:7777")
        equal(d.json("status")["lost-events"], 0)


def test_a_burst_of_causes_is_counted_to_the_last():
    with Daemon() as d:
        job = d.job("web")
        job.do("udp", name="u", address="127.0.0.1")
        for port in range(1, 501):
            job.fails("EPERM", "sendto", name="u", data="x", address="127.0.0.1", port=port)
        equal(d.show("web")["blocked"], 500)
        equal(told(d, "web"), 500)
        equal(len({e["remote"] for e in events(d, "web")}), 500, "each cause is told of")


def test_a_job_that_ends_at_once_is_told_of_by_its_name():
    with Daemon() as d:
        job = d.job("web", "--rule=deny out udp/7777")
        job.do("udp", name="u", address="127.0.0.1")
        job.do("burst", name="u", address="127.0.0.1", port=7777, n=500)
        job.end()
        d.wait_job_over("web")
        equal(told(d, "web"), 500)


def test_denials_that_no_daemon_saw():
    with Daemon() as d:
        job = d.job("web")
        deny_one(job, 1)
        equal(told(d, "web"), 1)
        d.kill()
        for n in range(2, 12):
            deny_one(job, n)
        job.do("udp", name="u", address="127.0.0.1")
        job.do("burst", name="u", address="127.0.0.1", port=7777, n=300)
        d.start()
        equal(told(d, "web"), 311)
        missed = [e for e in events(d, "web") if e.get("missed")]
        equal(sorted(int(e["remote"].split(":")[1]) for e in missed), [*range(2, 12), 7777])
        check("(while no daemon ran)" in d.ok("log", "-n1"), d.ok("log", "-n1"))
        d.restart()
        equal(told(d, "web"), 311, "nothing is told twice")
        deny_one(job, 20)
        check("missed" not in events(d, "web")[-1], "seen again")
        equal((told(d, "web"), d.show("web")["blocked"]), (312, 312))


def test_the_log_outlives_a_kill():
    with Daemon() as d:
        job = d.job("web")
        for n in range(1, 30):
            deny_one(job, n)
        before = d.ok("log", "-n", "all")
        d.kill()
        with open(f"{d.dir}/log", "ab") as f:
            f.write(b'{"time":"2026-01-01T00:00:00.0')  # a line that was being written
        d.start()
        equal(d.ok("log", "-n", "all"), before)
        deny_one(job, 30)
        equal(len(events(d, "web")), 30)


def test_the_log_is_bounded():
    with Daemon() as d:
        job = d.job("web")
        deny_one(job)
        line = d.ok("log", "--json=short")
        d.stop()
        with open(f"{d.dir}/log", "a", encoding="utf-8") as f:
            f.write(line * ((12 << 20) // len(line)))
        d.start()
        deny_one(job, 10)
        equal(events(d, "web")[-1]["remote"], "127.0.0.1:10")
        size = sum(os.stat(f"{d.dir}/{n}").st_size for n in os.listdir(d.dir) if n.startswith("log"))
        check(size < 17 << 20, size)


def test_names_that_programs_give_themselves_do_no_harm():
    with Daemon() as d:
        job = d.job("web")
        job.do("rename", comm="a\033[31m\n\"\xff")
        deny_one(job)
        out = d.ctl("log").out
        check("\033" not in out and len(out.splitlines()) == 1, repr(out))
        event = events(d, "web")[-1]
        check("\033" not in event["comm"] and "\n" not in event["comm"], event)


def test_signals_are_coalesced():
    with Daemon() as d, Peer(d.dir) as peer:
        job = d.job("web")
        job.do("udp", name="u", address="127.0.0.1")
        job.do("burst", name="u", address="127.0.0.1", port=7777, n=500)
        d.ok("log")
        summary = peer.signal("Blocked").values[0]
        expected = {"unit": "web", "direction": "out", "protocol": "udp", "remote": "127.0.0.1:7777", "rule": "default.out",
                    "pid": job.pid, "action": "denied", "suggested-rule": "out udp/7777 to 127.0.0.1"}
        equal({k: summary[k] for k in expected}, expected)
        check(summary["first"] <= summary["last"] and summary["count"] >= 1, summary)


if __name__ == "__main__":
    main(sys.modules[__name__])
