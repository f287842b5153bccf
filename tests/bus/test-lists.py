# SPDX-License-Identifier: LGPL-2.1-or-later
"""Named lists: what `lists` shows, a file that changes, one that breaks, one that two jobs share, and what rules
that name a list that is not there are told."""

import json
import os
import sys

from dbus_peer import MANAGER, Peer
from harness import Worker, check, equal, main, shared
from network import Net

OUT4, OUT4B, OUT6 = Net.OUT4, Net.OUT4B, Net.OUT6


def write(path, text):
    """As editors do: a new file in place of the old one."""
    with open(f"{path}.tmp", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(f"{path}.tmp", path)


def define(d, lists, name="05-lists.json"):
    """A policy file that is there for its lists."""
    text = json.dumps({"cgpolicy": 1, "match": {"units": ["nobody"]}, "lists": lists}, indent=1)
    with open(f"{d.dir}/policy.d/{name}", "w", encoding="utf-8") as f:
        f.write(text)
    d.ok("reload")
    return f"{d.dir}/policy.d/{name}"


def ads(d, text, name="ads"):
    """The list file, and its path as the definition says it."""
    os.makedirs(f"{d.dir}/lists", exist_ok=True)
    write(f"{d.dir}/lists/{name}.txt", text)
    return f"lists/{name}.txt"


def the_list(d, name="ads"):
    return d.json("lists", name)[0]


def wait_list(d, condition, change):
    """Makes a change and follows the daemon's own signals until the list is as it should be."""
    with Peer(d.dir) as peer:
        change()
        while not condition(the_list(d)):
            peer.signal("PropertiesChanged")


def verdicts(d, unit, *addresses):
    return [d.explain(unit, "out", "tcp", f"{a}:443")[1]["verdict"] for a in addresses]


def test_none():
    with shared() as d:
        result = d.ctl("lists")
        equal((result.rc, result.out), (0, ""))
        check("No lists" in result.err, result)
        equal(d.json("lists"), [])
        result = d.ctl("lists", "ads")
        equal((result.rc, result.out), (4, ""))
        check("no list 'ads'" in result.err, result)


def test_table():
    with shared() as d:
        path = define(d, {
            "ads": {"file": ads(d, "# of people\n192.0.2.0/24\n198.51.100.7\n2001:db8::/32 ; all\n")},
            "few": {"networks": ["10.0.0.0/8", "fd00::1-fd00::2"]},
            "none": {"file": "lists/none.txt"},
        })
        d.job("web", "--rule=deny out to @ads,@few")
        d.job("db", "--rule=never out to @ads")
        lists = {one["name"]: one for one in d.json("lists")}
        equal(sorted(lists), ["ads", "few", "none"])
        one = lists["ads"]
        equal((one["ipv4"], one["ipv6"], one["source"], one["state"], one["error"]), (2, 1, "lists/ads.txt", "loaded", None))
        equal(one["used-by"], ["db", "web"])
        file, line = one["defined"].rsplit(":", 1)
        equal(file, path)
        with open(path, encoding="utf-8") as f:
            check('"ads"' in f.read().splitlines()[int(line) - 1], "defined at", one)
        check(one["loaded"].endswith("Z") and one["loaded"] > "2020", one)
        equal((lists["few"]["ipv4"], lists["few"]["ipv6"], lists["few"]["source"], lists["few"]["used-by"]),
              (1, 2, "inline", ["web"]))
        equal((lists["none"]["state"], lists["none"]["loaded"], lists["none"]["used-by"]), ("never-loaded", None, []))
        check("lists/none.txt" in lists["none"]["error"], lists["none"])
        text = d.ok("lists")
        equal(text.split("\n")[0].split(), ["LIST", "IPV4", "IPV6", "SOURCE", "STATE", "LOADED", "USED", "BY", "DEFINED"])
        check("no rule can use it" in text and "db,web" in text, text)
        equal([one["name"] for one in d.json("lists", "f*", "@ads")], ["ads", "few"])
        result = d.ctl("lists", "asd")
        equal((result.rc, result.out), (4, ""))
        check("did you mean 'ads'?" in result.err and "cgpolicyctl lists" in result.err, result)
        with Peer(d.dir) as peer:
            equal([row[0] for row in peer.call("ListLists", "", path=MANAGER[0], interface=MANAGER[1])], ["ads", "few", "none"])


def test_unknown_list_is_refused():
    with shared() as d:
        d.job("web", "--default=allow")
        result = d.ctl("deny", "web", "out", "to", "@ads")
        equal((result.rc, result.out), (4, ""))
        for words in ("no file defines the list '@ads'", 'define it in a policy file first: "lists": {"ads": {"file": "lists/ads.txt"}}'):
            check(words in result.err, words, result.err)
        define(d, {"ads": {"networks": ["192.0.2.0/24"]}, "partners": {"networks": ["10.0.0.0/8"]}})
        check("did you mean '@ads'?" in d.ctl("deny", "web", "out", "to", "@asd").err, "a likely name")
        check("there are @ads, @partners" in d.ctl("deny", "web", "out", "to", "@zebra").err, "the names that there are")
        for words in (("run", "x", "--rule=deny out to @zebra", "--", "true"),
                      ("apply", "-")):
            result = d.ctl(*words, stdin=json.dumps({"cgpolicy": 1, "match": {"units": ["x"]}, "rules": ["deny out to @zebra"]}))
            equal((result.rc, result.out), (4, ""), result)
        result = d.ctl("deny", "web", "out", "to", "ads.example.org")
        equal(result.rc, 5)
        check("@" in result.err and "list" in result.err, "a host name is offered a list", result.err)
        equal(d.show("web")["rules"], [])
        equal(d.json("status")["degraded"], [])


def test_never_loaded_list_is_refused():
    with shared() as d:
        d.job("web")
        define(d, {"ads": {"file": "lists/none.txt"}})
        result = d.ctl("deny", "web", "out", "to", "@ads")
        equal((result.rc, result.out), (5, ""))
        check("has never been loaded" in result.err and "lists/none.txt" in result.err, result.err)


def test_explain_names_list_and_network():
    with shared() as d:
        define(d, {"ads": {"file": ads(d, "192.0.2.0/24\n192.0.2.128/25\n2001:db8::/32\n")}})
        d.job("web", "--default=allow", "--rule=deny out to @ads,203.0.113.0/24,198.51.100.1-198.51.100.9")
        for address, peer, network in (
            ("192.0.2.1", "@ads", "192.0.2.0/24"), ("192.0.2.200", "@ads", "192.0.2.128/25"),
            ("[2001:db8:1::1]", "@ads", "2001:db8::/32"), ("203.0.113.1", "203.0.113.0/24", "203.0.113.0/24"),
            ("198.51.100.5", "198.51.100.1-198.51.100.9", "198.51.100.4/30"),
        ):
            rc, answer = d.explain("web", "out", "tcp", f"{address}:443")
            equal((rc, answer["matched"]), (3, {"peer": peer, "network": network}), address)
            equal(answer["kernel"]["agrees"], True, answer)
        check("the list @ads: 192.0.2.128/25" in d.ctl("explain", "web", "out", "tcp", "192.0.2.200:443").out, "in words")
        equal(d.explain("web", "out", "tcp", "192.0.3.1:443")[1]["matched"], None)


def test_reload_by_itself():
    with shared() as d:
        define(d, {"ads": {"file": ads(d, "192.0.2.0/24\n")}})
        d.job("web", "--default=allow", "--rule=deny out to @ads")
        equal(verdicts(d, "web", "192.0.2.1", "198.51.100.1"), ["deny", "allow"])
        wait_list(d, lambda one: one["ipv4"] == 2, lambda: ads(d, "198.51.100.0/24\n203.0.113.0/24\n"))
        equal(verdicts(d, "web", "192.0.2.1", "198.51.100.1", "203.0.113.1"), ["allow", "deny", "deny"])
        equal(the_list(d)["state"], "loaded")


def test_garbage_keeps_what_was():
    with shared() as d:
        define(d, {"ads": {"file": ads(d, "192.0.2.0/24\n")}})
        d.job("web", "--default=allow", "--rule=deny out to @ads")
        loaded = the_list(d)["loaded"]
        wait_list(d, lambda one: one["state"] == "kept", lambda: ads(d, "198.51.100.0/24\ngarbage here\n"))
        one = the_list(d)
        check("lists/ads.txt:2:" in one["error"] and "garbage" not in one["error"], "the place, and not what stands there", one)
        equal((one["ipv4"], one["loaded"]), (1, loaded))
        equal(verdicts(d, "web", "192.0.2.1", "198.51.100.1"), ["deny", "allow"])
        text = d.ok("lists")
        check("its last good content stays in force" in text and "lists/ads.txt:2" in text, text)
        check(any("list 'ads'" in line for line in d.json("status")["degraded"]), "degraded")
        # Over a restart, too.
        d.restart()
        equal((the_list(d)["state"], the_list(d)["ipv4"]), ("kept", 1))
        equal(verdicts(d, "web", "192.0.2.1", "198.51.100.1"), ["deny", "allow"])
        wait_list(d, lambda one: one["state"] == "kept" and "No such file" in (one["error"] or ""),
                  lambda: os.unlink(f"{d.dir}/lists/ads.txt"))
        equal(verdicts(d, "web", "192.0.2.1"), ["deny"])
        wait_list(d, lambda one: one["state"] == "loaded", lambda: ads(d, "198.51.100.0/24\n"))
        equal(verdicts(d, "web", "192.0.2.1", "198.51.100.1"), ["allow", "deny"])
        equal(d.json("status")["degraded"], [])


def test_two_jobs_share_a_list():
    with shared() as d, Net() as net, Worker(net.outside) as peer:
        define(d, {"ads": {"file": ads(d, f"{OUT4}\n{OUT6}\n")}})
        jobs = [d.job(name, "--default=allow", "--rule=deny out to @ads", net=net.inside) for name in ("one", "two")]
        equal(the_list(d)["used-by"], ["one", "two"])
        for address in (OUT4, OUT4B, OUT6):
            peer.do("listen", name=address, address=address, port=80)
        for job in jobs:
            job.fails("EPERM", "connect", name="a", address=OUT4, port=80)
            job.fails("EPERM", "connect", name="b", address=OUT6, port=80)
            job.do("connect", name="c", address=OUT4B, port=80)
        wait_list(d, lambda one: one["ipv6"] == 0, lambda: ads(d, f"{OUT4B}\n"))
        for job in jobs:
            job.fails("EPERM", "connect", name="d", address=OUT4B, port=80)
            job.do("connect", name="e", address=OUT4, port=80)
            job.do("connect", name="f", address=OUT6, port=80)
        # One may go; the other keeps it.
        jobs[0].end()
        d.wait_job_over("one")
        equal(the_list(d)["used-by"], ["two"])
        jobs[1].fails("EPERM", "connect", name="g", address=OUT4B, port=80)


def test_a_list_that_is_used_stays():
    with shared() as d:
        path = define(d, {"ads": {"networks": ["192.0.2.0/24"]}})
        job = d.job("web", "--default=allow", "--rule=deny out to @ads")
        os.unlink(path)
        result = d.ctl("reload")
        check("ads" in result.err, "the reload tells what is missing", result)
        equal(verdicts(d, "web", "192.0.2.1"), ["deny"])
        job.end()
        d.wait_job_over("web")
        d.ok("reload")
        equal((d.json("lists"), d.json("status")["degraded"]), ([], []))


if __name__ == "__main__":
    main(sys.modules[__name__])
