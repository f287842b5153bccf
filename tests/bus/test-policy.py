# SPDX-License-Identifier: LGPL-2.1-or-later
"""What verdicts mean, with real packets: a job on one side of a veth pair, a peer that is nobody's job on
the other."""

import contextlib
import json
import sys

from harness import Worker, check, equal, main, shared, wait_readable
from network import Net

IN4, OUT4, OUT4B = Net.IN4, Net.OUT4, Net.OUT4B
IN6, OUT6 = Net.IN6, Net.OUT6
BOTH = ((IN4, OUT4), (IN6, OUT6))


@contextlib.contextmanager
def world():
    with shared() as d, Net() as net, Worker(net.outside) as peer:
        yield d, net, peer


def echo(one, other, name="c", to="a"):
    """Data both ways over a connection."""
    one.do("send", name=name, data="hello")
    equal(other.do("recv", name=to)["data"], "hello")
    other.do("send", name=to, data="world")
    equal(one.do("recv", name=name)["data"], "world")


def connect_out(job, peer, address, port, name="c"):
    """A connection of the job to the peer, both ends open."""
    peer.do("listen", name="l", address=address, port=port)
    job.do("connect", name=name, address=address, port=port)
    peer.do("accept", name="l", to="a")


def test_tcp_out():
    with world() as (d, net, peer):
        job = d.job("web", "--rule=allow out tcp/80", net=net.inside)
        for _, address in BOTH:
            connect_out(job, peer, address, 80)
            echo(job, peer)
            peer.do("listen", name="m", address=address, port=81)
            job.fails("EPERM", "connect", name="d", address=address, port=81)
        rule = d.rule("web", "allow out tcp/80")
        check(rule["packets"] > 6 and rule["bytes"] > 300 and rule["blocked"] == 0, rule)
        equal(d.show("web")["defaults"]["out"]["blocked"], 2)


def test_a_refusal_is_at_once_and_counted():
    with world() as (d, net, _):
        job = d.job("web", net=net.inside)
        # Nobody answers there: without the refusal each would take minutes.
        answer = job.do("connects", address="10.77.200.200", port=9, n=200)
        equal(answer["results"], {"EPERM": 200})
        equal(d.show("web")["defaults"]["out"]["blocked"], 200)
        equal(d.show("web")["blocked"], 200)


def test_tcp_in():
    with world() as (d, net, peer):
        job = d.job("web", "--rule=allow in tcp/8080", net=net.inside)
        log = d.follow()
        for here, _ in BOTH:
            for port in (8080, 8081):
                job.do("listen", name=f"l{port}", address=here, port=port)
            peer.do("connect", name="c", address=here, port=8080)
            job.do("accept", name="l8080", to="a")
            echo(peer, job)
            peer.do("start_connect", name="d", address=here, port=8081)
            event = log.next(direction="in", protocol="tcp", rule="default.in")
            equal(event["hook"], "ingress")
            check(not peer.do("is_connected", name="d")["connected"], "it was connected all the same")


def test_udp_out():
    with world() as (d, net, peer):
        job = d.job("web", "--rule=allow out udp/5300", net=net.inside)
        for here, there in BOTH:
            peer.do("udp", name="s", address=there, port=5300)
            job.do("udp", name="u", address=here)
            job.do("sendto", name="u", data="ask", address=there, port=5300)
            got = peer.do("recvfrom", name="s")
            equal(got["data"], "ask")
            peer.do("sendto", name="s", data="answer", address=here, port=got["peer"][1])
            equal(job.do("recv", name="u")["data"], "answer", "an answer passes")
            job.fails("EPERM", "sendto", name="u", data="x", address=there, port=5301)
            job.fails("EPERM", "connect", name="k", address=there, port=5301, type="dgram")
            job.do("connect", name="k", address=there, port=5300, type="dgram")
            job.do("send", name="k", data="connected")
            equal(peer.do("recv", name="s")["data"], "connected")


def test_udp_in():
    with world() as (d, net, peer):
        job = d.job("web", "--rule=allow in udp/5000", net=net.inside)
        log = d.follow()
        for here, there in BOTH:
            job.do("udp", name="s", address=here, port=5000)
            job.do("udp", name="t", address=here, port=5001)
            port = peer.do("udp", name="u", address=there)["port"]
            peer.do("sendto", name="u", data="ask", address=here, port=5000)
            equal(job.do("recvfrom", name="s")["peer"], [there, port])
            job.do("sendto", name="s", data="answer", address=there, port=port)
            equal(peer.do("recv", name="u")["data"], "answer", "an answer passes")
            peer.do("sendto", name="u", data="x", address=here, port=5001)
            log.next(direction="in", protocol="udp", rule="default.in")
            equal(job.do("pending", name="t")["data"], [])
            other = peer.do("udp", name="v", address=there)["port"]
            job.fails("EPERM", "sendto", name="s", data="x", address=there, port=other)


def test_udp_answer_from_another_socket():
    with world() as (d, net, peer):
        job = d.job("web", "--rule=allow in udp/4433", net=net.inside)
        for here, there in BOTH:
            job.do("udp", name="s", address=here, port=4433)
            port = peer.do("udp", name="u", address=there)["port"]
            peer.do("sendto", name="u", data="hello", address=here, port=4433)
            job.do("recv", name="s")
            job.do("udp", name="t", address=here, port=4433)
            job.do("reconnect", name="t", address=there, port=port)
            job.do("send", name="t", data="from another")
            equal(peer.do("recv", name="u")["data"], "from another")


def test_large_datagrams():
    with world() as (d, net, peer):
        job = d.job("web", "--rule=allow out udp/5300", net=net.inside)
        for here, there in BOTH:
            peer.do("udp", name="s", address=there, port=5300)
            job.do("udp", name="u", address=here)
            job.do("sendto", name="u", data="x" * 5000, address=there, port=5300)
            got = peer.do("recvfrom", name="s")
            equal(len(got["data"]), 5000)
            peer.do("sendto", name="s", data="y" * 5000, address=here, port=got["peer"][1])
            equal(len(job.do("recv", name="u")["data"]), 5000)


def test_open_connection_out_is_cut():
    with world() as (d, net, peer):
        job = d.job("web", net=net.inside)
        log = d.follow()
        ports = iter(range(80, 100))
        for _, there in BOTH:
            # A cause is told of once: each end speaks on a connection of its own.
            for hook, sender, name, receiver, to in (("egress", job, "c", peer, "a"), ("ingress", peer, "a", job, "c")):
                rule = ("web", "allow", "out", f"tcp/{next(ports)}")
                d.ok("allow", rule[0], *rule[2:])
                connect_out(job, peer, there, int(rule[3][4:]))
                echo(job, peer)
                d.ok("remove", *rule)
                sender.do("send", name=name, data="late")
                equal(log.next(direction="out", protocol="tcp")["hook"], hook)
                equal(receiver.do("pending", name=to)["data"], [])
                # What TCP sends again arrives when it is allowed again.
                d.ok("allow", rule[0], *rule[2:])
                equal(receiver.do("recv", name=to)["data"], "late")


def test_open_connection_in_is_cut():
    with world() as (d, net, peer):
        job = d.job("web", "--default=allow", net=net.inside)
        log = d.follow()
        job.do("listen", name="l", address=IN4, port=8080)
        peer.do("connect", name="c", address=IN4, port=8080)
        job.do("accept", name="l", to="a")
        echo(peer, job)
        d.ok("deny", "web", "in", "tcp/8080", "from", OUT4)
        peer.call("send", name="c", data="late")
        log.next(direction="in", protocol="tcp", hook="ingress")
        job.call("send", name="a", data="also late")
        log.next(direction="in", protocol="tcp", hook="egress")
        equal(job.do("pending", name="a")["data"], [])
        d.ok("remove", "web", "deny", "in", "tcp/8080", "from", OUT4)
        equal(job.do("recv", name="a")["data"], "late")
        equal(peer.do("recv", name="c")["data"], "also late")
        # The other direction's rule is none of its business; never is everybody's.
        d.ok("deny", "web", "out", "tcp")
        echo(peer, job)
        d.ok("never", "web", "out", "to", OUT4)
        peer.call("send", name="c", data="x")
        log.next(direction="in", protocol="tcp", **{"rule-text": f"never out to {OUT4}"})
        equal(job.do("pending", name="a")["data"], [])


def test_open_datagram_conversation_is_cut():
    with world() as (d, net, peer):
        job = d.job("web", "--default=allow", "--rule=deny in", net=net.inside)
        log = d.follow()
        peer.do("udp", name="s", address=OUT4, port=5300)
        port = job.do("udp", name="u", address=IN4)["port"]
        job.do("sendto", name="u", data="ask", address=OUT4, port=5300)
        peer.do("recv", name="s")
        d.ok("deny", "web", "out", "udp/5300")
        job.fails("EPERM", "sendto", name="u", data="ask", address=OUT4, port=5300)
        log.next(direction="out", protocol="udp", hook="sendmsg4")
        peer.do("sendto", name="s", data="answer", address=IN4, port=port)
        log.next(direction="out", protocol="udp")
        equal(d.rule("web", "deny out udp/5300")["blocked"], 2)
        equal(job.do("pending", name="u")["data"], [])
        d.ok("remove", "web", "deny", "out", "udp/5300")
        peer.do("sendto", name="s", data="answer", address=IN4, port=port)
        equal(job.do("recv", name="u")["data"], "answer")


def test_specific_beats_wide_and_never_beats_all():
    with world() as (d, net, peer):
        job = d.job("web", "--rule=deny out tcp", f"--rule=allow out tcp/80 to {OUT4}", "--rule=deny out to 10.77.1.0/24",
                    "--rule=allow out tcp/80 to 10.77.1.2", net=net.inside)
        for address in (OUT4, OUT4B):
            connect_out(job, peer, address, 80)
            job.fails("EPERM", "connect", name="d", address=address, port=81)
        d.ok("never", "web", "out", "to", "10.77.0.0/16")
        for address in (OUT4, OUT4B):
            job.fails("EPERM", "connect", name="c", address=address, port=80)


def test_ping():
    with world() as (d, net, _):
        job = d.job("web", net=net.inside)
        log = d.follow("web")
        for there, protocol in ((OUT4, "icmp"), (OUT6, "icmpv6")):
            job.fails("EPERM", "ping", address=there, raw=True)
            log.next(direction="out", protocol=protocol)
            # The kernel keeps to itself that an IPv6 ping socket sent nothing.
            equal(job.call("ping", address=there, wait=False).get("errno"), "EPERM" if protocol == "icmp" else None)
            log.next(direction="out", protocol=protocol)
            equal(d.show("web")["defaults"]["out"]["blocked"], 2 if protocol == "icmp" else 4)
            d.ok("allow", "web", "out", protocol)
            for raw in (False, True):
                job.do("ping", address=there, raw=raw)


def test_ping_of_a_job():
    with world() as (d, net, peer):
        # The echo is answered by the kernel, whose socket is nobody's: a job's rules do not see it.
        d.job("web", net=net.inside)
        for here, _ in BOTH:
            peer.do("ping", address=here)


def test_mapped_addresses_are_ipv4():
    with world() as (d, net, peer):
        job = d.job("web", f"--rule=allow out tcp/80 to {OUT4}", f"--rule=allow out udp/5300 to {OUT4}",
                    f"--rule=allow in tcp/8080 from {OUT4}", net=net.inside)
        mapped = f"::ffff:{OUT4}"
        peer.do("listen", name="l", address=OUT4, port=80)
        job.do("connect", name="c", address=mapped, port=80)
        peer.do("accept", name="l", to="a")
        echo(job, peer)
        job.fails("EPERM", "connect", name="d", address=mapped, port=81)
        peer.do("udp", name="s", address=OUT4, port=5300)
        job.do("udp", name="u", address="::", family=6)
        job.do("sendto", name="u", data="mapped", address=mapped, port=5300)
        got = peer.do("recvfrom", name="s")
        peer.do("sendto", name="s", data="answer", address=IN4, port=got["peer"][1])
        equal(job.do("recv", name="u")["data"], "answer")
        job.fails("EPERM", "sendto", name="u", data="x", address=mapped, port=5301)
        job.do("listen", name="m", address="::", port=8080, family=6)
        peer.do("connect", name="e", address=IN4, port=8080)
        equal(job.do("accept", name="m", to="b")["peer"][0], mapped)
        echo(peer, job, "e", "b")


def test_audit():
    with world() as (d, net, peer):
        job = d.job("audited", "--mode=audit", "--default=deny", net=net.inside)
        connect_out(job, peer, OUT4, 80)
        echo(job, peer)
        job.do("listen", name="l", address=IN4, port=8080)
        peer.do("connect", name="d", address=IN4, port=8080)
        job.do("accept", name="l", to="b")
        echo(peer, job, "d", "b")
        unit = d.show("audited")
        check(unit["would-block"] > 0 and unit["blocked"] == 0, unit)
        events = [json.loads(line) for line in d.ok("log", "-n", "all", "--json=short", "audited").splitlines()]
        equal({e["action"] for e in events}, {"would-deny"})
        equal({e["direction"] for e in events}, {"in", "out"})
        rc, answer = d.explain("audited", "out", "tcp", f"{OUT4}:80")
        equal((rc, answer["mode"]), (0 if answer["verdict"] == "allow" else 3, "audit"))
        d.ok("mode", "audited", "enforce")
        job.fails("EPERM", "connect", name="f", address=OUT4, port=80)


def test_off():
    with world() as (d, net, peer):
        job = d.job("idle", "--mode=off", "--default=deny", "--rule=never out", net=net.inside)
        for _, there in BOTH:
            connect_out(job, peer, there, 80)
            echo(job, peer)
        unit = d.show("idle")
        equal((unit["blocked"], unit["would-block"]), (0, 0))
        equal(d.ok("log", "idle"), "")
        d.ok("mode", "idle", "enforce")
        job.fails("EPERM", "connect", name="d", address=OUT4, port=80)
        # Who opened it was noted all the while.
        d.ok("remove", "idle", "never", "out")
        d.ok("allow", "idle", "out", "tcp/80")
        echo(job, peer)


def test_detach_and_attach_around_a_connection():
    with world() as (d, net, peer):
        job = d.job("web", net=net.inside)
        log = d.follow()
        d.ok("detach", "web")
        connect_out(job, peer, OUT4, 80)
        d.ok("attach", "web")
        job.call("send", name="c", data="late")
        log.next(protocol="tcp", hook="egress")
        equal(peer.do("pending", name="a")["data"], [])
        # Nobody saw who opened it: either direction will do.
        d.ok("default", "web", "in", "allow")
        equal(peer.do("recv", name="a")["data"], "late")
        echo(job, peer)


def test_defaults():
    with world() as (d, net, peer):
        job = d.job("web", "--default=allow", net=net.inside)
        connect_out(job, peer, OUT4, 80)
        d.ok("default", "web", "out", "deny")
        job.fails("EPERM", "connect", name="d", address=OUT4, port=80)
        job.do("listen", name="l", address=IN4, port=8080)
        peer.do("connect", name="d", address=IN4, port=8080)
        d.ok("default", "web", "deny")
        d.ok("default", "web", "out", "allow")
        connect_out(job, peer, OUT4, 80)


def test_nothing_is_implied_on_loopback():
    with world() as (d, net, _):
        job = d.job("web", "--rule=allow out tcp to localhost", net=net.inside)
        log = d.follow()
        for address in ("127.0.0.1", "::1"):
            job.do("listen", name="l", address=address, port=8080)
            job.do("start_connect", name="c", address=address, port=8080)
            log.next(direction="in", hook="ingress", protocol="tcp")
            check(not job.do("is_connected", name="c")["connected"])
        d.ok("allow", "web", "in", "tcp/8080", "from", "localhost")
        for address in ("127.0.0.1", "::1"):
            job.do("listen", name="l", address=address, port=8080)
            job.do("connect", name="c", address=address, port=8080)
            job.do("accept", name="l", to="a")
            echo(job, job)


RULES = (
    "allow out tcp/80", "deny out tcp/80 to 10.77.1.0/24", "allow out tcp/81 to fd77::/32", "allow out udp/5300-5302",
    "never out udp/5301", "deny out udp/5302 to fd77::2", "allow in tcp/8080", "deny in tcp/8080 from 10.77.1.2",
    "allow in udp/5000 from 10.77.0.2,fd77::2", "never in udp/5000 from fd77::2", "allow out icmp to 10.77.0.2",
)


def leaves(job, log, protocol, address, port):
    """Whether what the job sends goes out: otherwise there is an error, or at least a denial to be seen."""
    if protocol == "icmpv6":
        job.do("ping", address=address, wait=False)
        log.next(direction="out", protocol=protocol)
        return False
    if protocol == "icmp":
        answer = job.call("ping", address=address)
    elif protocol == "tcp":
        answer = job.call("connect", name="t", address=address, port=port)
    else:
        job.do("socket", name="t", type="dgram", family=6 if ":" in address else 4)
        answer = job.call("sendto", name="t", data="x", address=address, port=port)
    check(answer.get("errno") in (None, "EPERM"), answer)
    return "errno" not in answer


def test_explain_is_what_happens():
    with world() as (d, net, peer):
        job = d.job("web", *(f"--rule={r}" for r in RULES), net=net.inside)
        log = d.follow("web")
        for address in (OUT4, OUT4B, OUT6, Net.OUT6B):
            for port in (80, 81):
                peer.do("listen", name=f"l{address}{port}", address=address, port=port)
            for protocol, port in (("tcp", 80), ("tcp", 81), ("udp", 5300), ("udp", 5301), ("udp", 5302), ("udp", 5303),
                                   ("icmpv6" if ":" in address else "icmp", None)):
                end = address if port is None else f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
                rc, answer = d.explain("web", "out", protocol, end)
                check(answer["kernel"]["checked"] and answer["kernel"]["agrees"], answer)
                equal(leaves(job, log, protocol, address, port), rc == 0, "out", protocol, end, answer["rule"])


def arrives(job, peer, log, protocol, source, port):
    """Whether what the peer sends comes through: otherwise there is a denial to be seen."""
    here = IN6 if ":" in source else IN4
    if protocol == "tcp":
        job.do("listen", name="s", address=here, port=port)
        peer.do("start_connect", name="t", address=here, port=port, source=source)
    else:
        job.do("udp", name="s", address=here, port=port)
        peer.do("udp", name="t", address=source)
        peer.do("sendto", name="t", data="x", address=here, port=port)
    # Either the socket has something or the log has.
    job.tell("wait_input", name="s")
    if job.lines.fd in wait_readable("a packet or a denial", job.lines.fd, log.lines.fd):
        job.answer()
        return True
    event = log.next(direction="in", protocol=protocol)
    check(event["local"].endswith(f":{port}") and source in event["remote"], event)
    job.tell("pid")  # a request ends the wait
    equal(job.answer()["input"], False)
    job.answer()
    return False


def test_explain_is_what_arrives():
    with world() as (d, net, peer):
        job = d.job("web", *(f"--rule={r}" for r in RULES), net=net.inside)
        for source in (OUT4, OUT4B, OUT6, Net.OUT6B):
            for protocol, port in (("tcp", 8080), ("tcp", 8081), ("udp", 5000), ("udp", 5001)):
                end = f"[{source}]:{port}" if ":" in source else f"{source}:{port}"
                rc, answer = d.explain("web", "in", protocol, end)
                check(answer["kernel"]["checked"] and answer["kernel"]["agrees"], answer)
                log = d.follow("web")
                equal(arrives(job, peer, log, protocol, source, port), rc == 0, "in", protocol, end, answer["rule"])
                log.end()
                peer.do("close", name="t")


if __name__ == "__main__":
    main(sys.modules[__name__])
