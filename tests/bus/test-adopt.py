# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that is killed changes no verdict, and the next one takes over what is in force: without a gap,
without loading anything again, without losing a count."""

import json
import subprocess
import sys

from harness import COMMAND, Daemon, Worker, check, equal, main
from network import Net

IN4, OUT4 = Net.IN4, Net.OUT4
CYCLES = 200


def programs(d):
    """Paths and program ids of the pinned links."""
    links = f"{d.dir}/bpf/v2/links"
    shown = subprocess.run(["bpftool", "-j", "-f", "link", "show"], check=True, capture_output=True, text=True)
    return {
        (path, link["prog_id"])
        for link in json.loads(shown.stdout)
        for path in link.get("pinned", [])
        if path.startswith(links)
    }


def attempts(job, cycle, cycles=CYCLES):
    """What became of the tries of a job for a port and a datagram while `cycle` ran again and again."""
    job.tell("hammer", tcp=[OUT4, 81], udp=[OUT4, 5300])
    check(job.answer()["hammering"], "it did not begin")
    for i in range(cycles):
        cycle(i)
    job.tell("pid")
    results = job.answer()
    job.answer()
    return results


def kill_and_change(d):
    """A cycle: killed, started again, and now and then a change that has nothing to do with the port."""

    def cycle(i):
        d.kill()
        d.start()
        if i % 3 == 0:
            d.ok("allow", "web", "out", f"tcp/{2000 + i}")
        elif i % 3 == 1:
            d.ok("deny", "web", "in", f"tcp/{3000 + i}")

    return cycle


def test_hammered_while_killed_and_changed():
    with Daemon() as d, Net() as net, Worker(net.outside) as peer:
        peer.do("listen", name="l", address=OUT4, port=81)
        peer.do("udp", name="u", address=OUT4, port=5300)
        job = d.job("web", net=net.inside)
        results = attempts(job, kill_and_change(d))
        equal((results["tcp"].get("ok", 0), results["udp"].get("ok", 0)), (0, 0), "attempts that got through", results)
        check(results["tcp"]["EPERM"] > 100 and results["udp"]["EPERM"] > 100, "too few attempts", results)
        equal(peer.do("pending", name="u")["data"], [], "datagrams arrived")


def test_hammered_with_mode_off_gets_through():
    """The control of the test above: the same attempts, seen by the same counters."""
    with Daemon() as d, Net() as net, Worker(net.outside) as peer:
        peer.do("listen", name="l", address=OUT4, port=81)
        peer.do("udp", name="u", address=OUT4, port=5300)
        job = d.job("web", "--mode=off", net=net.inside)
        results = attempts(job, kill_and_change(d), cycles=3)
        check(results["tcp"].get("ok", 0) > 0 and results["udp"].get("ok", 0) > 0, results)


def test_denied_just_the_same_without_a_daemon():
    with Daemon() as d, Net() as net, Worker(net.outside) as peer:
        peer.do("listen", name="l", address=OUT4, port=80)
        job = d.job("web", "--rule=allow out tcp/80", net=net.inside)
        d.kill()
        job.do("connect", name="c", address=OUT4, port=80)
        answer = job.do("connects", address=OUT4, port=81, n=50)
        equal(answer["results"], {"EPERM": 50})
        d.start()
        equal(d.show("web")["defaults"]["out"]["blocked"], 50, "counted while nobody looked")
        check("true" in d.ok("--json=short", "log", "web").split('"missed":')[1][:8], "not told as missed")


def test_adopted_without_loading():
    with Daemon() as d:
        d.job("web", "--rule=allow out tcp/80", "--rule=never out to 198.51.100.0/24")
        d.ok("allow", "web", "in", "tcp/8080")
        before, generation = programs(d), d.show("web")["generation"]
        equal(len(before), 12, before)
        for _ in range(3):
            d.restart()
            equal(programs(d), before, "programs after a restart")
            equal(d.show("web")["generation"], generation)
            equal(d.json("status")["degraded"], [])


def test_conversation_goes_on():
    with Daemon() as d, Net() as net, Worker(net.outside) as peer:
        job = d.job("web", "--rule=allow in tcp/8080", "--rule=allow in udp/5000", net=net.inside)
        job.do("listen", name="l", address=IN4, port=8080)
        peer.do("connect", name="c", address=IN4, port=8080)
        job.do("accept", name="l", to="a")
        job.do("udp", name="s", address=IN4, port=5000)
        port = peer.do("udp", name="u", address=OUT4)["port"]
        peer.do("sendto", name="u", data="ask", address=IN4, port=5000)
        job.do("recv", name="s")
        for i in range(5):
            d.kill()
            peer.do("send", name="c", data=f"dead {i}")
            equal(job.do("recv", name="a")["data"], f"dead {i}")
            d.start()
            job.do("send", name="a", data=f"back {i}")
            equal(peer.do("recv", name="c")["data"], f"back {i}")
            job.do("sendto", name="s", data=f"answer {i}", address=OUT4, port=port)
            equal(peer.do("recv", name="u")["data"], f"answer {i}")


def test_killed_in_the_middle_of_a_change():
    """Old or new, and all hooks alike: explain asks rules and kernel and both must agree."""
    with Daemon() as d:
        d.job("web")
        wholly_old = wholly_new = 0
        for i in range(30):
            change = subprocess.Popen(
                [COMMAND, "--private", d.dir, "allow", "web", "out", f"tcp/{4000 + i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if i % 2:
                change.wait()
            d.restart()
            change.wait()
            rc, answer = d.explain("web", "out", "tcp", f"192.0.2.1:{4000 + i}")
            check(answer["kernel"]["agrees"], answer)
            equal(len({p for p, _ in programs(d)}), 12, "hooks")
            wholly_new, wholly_old = wholly_new + (rc == 0), wholly_old + (rc == 3)
            equal(d.json("status")["degraded"], [])
        check(wholly_new >= 15, "acknowledged changes were lost", wholly_new, wholly_old)


if __name__ == "__main__":
    main(sys.modules[__name__])
