# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole grammar on the command line: what each form is echoed as, what `explain` says of interfaces, groups,
broadcasts and binds, what errno a refusal has. The daemon lives in a network namespace of the test's own, which is
the host's for it."""

import contextlib
import json
import os
import sys

from harness import Daemon, Worker, check, equal, folder, main, run_command, shared
from network import Net

IN4, OUT4, OUT4B, OUT6 = Net.IN4, Net.OUT4, Net.OUT4B, Net.OUT6


@contextlib.contextmanager
def world():
    """A daemon whose host is the inner namespace of a pair."""
    with Net() as net, Daemon(net=net.inside) as d, Worker(net.outside) as peer:
        yield d, net, peer


def policy(unit, *rules, **more):
    return json.dumps({"cgpolicy": 1, "match": {"units": [unit]}, **more, "rules": list(rules)})


def agreed(d, *words):
    """Exit code and answer of explain, to which the loaded program has agreed."""
    rc, answer = d.explain(*words)
    equal(answer["kernel"]["agrees"], True, answer)
    return rc, answer


def test_echo():
    with shared() as d:
        d.job("web")
        for words, echo in (
            ("allow out tcp/443,8000-8099 to lan", ["allow out tcp/443,8000-8099 to lan"]),
            ("deny to internet", ["deny out any to internet"]),
            ("deny in udp/67 from any via veth0", ["deny in udp/67 from any via veth0"]),
            ("allow from broadcast,multicast", ["allow in any from multicast,broadcast"]),
            ("never tcp/25", ["never in tcp/25 from any", "never out tcp/25 to any"]),
            ("deny bind tcp/80-90 to 10.0.0.0/8", ["deny bind tcp/80-90 to 10.0.0.0/8"]),
            ("allow out via wg0", ["allow out any to any via wg0"]),
        ):
            equal(d.json(*words.split()[:1], "web", *words.split()[1:])["rules"], echo)
        result = d.ctl("deny", "web", "bind", "udp")
        check("deny bind udp to any" in result.out and "Note:" in result.err and "in' rules" in result.err, result)
        result = d.ctl("allow", "web", "bind", "tcp/8080")
        check("allow bind tcp/8080 to any" in result.out and "deny SUBJECT bind" in result.err, result)
        equal(d.ctl("allow", "web", "bind", "tcp/8081", "--no-legend").err, "")


def test_bind():
    with shared() as d:
        job = d.job("web", "--default=allow", "--rule=deny bind tcp", "--rule=allow bind tcp/8080 to localhost")
        for words, rc, rule in (
            ("tcp/8080 to 127.0.0.1", 0, "web.2"), ("tcp/8080 to ::1", 0, "web.2"), ("tcp/8080", 3, "web.1"),
            ("tcp/8081 to 127.0.0.1", 3, "web.1"), ("udp/8080", 0, None),
        ):
            got, answer = d.explain("web", "bind", *words.split())
            equal((got, answer["rule"] and answer["rule"]["id"], answer["kernel"]["checked"]), (rc, rule, False), words)
        text = d.ctl("explain", "web", "bind", "tcp/8080").out
        for words in ("DENY   web bind 0.0.0.0:8080/tcp", "a bind is judged in the system call",
                      "To allow it: cgpolicyctl allow web bind tcp/8080"):
            check(words in text, words, text)
        job.do("listen", name="l", address="127.0.0.1", port=8080)
        job.fails("EPERM", "listen", name="m", address="127.0.0.1", port=8081)
        job.fails("EPERM", "listen", name="n", address="0.0.0.0", port=8080)


def test_via():
    with world() as (d, net, peer):
        job = d.job("web", "--default=deny", "--rule=allow out tcp/80 via veth0", net=net.inside)
        rc, answer = agreed(d, "web", "out", "tcp", f"{OUT4}:80", "via", "veth0")
        equal((rc, answer["via"], answer["interfaces"]), (0, "veth0", None))
        rc, answer = agreed(d, "web", "out", "tcp", f"{OUT4}:80", "via", "lo")
        equal((rc, answer["reason"]), (3, "default"))
        # A system call knows no interface yet: it passes, and the answer says what follows.
        rc, answer = d.explain("web", "out", "tcp", f"{OUT4}:80")
        equal((rc, answer["kernel"]["checked"]), (0, False))
        equal({i["name"]: i["verdict"] for i in answer["interfaces"]}, {"lo": "deny", "veth0": "allow"})
        text = d.ok("explain", "web", "out", "tcp", f"{OUT4}:80")
        check("it depends on the interface" in text and "via veth0: allow" in text and "via lo: deny" in text, text)
        # Where all interfaces agree it does not depend on them.
        equal(d.explain("web", "out", "tcp", f"{OUT4}:81")[1]["interfaces"], None)
        peer.do("listen", name="l", address=OUT4, port=80)
        job.do("connect", name="c", address=OUT4, port=80)
        result = d.ctl("explain", "web", "out", "tcp", f"{OUT4}:80", "via", "eth9")
        equal((result.rc, result.out), (2, ""))
        check("the host has no interface 'eth9'" in result.err and "ip link" in result.err, result)


def test_via_of_what_comes_in():
    with world() as (d, net, peer):
        job = d.job("web", "--default=deny", "--rule=allow in tcp/80 from lan via veth0", net=net.inside)
        for address, interface, rc in ((OUT4, "veth0", 0), (OUT4, "lo", 3), ("192.0.2.1", "veth0", 3), (f"[{OUT6}]", "veth0", 0)):
            equal(agreed(d, "web", "in", "tcp", f"{address}:80", "via", interface)[0], rc, address, interface)
        equal(agreed(d, "web", "in", "tcp", f"{OUT4}:80", "via", "veth0")[1]["matched"], {"peer": "lan", "network": "10.77.0.0/16"})
        job.do("listen", name="l", address=IN4, port=80)
        peer.do("connect", name="c", address=IN4, port=80)


def test_groups_and_broadcasts():
    with world() as (d, net, _):
        d.job("dhcp", "--default=deny", "--rule=allow in udp/68 from broadcast", "--rule=allow in udp/5353 from multicast",
              net=net.inside)
        for words, rc in (
            ("192.0.2.1:68 to 255.255.255.255", 0), ("192.0.2.1 port 68 to 255.255.255.255", 0), ("192.0.2.1:68", 3),
            ("192.0.2.1:68 to 10.77.255.255", 0), ("192.0.2.1:68 to 10.77.0.1", 3), ("192.0.2.1:68 to 224.0.0.251", 3),
            ("192.0.2.1:5353 to 224.0.0.251", 0), ("[fe80::1]:5353 to ff02::fb", 0), ("[fe80::1]:5353 to fe80::2", 3),
            ("192.0.2.1:5353 to 255.255.255.255", 3),
        ):
            equal(agreed(d, "dhcp", "in", "udp", *words.split())[0], rc, words)
        text = d.ok("explain", "dhcp", "in", "udp", "192.0.2.1:68", "to", "255.255.255.255")
        check("ALLOW  dhcp <- 192.0.2.1/udp to local port 68 of 255.255.255.255" in text, text)
        equal(d.ctl("explain", "dhcp", "in", "udp", "192.0.2.1:68", "to", "ff02::1").rc, 2)


def test_lan_and_internet():
    with world() as (d, net, peer):
        job = d.job("web", "--default=deny", "--rule=allow out tcp/80 to lan", "--rule=allow out tcp/443 to internet", net=net.inside)
        for address, port, rc in ((OUT4, 80, 0), (OUT4, 443, 3), ("9.9.9.9", 443, 0), ("9.9.9.9", 80, 3), ("192.0.2.1", 443, 3),
                                  (f"[{OUT6}]", 80, 0), ("[2606:4700::1]", 443, 0)):
            equal(agreed(d, "web", "out", "tcp", f"{address}:{port}")[0], rc, address, port)
        peer.do("listen", name="l", address=OUT4, port=80)
        job.do("connect", name="c", address=OUT4, port=80)
        job.fails("EPERM", "connect", name="d", address="9.9.9.9", port=80)


def test_errno():
    with shared() as d:
        path = f"{d.dir}/policy.d/10-web.json"
        with open(path, "w", encoding="utf-8") as f:
            f.write(policy("web", {"deny": "out tcp"}, errno="ECONNREFUSED"))
        d.ok("reload")
        job = d.job("web", "--default=allow")
        equal(d.show("web")["errno"], "ECONNREFUSED")
        check("errno       ECONNREFUSED" in d.ok("show", "web"), "show")
        check("errno=ECONNREFUSED" in d.ok("status", "web"), "status")
        check('"errno": "ECONNREFUSED"' in d.ok("cat", "web"), "cat")
        equal(d.ok("show", "web", "-p", "errno", "--value"), "ECONNREFUSED\n")
        with open("/proc/net/tcp", encoding="ascii") as f:
            check(":0009 00000000:0000 0A" not in f.read(), "somebody listens on port 9")
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)
        equal(d.show("web")["rules"][0]["blocked"], 1, "refused by the rule, and not by the absence of a listener")
        d.job("db", "--default=allow")
        equal(d.show("db")["errno"], "EPERM")
        check("errno=" not in d.ok("status", "db"), "what is usual is not told")


def test_check_understands_all():
    with folder() as f:
        os.makedirs(f"{f}/lists")
        with open(f"{f}/lists/ads.txt", "w", encoding="utf-8") as file:
            file.write("192.0.2.0/24\n# comment\nnonsense\n")
        path = f"{f}/p.json"
        rules = ["deny out to @ads", "allow bind tcp/8080 to localhost", "deny bind", "allow in udp/5353 from multicast via eth0",
                 "allow out to lan", "never out to internet", "allow in udp/68 from broadcast"]
        with open(path, "w", encoding="utf-8") as file:
            file.write(policy("web", *rules, errno="EACCES", lists={"ads": {"file": "lists/ads.txt"}}))
        result = run_command("check", path)
        equal(result.rc, 5)
        check(f"{f}/lists/ads.txt:3: " in result.err, result)
        with open(f"{f}/lists/ads.txt", "w", encoding="utf-8") as file:
            file.write("192.0.2.0/24\n# comment\n")
        result = run_command("check", path)
        equal((result.rc, result.out), (0, f"{path}: valid, 7 rules\n"), result)
        os.unlink(f"{f}/lists/ads.txt")
        result = run_command("check", path)
        equal(result.rc, 0)
        check("was not checked" in result.err, result)


if __name__ == "__main__":
    main(sys.modules[__name__])
