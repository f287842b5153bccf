# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules about the host's networks and interfaces while these come and go, with a daemon that follows, one that is
killed in between, and real connections. The host is a network namespace of the test's own."""

import contextlib
import json
import sys
import time

from harness import Daemon, Hang, Worker, check, equal, main
from network import Net
from waiting import WAIT

IN4, OUT4, OUT4B, OUT6 = Net.IN4, Net.OUT4, Net.OUT4B, Net.OUT6
FAR_IN, FAR_OUT = "10.99.0.1", "10.99.0.2"


class World:
    def __init__(self, d, net, peer):
        self.d, self.net, self.peer = d, net, peer

    def inside(self, *lines):
        self.net._ip(self.net.holders[0], *lines)

    def outside(self, *lines):
        self.net._ip(self.net.holders[1], *lines)

    def job(self, *rules, name="web"):
        return self.d.job(name, "--default=deny", *(f"--rule={rule}" for rule in rules), net=self.net.inside)

    def verdict(self, *words, name="web"):
        return self.d.explain(name, *words)[1]["verdict"]

    def via(self, address, interface, port=80):
        """What the loaded program says too, or None while the host has no such interface."""
        result = self.d.ctl("--json=short", "explain", "web", "out", "tcp", f"{address}:{port}", "via", interface)
        if result.rc == 2:
            return None
        answer = json.loads(result.out)
        equal(answer["kernel"]["agrees"], True, answer)
        return answer["verdict"]

    def until(self, condition, change):
        """Makes a change and asks until the condition holds. Nobody is told of all that the daemon follows: who has
        which name is no policy."""
        change()
        end = time.monotonic() + WAIT
        while not condition():
            if time.monotonic() > end:
                raise Hang("the daemon did not follow")


@contextlib.contextmanager
def world():
    with Net() as net, Daemon(net=net.inside) as d, Worker(net.outside) as peer:
        yield World(d, net, peer)


def transfer(job, peer, name, to):
    job.do("send", name=name, data="hello")
    equal(peer.do("recv", name=to)["data"], "hello")


def test_lan_follows_addresses():
    with world() as w:
        job = w.job("allow out tcp/80 to lan")
        w.outside(f"addr add {FAR_OUT}/24 dev veth0")
        w.inside(f"route add 10.99.0.0/24 via {OUT4}")
        w.peer.do("listen", name="l", address=FAR_OUT, port=80)
        job.fails("EPERM", "connect", name="c", address=FAR_OUT, port=80)
        for _ in range(3):
            w.until(lambda: w.verdict("out", "tcp", f"{FAR_OUT}:80") == "allow", lambda: w.inside(f"addr add {FAR_IN}/24 dev veth0"))
            job.do("connect", name="c", address=FAR_OUT, port=80)
            w.peer.do("accept", name="l", to="a")
            transfer(job, w.peer, "c", "a")
            job.do("block", name="c")
            job.tell("recv", name="c")
            # The conversation that was open is over as well.
            w.until(lambda: w.verdict("out", "tcp", f"{FAR_OUT}:80") == "deny", lambda: w.inside(f"addr del {FAR_IN}/24 dev veth0"))
            equal(job.answer().get("errno"), "ECONNABORTED")
            job.fails("EPERM", "connect", name="c", address=FAR_OUT, port=80)
        w.until(lambda: w.verdict("out", "tcp", "[fd99::2]:80") == "allow", lambda: w.inside("addr add fd99::1/64 dev veth0 nodad"))
        equal(w.verdict("out", "tcp", "[fd99:0:0:1::2]:80"), "deny")


def test_internet_is_not_lan():
    with world() as w:
        w.job("allow out tcp/443 to internet")
        where = ("out", "tcp", "9.9.9.9:443")
        equal((w.verdict(*where), w.verdict("out", "tcp", f"{OUT4}:443")), ("allow", "deny"))
        w.until(lambda: w.verdict(*where) == "deny", lambda: w.inside("addr add 9.9.9.1/24 dev veth0"))
        equal(w.verdict("out", "tcp", "9.9.8.9:443"), "allow")
        w.until(lambda: w.verdict(*where) == "allow", lambda: w.inside("addr del 9.9.9.1/24 dev veth0"))


def test_via_follows_names():
    """A rule is about the name: whoever has it."""
    with world() as w:
        job = w.job("allow out tcp/80 via up0")
        w.peer.do("listen", name="l", address=OUT4, port=80)
        w.peer.do("listen", name="l6", address=OUT6, port=80)
        equal(w.via(OUT4, "veth0"), "deny")
        w.until(lambda: w.via(OUT4, "up0") == "allow", lambda: w.inside("link set veth0 down", "link set veth0 name up0", "link set up0 up"))
        job.do("connect", name="c", address=OUT4, port=80)
        w.peer.do("accept", name="l", to="a")
        transfer(job, w.peer, "c", "a")
        # Renamed away: its packets are dropped, a new connection's too.
        w.until(lambda: w.via(OUT4, "veth7") == "deny", lambda: w.inside("link set up0 down", "link set up0 name veth7", "link set veth7 up"))
        log = w.d.follow("web")
        job.do("start_connect", name="d", address=OUT4, port=80)
        equal(log.next(direction="out", protocol="tcp")["hook"], "egress")
        check(not job.do("is_connected", name="d")["connected"], "connected through another interface")
        # And by another name that it has.
        w.until(lambda: w.via(OUT4, "veth7") == "allow", lambda: w.inside("link property add dev veth7 altname up0"))
        job.do("finish_connect", name="d")
        w.until(lambda: w.via(OUT4, "veth7") == "deny", lambda: w.inside("link property del dev veth7 altname up0"))


def recreate(w):
    """The pair anew, with the same names and addresses."""
    w.outside(f"link add veth0 type veth peer name veth0 netns {w.net.holders[0].pid}")
    for ip, address in ((w.inside, IN4), (w.outside, OUT4)):
        ip("link set veth0 addrgenmode none", f"addr add {address}/16 dev veth0", "link set veth0 up")


def test_via_follows_an_interface_that_comes_back():
    with world() as w:
        job = w.job("allow out tcp/80 to lan via veth0")
        for i in range(3):
            w.peer.do("listen", name="l", address=OUT4, port=80)
            equal(w.via(OUT4, "veth0"), "allow", i)
            job.do("connect", name="c", address=OUT4, port=80)
            w.peer.do("accept", name="l", to="a")
            transfer(job, w.peer, "c", "a")
            w.until(lambda: w.via(OUT4, "veth0") is None, lambda: w.inside("link del veth0"))
            equal(w.via(OUT4, "lo"), "deny")
            w.until(lambda: w.via(OUT4, "veth0") == "allow", lambda: recreate(w))


def test_deny_via_holds_for_what_is_new():
    """An interface that the image does not know takes the strictest verdict: it is never a way around."""
    with world() as w:
        job = w.job("deny out tcp/80 via veth0", "allow out tcp/80 via lo")
        w.d.ok("default", "web", "allow")
        w.peer.do("listen", name="l", address=OUT4, port=80)
        log = w.d.follow("web")
        w.inside("link del veth0")
        recreate(w)
        job.do("start_connect", name="c", address=OUT4, port=80)
        log.next(direction="out", protocol="tcp", hook="egress")
        check(not job.do("is_connected", name="c")["connected"], "connected")


def test_daemon_killed_in_between():
    """What is in force stays, and the next one takes over what changed while nobody looked."""
    with world() as w:
        job = w.job("allow out tcp/80 to lan", "allow out tcp/81 via up0")
        for port in (80, 81):
            w.peer.do("listen", name=f"l{port}", address=OUT4, port=port)
        w.outside(f"addr add {FAR_OUT}/24 dev veth0")
        w.inside(f"route add 10.99.0.0/24 via {OUT4}")
        w.peer.do("listen", name="far", address=FAR_OUT, port=80)
        w.d.kill()
        w.inside(f"addr add {FAR_IN}/24 dev veth0")
        job.do("connect", name="c", address=OUT4, port=80)
        job.fails("EPERM", "connect", name="f", address=FAR_OUT, port=80)
        w.d.start()
        equal((w.verdict("out", "tcp", f"{FAR_OUT}:80"), w.via(OUT4, "veth0", 81)), ("allow", "deny"))
        job.do("connect", name="f", address=FAR_OUT, port=80)
        w.d.kill()
        w.inside(f"addr del {FAR_IN}/24 dev veth0", "link set veth0 down", "link set veth0 name up0", "link set up0 up")
        w.d.start()
        equal((w.verdict("out", "tcp", f"{FAR_OUT}:80"), w.via(OUT4, "up0", 81)), ("deny", "allow"))
        job.fails("EPERM", "connect", name="f", address=FAR_OUT, port=80)
        job.do("connect", name="d", address=OUT4, port=81)
        w.d.kill()
        w.inside("link set up0 down", "link set up0 name veth0", "link set veth0 up")
        w.d.start()
        equal(w.via(OUT4, "veth0", 81), "deny")
        equal(w.d.json("status")["degraded"], [])


def test_many_changes_at_once():
    """However they are taken together: in the end the verdicts are those of what is there."""
    with world() as w:
        w.job("allow out tcp/80 to lan", "allow out tcp/81 via dummy3")
        links = [f"dummy{i}" for i in range(20)]

        def change():
            w.inside(*(f"link add {name} type veth peer name {name}p" for name in links),
                     *(f"addr add 10.200.{i}.1/24 dev {name}" for i, name in enumerate(links)),
                     *(f"link set {name} up" for name in links),
                     *(f"link del {name}" for name in links[10:]))

        w.until(lambda: w.verdict("out", "tcp", "10.200.9.7:80") == "allow" and w.via(OUT4, "dummy3", 81) == "allow", change)
        for i in range(20):
            equal(w.verdict("out", "tcp", f"10.200.{i}.7:80"), "allow" if i < 10 else "deny", i)
        for i in range(10):
            equal(w.via(OUT4, f"dummy{i}", 81), "allow" if i == 3 else "deny", i)
        w.until(lambda: w.verdict("out", "tcp", "10.200.9.7:80") == "deny", lambda: w.inside(*(f"link del {name}" for name in links[:10])))
        equal(w.verdict("out", "tcp", "10.200.0.7:80"), "deny")


if __name__ == "__main__":
    main(sys.modules[__name__])
