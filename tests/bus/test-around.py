# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways around a policy that a process might try. Each is tried where it is denied, and once more where it is
allowed, so that a way that does not work at all is not taken for one that is closed."""

import contextlib
import os
import sys

from harness import PYTHON, Skip, Worker, equal, main, shared
from network import Net

IN4, OUT4, OUT4B = Net.IN4, Net.OUT4, Net.OUT4B
IN6, OUT6 = Net.IN6, Net.OUT6
MPTCP = 262


@contextlib.contextmanager
def world(*options):
    with shared() as d, Net() as net, Worker(net.outside) as peer:
        job = d.job("web", *options, net=net.inside)
        yield d, net, peer, job


def test_fast_open():
    with world("--rule=allow out tcp/80") as (_, _, peer, job):
        for there in (OUT4, OUT6, f"::ffff:{OUT4}"):
            peer.do("listen", name="l", address=there.removeprefix("::ffff:"), port=80)
            job.do("fast_open", name="c", address=there, port=80, data="x")
            peer.do("accept", name="l", to="a")
            equal(peer.do("recv", name="a")["data"], "x")
            job.fails("EPERM", "fast_open", name="c", address=there, port=81, data="x")


def test_connected_datagram_socket_sends_elsewhere():
    with world("--rule=allow out udp/5300") as (_, _, peer, job):
        for there in (OUT4, OUT6):
            for port in (5300, 5301):
                peer.do("udp", name=f"s{port}", address=there, port=port)
            job.do("connect", name="u", address=there, port=5300, type="dgram")
            job.do("send", name="u", data="right")
            equal(peer.do("recv", name="s5300")["data"], "right")
            job.fails("EPERM", "sendto", name="u", data="wrong", address=there, port=5301)
            job.fails("EPERM", "reconnect", name="u", address=there, port=5301)
            equal(peer.do("pending", name="s5301")["data"], [])


def test_multipath_tcp():
    with world("--rule=allow out tcp/80") as (_, _, peer, job):
        if job.call("socket", name="x", protocol=MPTCP).get("errno"):
            raise Skip("this kernel has no MPTCP")
        for there in (OUT4, OUT6):
            peer.do("listen", name="l", address=there, port=80)
            job.do("connect_protocol", name="c", address=there, port=80, protocol=MPTCP)
            peer.do("accept", name="l", to="a")
            job.do("send", name="c", data="x")
            equal(peer.do("recv", name="a")["data"], "x")
            job.fails("EPERM", "connect_protocol", name="d", address=there, port=81, protocol=MPTCP)


def test_extension_headers():
    with world("--rule=allow out udp/5300") as (d, _, peer, job):
        for port in (5300, 5301):
            peer.do("udp", name=f"s{port}", address=OUT6, port=port)
        job.do("socket", name="u", type="dgram", family=6)
        job.do("send_with_options", name="u", data="x", address=OUT6, port=5300)
        equal(peer.do("recv", name="s5300")["data"], "x")
        job.fails("EPERM", "send_with_options", name="u", data="x", address=OUT6, port=5301)
        equal(peer.do("pending", name="s5301")["data"], [])


def test_packets_made_by_hand():
    with world("--rule=allow out udp/5300") as (d, _, peer, job):
        for port in (5300, 5301):
            peer.do("udp", name=f"s{port}", address=OUT4, port=port)
        job.do("raw_udp", source=IN4, destination=OUT4, sport=1000, dport=5300)
        equal(peer.do("recv", name="s5300")["data"], "raw")
        job.fails("EPERM", "raw_udp", source=IN4, destination=OUT4, sport=1000, dport=5301)
        # Neither does a source address that is not ours help.
        job.fails("EPERM", "raw_udp", source="10.77.9.9", destination=OUT4, sport=1000, dport=5301)
        equal(peer.do("pending", name="s5301")["data"], [])


def test_packets_made_by_hand_open_no_way_back():
    with world("--rule=deny in") as (d, _, peer, job):
        # A port that is not allowed: the packet is dropped, and nothing remembers it as a conversation.
        log = d.follow("web")
        job.do("udp", name="u", address=IN4, port=1000)
        job.fails("EPERM", "raw_udp", source=IN4, destination=OUT4, sport=1000, dport=5301)
        peer.do("udp", name="s", address=OUT4, port=5301)
        peer.do("sendto", name="s", data="x", address=IN4, port=1000)
        log.next(direction="in", protocol="udp")
        equal(job.do("pending", name="u")["data"], [])


def test_children():
    with shared() as d, Net() as net, Worker(net.outside) as peer:
        for port in (80, 81):
            peer.do("listen", name=f"l{port}", address=OUT4, port=port)
        # A child of a child, in a session of its own.
        script = ("import socket, sys\nfor port in (80, 81):\n try:\n  socket.socket().connect((sys.argv[1], port))\n"
                  "  print('connected')\n except PermissionError:\n  print('refused')")
        done = d.ctl("run", "deep", "--rule=allow out tcp/80", "--", "setsid", "--wait", "sh", "-c", '"$@"; exit $?', "sh",
                     "nsenter", f"--net={net.inside}", *PYTHON, "-c", script, OUT4)
        equal(done, (0, "connected\nrefused\n", ""))


def test_cgroups_below():
    with world("--rule=allow out tcp/80") as (d, _, peer, job):
        below = f"{d.job_cgroup('web')}/below"
        os.mkdir(below)
        job.do("move", cgroup=below)
        peer.do("listen", name="l", address=OUT4, port=80)
        job.do("connect", name="c", address=OUT4, port=80)
        job.fails("EPERM", "connect", name="c", address=OUT4, port=81)
        equal(d.show("web")["state"], "attached")
        job.end()
        d.wait_job_over("web")


def test_leaving_the_cgroup_leaves_the_sockets():
    with world("--rule=allow out udp/5300") as (d, _, peer, job):
        job.do("udp", name="u", address=IN4)
        job.do("move", cgroup=os.path.dirname(d.cgroup))
        # Who may write to cgroup.procs can leave. A socket stays where it was made.
        job.fails("EPERM", "sendto", name="u", data="x", address=OUT4, port=5301)


def test_network_namespace_of_ones_own():
    with world("--rule=allow out tcp/80") as (d, net, peer, job):
        job.do("new_net")
        there4, there6 = net.join(job.pid)
        # Neighbour discovery is the namespace's own, and passes: without it there would be no IPv6.
        for there in (there4, there6):
            peer.do("listen", name="l", address=there, port=80)
            job.do("connect", name="c", address=there, port=80)
            peer.do("accept", name="l", to="a")
            job.do("send", name="c", data="x")
            equal(peer.do("recv", name="a")["data"], "x")
            job.fails("EPERM", "connect", name="d", address=there, port=81)


def test_sockets_of_others_keep_their_rules():
    with shared() as d, Net() as net, Worker(net.outside) as peer:
        # A connection accepted by a job stays the job's, whoever talks over it.
        a = d.job("a", "--rule=allow in tcp/8080", net=net.inside)
        b = d.job("b", "--rule=allow out tcp/8080 to localhost", net=net.inside)
        a.do("listen", name="l", address="127.0.0.1", port=8080)
        log = d.follow("a", "b")
        b.do("connect", name="c", address="127.0.0.1", port=8080)
        a.do("accept", name="l", to="x")
        a.do("send", name="x", data="hi")
        equal(b.do("recv", name="c")["data"], "hi")
        d.ok("deny", "a", "in", "tcp/8080", "from", "localhost")
        b.do("send", name="c", data="late")
        equal(log.next(protocol="tcp")["subject"], "a")
        equal(a.do("pending", name="x")["data"], [])


def test_addresses_that_mean_oneself():
    with world("--rule=allow in") as (_, _, _, job):
        # 0.0.0.0 and :: as destinations are the host itself.
        job.do("listen", name="l", address="0.0.0.0", port=8080)
        job.do("listen", name="m", address="::", port=8081)
        for address, port in (("0.0.0.0", 8080), ("127.0.0.1", 8080), ("::", 8081), ("::1", 8081)):
            job.fails("EPERM", "connect", name="c", address=address, port=port)


def test_addresses_that_mean_oneself_where_allowed():
    with world("--rule=allow in", "--rule=allow out to localhost") as (_, _, _, job):
        job.do("listen", name="l", address="0.0.0.0", port=8080)
        job.do("listen", name="m", address="::", port=8081)
        for address, port in (("0.0.0.0", 8080), ("127.0.0.1", 8080), ("::", 8081), ("::1", 8081)):
            job.do("connect", name="c", address=address, port=port)


if __name__ == "__main__":
    main(sys.modules[__name__])
