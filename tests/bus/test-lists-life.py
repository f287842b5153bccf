# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to the file of a list in its life: edited in place, replaced, taken away with its directory, grown
without bounds, read while the daemon has other things to do, or while it is killed."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

from dbus_peer import Peer
from harness import Daemon, Watch, check, equal, main, shared

IN_CREATE = 0x100
SETS = "{}/bpf/v2/maps/cgp_sets"


def write(path, text):
    """As editors do: a new file in place of the old one."""
    with open(f"{path}.tmp", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(f"{path}.tmp", path)


def path_of(d, name="ads"):
    return f"{d.dir}/lists/{name}.txt"


def define(d, *names):
    """A policy file that is there for its lists."""
    text = {"cgpolicy": 1, "match": {"units": ["nobody"]}, "lists": {n: {"file": f"lists/{n}.txt"} for n in names}}
    write(f"{d.dir}/policy.d/05-lists.json", json.dumps(text))
    return d.ok("reload")


def the_list(d, name="ads"):
    return d.json("lists", name)[0]


def wait_list(d, condition, change, name="ads"):
    """Makes a change and follows the daemon's own signals until the list is as it should be."""
    with Peer(d.dir) as peer:
        change()
        while not condition(the_list(d, name)):
            peer.signal("PropertiesChanged")


def is_loaded(n):
    return lambda one: (one["state"], one["ipv4"]) == ("loaded", n)


def verdicts(d, *addresses, unit="web"):
    return [d.explain(unit, "out", "tcp", f"{a}:443")[1]["verdict"] for a in addresses]


@contextlib.contextmanager
def world(text="192.0.2.0/24\n", names=("ads",)):
    """A daemon with a list, and a job whose rule names it."""
    with Daemon() as d:
        os.makedirs(f"{d.dir}/lists")
        for name in names:
            write(path_of(d, name), text)
        define(d, *names)
        d.job("web", "--default=allow", "--rule=never out to @ads")
        yield d


def many(n, first=10):
    """So many networks, none next to another: 10.0.0.0, 10.0.0.2, ..."""
    text = []
    for i in range(n):
        i *= 2
        text.append(f"{first + (i >> 24)}.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}\n")
    return "".join(text)


def set_maps(d):
    """The slots of list maps that are taken, and the ids of the maps in them."""
    shown = subprocess.run(
        ["bpftool", "-j", "map", "dump", "pinned", SETS.format(d.dir)], check=True, capture_output=True, text=True
    )
    return {tuple(e["key"]): tuple(e["value"]) for e in json.loads(shown.stdout) if "value" in e}


def temps(d):
    return [name for name in os.listdir(f"{d.dir}/good.d") if name.endswith(".new")]


def test_edited_in_place():
    with world() as d:
        def append():
            with open(path_of(d), "a", encoding="utf-8") as f:
                f.write("198.51.100.0/24\n")

        def replace():
            with open(path_of(d), "r+", encoding="utf-8") as f:
                f.truncate()
                f.write("203.0.113.0/24\n")

        wait_list(d, is_loaded(2), append)
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["deny", "deny"])
        wait_list(d, is_loaded(1), replace)
        equal(verdicts(d, "192.0.2.1", "203.0.113.1"), ["allow", "deny"])


def test_replaced_by_links():
    with world() as d:
        write(f"{d.parent}/elsewhere", "198.51.100.0/24\n203.0.113.0/24\n")
        os.symlink(f"{d.parent}/elsewhere", f"{path_of(d)}.tmp")
        wait_list(d, is_loaded(2), lambda: os.rename(f"{path_of(d)}.tmp", path_of(d)))
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["allow", "deny"])
        write(f"{d.parent}/other", "192.0.2.1\n192.0.2.3\n192.0.2.5\n")
        os.link(f"{d.parent}/other", f"{path_of(d)}.tmp")
        wait_list(d, is_loaded(3), lambda: os.rename(f"{path_of(d)}.tmp", path_of(d)))
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["deny", "allow"])


def test_what_is_no_file():
    """Neither is waited for nor read: a pipe would hold the daemon until somebody writes."""
    with world() as d:
        for make in (os.mkfifo, os.mkdir):
            def put(make=make):
                make(f"{path_of(d)}.tmp")
                os.rename(f"{path_of(d)}.tmp", path_of(d)) if make is os.mkfifo else (
                    os.unlink(path_of(d)), os.rename(f"{path_of(d)}.tmp", path_of(d)))

            wait_list(d, lambda one: one["state"] == "kept", put)
            d.ok("reload")
            equal(verdicts(d, "192.0.2.1"), ["deny"])
        os.rmdir(path_of(d))
        wait_list(d, is_loaded(1), lambda: write(path_of(d), "198.51.100.0/24\n"))
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["allow", "deny"])


def test_taken_away_with_its_directory():
    with world() as d:
        def take():
            os.unlink(path_of(d))
            os.rmdir(f"{d.dir}/lists")

        wait_list(d, lambda one: one["state"] == "kept", take)
        equal(verdicts(d, "192.0.2.1"), ["deny"])

        def put_back():
            os.mkdir(f"{d.dir}/lists")
            write(path_of(d), "198.51.100.0/24\n203.0.113.0/24\n")

        # Nothing has to be said to it: the directory that came back is watched.
        wait_list(d, is_loaded(2), put_back)
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["allow", "deny"])
        wait_list(d, is_loaded(1), lambda: write(path_of(d), "192.0.2.0/24\n"))
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["deny", "allow"])


def test_directory_that_is_replaced():
    """Lists that are published as a whole: a new directory in place of the old one."""
    with world() as d:
        os.mkdir(f"{d.dir}/fresh")
        write(f"{d.dir}/fresh/ads.txt", "198.51.100.0/24\n203.0.113.0/24\n")
        def swap():
            os.rename(f"{d.dir}/lists", f"{d.dir}/stale")
            os.rename(f"{d.dir}/fresh", f"{d.dir}/lists")

        wait_list(d, is_loaded(2), swap)
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["allow", "deny"])
        wait_list(d, is_loaded(1), lambda: write(path_of(d), "192.0.2.0/24\n"))
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["deny", "allow"])
        shutil.rmtree(f"{d.dir}/stale")


def test_garbage_and_what_the_command_says():
    with world() as d:
        wait_list(d, lambda one: one["state"] == "kept", lambda: write(path_of(d), "198.51.100.0/24\n" * 4000 + "10.0.0.0/33\n"))
        equal(the_list(d)["error"].split(": ")[0], "lists/ads.txt:4001")
        result = d.ctl("reload")
        equal(result.rc, 0, result)
        check("lists/ads.txt:4001" in result.out + result.err, "the reload tells what is not in force", result)
        result = d.ctl("lists")
        equal(result.rc, 0)
        check("lists/ads.txt:4001" in result.out + result.err, result)
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["deny", "allow"])


def enlarge(path):
    with open(path, "r+", encoding="ascii") as f:
        f.truncate(1 << 40)


def test_ten_million_lines():
    with world() as d:
        block = "".join(f"@.{c}.{b}\n" for c in range(256) for b in range(256))
        before = d.show("web")["generation"]

        def grow():
            with open(f"{path_of(d)}.tmp", "w", encoding="ascii") as f:
                for i in range(10_000_000 // 65536 + 1):
                    f.write(block.replace("@", f"1.{i}"))
            os.rename(f"{path_of(d)}.tmp", path_of(d))

        wait_list(d, lambda one: one["state"] == "kept", grow)
        one = the_list(d)
        check("lists/ads.txt:2000001:" in one["error"] and "2000000" in one["error"].replace(",", ""), "path, line, limit", one)
        equal((one["ipv4"], d.show("web")["generation"]), (1, before))
        equal(verdicts(d, "192.0.2.1", "1.0.0.0"), ["deny", "allow"])
        equal(temps(d), [])
        # A file that is larger than any that is read, and costs nothing.
        wait_list(d, lambda one: "too large" in (one["error"] or ""), lambda: enlarge(path_of(d)))
        os.unlink(path_of(d))
        wait_list(d, is_loaded(1), lambda: write(path_of(d), "198.51.100.0/24\n"))


def test_set_over_its_size():
    """No list is too large, but all together: what was in force stays, for each of them."""
    with world(names=("ads", "one", "two", "three", "four")) as d:
        before = set_maps(d)
        text = "".join(f"2001:db8:{a:x}:{b:x}::{c:x}\n" for a in range(30) for b in range(40) for c in range(0, 3000, 2))
        for name in ("one", "two", "three", "four"):
            write(f"{d.parent}/{name}", text.replace("2001:db8", f"2001:{len(name)}{ord(name[1]):x}"))
        for name in ("one", "two", "three", "four"):
            os.rename(f"{d.parent}/{name}", path_of(d, name))
        with Peer(d.dir) as peer:
            while not any("more" in (one["error"] or "") for one in d.json("lists")):
                peer.signal("PropertiesChanged")
        check(set_maps(d) or before, "there is no set map")
        equal(verdicts(d, "192.0.2.1"), ["deny"])


def test_answers_while_it_is_read():
    """What is asked while a large list is being built is answered with what is in force."""
    with world() as d, Watch(f"{d.dir}/good.d", IN_CREATE) as watch:
        in_between = 0
        for i in range(6):
            n = 300_000 + i
            text = many(n)
            with Peer(d.dir) as peer:
                before = the_list(d)["ipv4"]
                write(path_of(d), text)
                # It has read the text, keeps a copy of it, and begins to build.
                watch.until(lambda: temps(d) or the_list(d)["ipv4"] == n, "the reading of the list")
                asked = [row for row in peer.call("ListLists") if row[0] == "ads"][0]
                check(before in asked or n in asked, "neither the old nor the new", asked)
                in_between += before in asked
                d.ok("deny", "web", "out", f"tcp/{1000 + i}")
                while the_list(d)["ipv4"] != n:
                    peer.signal("PropertiesChanged")
            equal(verdicts(d, "10.0.0.0", "10.0.0.1", "192.0.2.1"), ["deny", "allow", "allow"])
            equal(d.rule("web", f"deny out tcp/{1000 + i}")["blocked"], 0)
            equal(len(set_maps(d)), 1, "set maps")
        check(in_between > 0, "nothing was ever answered while a list was being built")


def test_killed_while_it_is_read():
    with world() as d:
        before = set_maps(d)
        equal(len(before), 1)
        text = many(300_000)
        for i in range(3):
            with Watch(f"{d.dir}/good.d", IN_CREATE) as watch:
                write(path_of(d), text + f"172.16.0.{i}\n")
                watch.until(lambda: temps(d), "the reading of the list")
                d.kill()
            # What the dead one was at is not there any more; what was in force is.
            write(path_of(d), "garbage\n")
            d.start()
            equal((the_list(d)["state"], the_list(d)["ipv4"]), ("kept", 1))
            equal(verdicts(d, "192.0.2.1", "10.0.0.0"), ["deny", "allow"])
            equal((len(set_maps(d)), temps(d)), (1, []))
        wait_list(d, is_loaded(2), lambda: write(path_of(d), "192.0.2.0/24\n198.51.100.0/24\n"))
        equal(len(set_maps(d)), 1)
        equal(verdicts(d, "198.51.100.1"), ["deny"])


def test_killed_again_and_again():
    """Whatever it was at: afterwards the verdicts are those of one content, and no set map is left over."""
    with world() as d:
        contents = ("192.0.2.0/24\n", "198.51.100.0/24\n")
        for i in range(12):
            write(path_of(d), contents[i % 2])
            if i % 3:
                with Watch(f"{d.dir}/good.d") as watch:
                    watch.until(lambda: temps(d) or is_in_force(d, contents[i % 2]), "the reading of the list")
            d.restart()
            equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["deny", "allow"] if i % 2 == 0 else ["allow", "deny"])
            equal((len(set_maps(d)), temps(d)), (1, []))


def is_in_force(d, text):
    with contextlib.suppress(OSError), open(f"{d.dir}/good.d/list-ads.txt", encoding="utf-8") as f:
        return f.read() == text
    return False


def test_jobs_share_one_map():
    with world() as d:
        one = set_maps(d)
        equal(len(one), 1)
        others = [d.job(f"job{i}", "--default=allow", "--rule=deny out to @ads") for i in range(3)]
        equal(set_maps(d), one)
        wait_list(d, is_loaded(2), lambda: write(path_of(d), "192.0.2.0/24\n203.0.113.0/24\n"))
        for unit in ("web", "job0", "job2"):
            equal(verdicts(d, "203.0.113.1", unit=unit), ["deny"])
        equal(len(set_maps(d)), 1)
        check(set_maps(d) != one, "another content, the same map")
        for job in others:
            job.end()
        for i in range(3):
            d.wait_job_over(f"job{i}")
        for i in range(20):
            wait_list(d, is_loaded(i + 3), lambda: write(path_of(d), many(i + 3)))
            equal(len(set_maps(d)), 1, "set maps after", i)


def test_refused_rule_changes_nothing():
    with world() as d:
        before = (d.show("web")["generation"], set_maps(d), d.ok("cat", "web"))
        for words in (("deny", "web", "out", "to", "@nowhere"), ("never", "web", "to", "@ads,@nowhere")):
            result = d.ctl(*words)
            equal((result.rc, result.out), (4, ""), result)
        equal((d.show("web")["generation"], set_maps(d), d.ok("cat", "web")), before)
        equal(verdicts(d, "192.0.2.1", "198.51.100.1"), ["deny", "allow"])


if __name__ == "__main__":
    main(sys.modules[__name__])
