# SPDX-License-Identifier: LGPL-2.1-or-later
"""Open conversations after a change: who waits on one that is no longer allowed learns of it, and nobody else
notices. The host of the daemon is a network namespace of the test's own: of others no socket can be ended."""

import contextlib
import json
import os
import select
import sys

from harness import Daemon, Worker, check, equal, main
from network import Net

IN4, OUT4, OUT4B = Net.IN4, Net.OUT4, Net.OUT4B
IN6, OUT6, OUT6B = Net.IN6, Net.OUT6, Net.OUT6B
BOTH = ((IN4, OUT4), (IN6, OUT6))
RECVFROM = "45"


@contextlib.contextmanager
def world():
    with Net() as net, Daemon(net=net.inside) as d, Worker(net.outside) as peer:
        yield d, net, peer


def echo(one, other, name="c", to="a"):
    """Data both ways over a connection."""
    one.do("send", name=name, data="hello")
    equal(other.do("recv", name=to)["data"], "hello")
    other.do("send", name=to, data="world")
    equal(one.do("recv", name=name)["data"], "world")


def connect_out(job, peer, address, port, name="c", to="a"):
    peer.do("listen", name="l", address=address, port=port)
    job.do("connect", name=name, address=address, port=port)
    peer.do("accept", name="l", to=to)
    echo(job, peer, name, to)


def connect_in(job, peer, address, port, name="c", to="a"):
    """The job has the end `name`, and a listening socket of the name l and the port. Returns the address of the
    peer, which has several."""
    job.do("listen", name=f"l{port}", address=address, port=port)
    peer.do("connect", name=to, address=address, port=port)
    address = job.do("accept", name=f"l{port}", to=name)["peer"][0]
    echo(job, peer, name, to)
    return address


def connect_udp(job, peer, here, there, port, name="c", to="a"):
    mine = job.do("udp", name=name, address=here)["port"]
    job.do("reconnect", name=name, address=there, port=port)
    peer.do("udp", name=to, address=there, port=port)
    peer.do("reconnect", name=to, address=here, port=mine)
    echo(job, peer, name, to)


def begin_to_read(worker, name):
    """Until the worker waits for data inside of the system call."""
    worker.do("block", name=name)
    worker.tell("recv", name=name)
    pid = worker.pid or worker.process.pid
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        while True:
            with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
                if f.read().split()[0] == RECVFROM:
                    return
            check(not poll.poll(0), "the worker is gone")
    finally:
        os.close(pidfd)


def is_ended(worker):
    """The answer of a read that waited."""
    equal(worker.answer().get("errno"), "ECONNABORTED")


def write(path, text):
    with open(f"{path}.tmp", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(f"{path}.tmp", path)


class Witness:
    """A job with a connection of its own that a change forbids as well. Ends of conversations come after the reply;
    when this one ended, those of jobs before it in the alphabet had their turn."""

    def __init__(self, d, net, peer):
        self.d, self.peer, self.n = d, peer, 0
        self.job = d.job("zz-witness", "--default=allow", net=net.inside)

    def __call__(self):
        self.n += 1
        port = 40000 + self.n
        connect_out(self.job, self.peer, OUT4, port, name="w", to="w")
        begin_to_read(self.job, "w")
        self.d.ok("deny", "zz-witness", "out", f"tcp/{port}")
        is_ended(self.job)


def test_tcp_out():
    with world() as (d, net, peer):
        job = d.job("web", "--default=allow", net=net.inside)
        for _, there in BOTH:
            for verdict, port in (("deny", 80), ("never", 81)):
                connect_out(job, peer, there, port)
                begin_to_read(job, "c")
                d.ok(verdict, "web", "out", f"tcp/{port}", "to", there)
                is_ended(job)
                job.fails("EPERM", "connect", name="c", address=there, port=port)


def test_tcp_in():
    with world() as (d, net, peer):
        job = d.job("web", "--default=allow", net=net.inside)
        for here, _ in BOTH:
            for verdict, port in (("deny", 80), ("never", 81)):
                there = connect_in(job, peer, here, port)
                begin_to_read(job, "c")
                d.ok(verdict, "web", "in", f"tcp/{port}", "from", there)
                is_ended(job)
                # Its listening socket is whole, for others and for later.
                d.ok("remove", "web", verdict, "in", f"tcp/{port}", "from", there)
                peer.do("connect", name="b", address=here, port=port)
                job.do("accept", name=f"l{port}", to="d")
                echo(job, peer, "d", "b")


def test_in_is_not_ended_by_out():
    with world() as (d, net, peer):
        witness = Witness(d, net, peer)
        job = d.job("web", "--default=allow", net=net.inside)
        connect_in(job, peer, IN4, 80)
        connect_out(job, peer, OUT4, 81, name="o", to="p")
        d.ok("deny", "web", "out", "tcp")
        job.do("block", name="o")
        equal(job.call("recv", name="o").get("errno"), "ECONNABORTED")
        echo(job, peer)
        # Both ends of a never count.
        begin_to_read(job, "c")
        d.ok("never", "web", "out", "to", OUT4)
        is_ended(job)
        witness()


def test_udp():
    with world() as (d, net, peer):
        job = d.job("web", "--default=deny", "--rule=allow out udp", net=net.inside)
        for here, there in BOTH:
            connect_udp(job, peer, here, there, 53)
            connect_udp(job, peer, here, there, 54, name="o", to="p")
            begin_to_read(job, "c")
            d.ok("deny", "web", "out", "udp/53", "to", there)
            is_ended(job)
            echo(job, peer, "o", "p")
            begin_to_read(job, "o")
            d.ok("never", "web", "out", "udp/54", "to", there)
            is_ended(job)
            # It is a socket as before, but for its peer.
            peer.do("udp", name="q", address=there, port=55)
            job.do("reconnect", name="o", address=there, port=55)
            job.do("send", name="o", data="anew")
            equal(peer.do("recv", name="q")["data"], "anew")


def test_udp_that_either_may_open():
    """Nobody notes who opened where both may. When one may no longer, the other's datagrams open anew."""
    with world() as (d, net, peer):
        witness = Witness(d, net, peer)
        job = d.job("web", "--default=allow", net=net.inside)
        connect_udp(job, peer, IN4, OUT4, 53)
        begin_to_read(job, "c")
        d.ok("deny", "web", "out", "udp/53")
        witness()
        peer.do("send", name="a", data="hello")
        equal(job.answer().get("data"), "hello")
        job.do("send", name="c", data="answer")
        equal(peer.do("recv", name="a")["data"], "answer")
        begin_to_read(job, "c")
        d.ok("deny", "web", "in", "udp")
        is_ended(job)


def test_started_connection():
    """Nobody answers there: without the end of the socket the call would take minutes."""
    with world() as (d, net, peer):
        job = d.job("web", "--default=allow", net=net.inside)
        job.do("start_connect", name="c", address="10.77.200.200", port=9)
        job.tell("finish_connect", name="c")
        d.ok("deny", "web", "out", "tcp/9")
        equal(job.answer().get("errno"), "ECONNABORTED")


def test_what_stays_allowed_lives_on():
    with world() as (d, net, peer):
        job = d.job("web", "--default=allow", net=net.inside)
        connect_out(job, peer, OUT4, 80)
        connect_out(job, peer, OUT4, 81, name="d", to="b")
        connect_in(job, peer, IN4, 8080, name="e", to="f")
        connect_udp(job, peer, IN4, OUT4, 53, name="u", to="v")
        job.do("udp", name="s", address=IN4, port=5000)
        port = peer.do("udp", name="t", address=OUT4)["port"]
        job.do("block", name="c")
        begin_to_read(job, "c")
        d.ok("deny", "web", "out", "tcp/80")
        is_ended(job)
        for one, other in (("d", "b"), ("e", "f"), ("u", "v")):
            echo(job, peer, one, other)
        peer.do("sendto", name="t", data="ask", address=IN4, port=5000)
        equal(job.do("recvfrom", name="s")["peer"], [OUT4, port])
        # A socket that talks to many is nobody's conversation, and is kept whatever comes.
        begin_to_read(job, "d")
        d.ok("deny", "web", "any")
        is_ended(job)
        equal(job.do("pending", name="s")["data"], [])
        d.ok("remove", "web", "deny", "any")
        peer.do("connect", name="f", address=IN4, port=8080)
        job.do("accept", name="l8080", to="e")
        echo(job, peer, "e", "f")
        peer.do("sendto", name="t", data="again", address=IN4, port=5000)
        equal(job.do("recvfrom", name="s")["data"], "again")


def test_audit_and_off_end_nothing():
    with world() as (d, net, peer):
        witness = Witness(d, net, peer)
        job = d.job("web", "--default=allow", net=net.inside)
        connect_out(job, peer, OUT4, 80)
        connect_udp(job, peer, IN4, OUT4, 53, name="u", to="v")
        for mode in ("audit", "off"):
            d.ok("mode", "web", mode)
            for rule in ("deny", "out"), ("never", "out", "tcp/80"):
                d.ok(rule[0], "web", *rule[1:])
                witness()
                echo(job, peer)
                echo(job, peer, "u", "v")
                d.ok("remove", "web", *rule)
        # The control: the same rule, enforced, and it is the mode that tightens.
        d.ok("deny", "web", "out")
        begin_to_read(job, "c")
        d.ok("mode", "web", "enforce")
        is_ended(job)


def test_loosening_ends_nothing():
    with world() as (d, net, peer):
        witness = Witness(d, net, peer)
        job = d.job("web", "--default=deny", "--rule=allow out tcp/80", "--rule=allow out tcp/81", net=net.inside)
        connect_out(job, peer, OUT4, 80)
        d.ok("allow", "web", "out", "tcp")
        d.ok("remove", "web", "allow", "out", "tcp/80")
        d.ok("default", "web", "allow")
        d.ok("allow", "web", "in")
        witness()
        echo(job, peer)


def test_socket_that_was_passed_on():
    """It stays its maker's, whoever reads from it."""
    with world() as (d, net, peer), Worker(net.inside) as other:
        job = d.job("web", "--default=allow", net=net.inside)
        other.do("mailbox", name="m", path=f"{d.parent}/mailbox")
        connect_out(job, peer, OUT4, 80)
        job.do("pass", name="c", path=f"{d.parent}/mailbox")
        other.do("take", mailbox="m", name="c")
        echo(other, peer)
        begin_to_read(other, "c")
        d.ok("deny", "web", "out", "tcp/80")
        is_ended(other)
        other.do("connect", name="d", address=OUT4, port=80)


def test_same_ports_of_another_subject():
    with world() as (d, net, peer):
        web, db = (d.job(name, "--default=allow", net=net.inside) for name in ("web", "db"))
        peer.do("listen", name="l", address="0.0.0.0", port=80)
        for job, there, to in ((web, OUT4, "a"), (db, OUT4B, "b")):
            job.do("socket", name="c")
            job.do("bind", name="c", address=IN4, port=4000)
            job.do("reconnect", name="c", address=there, port=80)
            peer.do("accept", name="l", to=to)
        for job, there, to in ((web, OUT4, "v"), (db, OUT4B, "w")):
            peer.do("udp", name=to, address=there, port=53)
            job.do("socket", name="u", type="dgram")
            job.do("bind", name="u", address=IN4, port=5000)
            job.do("reconnect", name="u", address=there, port=53)
            peer.do("reconnect", name=to, address=IN4, port=5000)
        echo(web, peer)
        begin_to_read(web, "c")
        d.ok("deny", "web", "any")
        is_ended(web)
        equal(web.call("recv", name="u").get("errno"), "ECONNABORTED")
        echo(db, peer, "c", "b")
        echo(db, peer, "u", "w")


def test_same_addresses_in_another_namespace():
    """What the kernel compares is the cookie, and it looks in one namespace only."""
    with world() as (d, net, peer), Net() as elsewhere, Worker(elsewhere.outside) as far:
        web = d.job("web", "--default=allow", net=net.inside)
        db = d.job("db", "--default=allow", net=elsewhere.inside)
        for job, other in ((web, peer), (db, far)):
            other.do("listen", name="l", address=OUT4, port=80)
            job.do("socket", name="c")
            job.do("bind", name="c", address=IN4, port=4000)
            job.do("reconnect", name="c", address=OUT4, port=80)
            other.do("accept", name="l", to="a")
            echo(job, other)
        begin_to_read(web, "c")
        d.ok("deny", "web", "out")
        is_ended(web)
        echo(db, far)


def test_list_that_grows():
    with world() as (d, net, peer):
        os.makedirs(f"{d.dir}/lists")
        write(f"{d.dir}/lists/bad.txt", "192.0.2.0/24\n")
        with open(f"{d.dir}/policy.d/05-lists.json", "w", encoding="utf-8") as f:
            json.dump({"cgpolicy": 1, "match": {"units": ["nobody"]}, "lists": {"bad": {"file": "lists/bad.txt"}}}, f)
        d.ok("reload")
        job = d.job("web", "--default=allow", "--rule=never out to @bad", net=net.inside)
        for (_, there), kept in zip(BOTH, (OUT4B, OUT6B)):
            connect_out(job, peer, there, 80)
            connect_out(job, peer, kept, 80, name="k", to="j")
            begin_to_read(job, "c")
            write(f"{d.dir}/lists/bad.txt", f"192.0.2.0/24\n{there}\n")
            is_ended(job)
            echo(job, peer, "k", "j")


def test_file_that_is_reloaded():
    with world() as (d, net, peer):
        path = f"{d.dir}/policy.d/10-web.json"

        def rules(*lines):
            write(path, json.dumps({"cgpolicy": 1, "match": {"units": ["web"]}, "default": "allow", "rules": lines}))
            d.ok("reload")

        rules("deny out tcp/81")
        job = d.job("web", "--default=allow", net=net.inside)
        connect_out(job, peer, OUT4, 80)
        connect_out(job, peer, OUT4, 82, name="k", to="j")
        begin_to_read(job, "c")
        rules("deny out tcp/81", "deny out tcp/80")
        is_ended(job)
        echo(job, peer, "k", "j")


if __name__ == "__main__":
    main(sys.modules[__name__])
