#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every verb of cgpolicyctl: what it prints, and how it exits. usage: test-ctl-command.py COMMAND FAKE-DAEMON"""

import json
import os
import signal
import socket
import subprocess
import tempfile

from ctl_harness import COMMAND, Fake, check, expect, main

GOOD = '{"cgpolicy": 1, "match": {"units": ["web"]}, "rules": ["allow in tcp/80"]}\n'
BAD = '{"cgpolicy": 1,\n "match": {"units": ["web"]},\n "rules": ["allwo in tcp/80"]}\n'


def test_usage():
    with Fake() as fake:
        expect(fake.ctl(), 2, "", "no verb")
        expect(fake.ctl("statsu"), 2, "", "did you mean 'status'?")
        expect(fake.ctl("status", "--rule=x"), 2, "", "'status' takes no option --rule")
        expect(fake.ctl("show"), 2, "", "too few words")
        expect(fake.ctl("show", "a", "b"), 2, "", "too many words")
        expect(fake.ctl("mode", "web", "strict"), 2, "", "enforce, audit or off")
        expect(fake.ctl("default", "web", "up", "deny"), 2, "", "write in or out")
        expect(fake.ctl("detach"), 2, "", "--all")
        expect(fake.ctl("detach", "web", "--all"), 2, "", "--all")
        expect(fake.ctl("run", "web", "true"), 2, "", "no '--' before the command: cgpolicyctl run web [OPTIONS] -- true")
        expect(fake.ctl("run", "web", "--"), 2, "", "no command")
        expect(fake.ctl("explain", "web", "out", "tcp", "192.0.2.1"), 2, "", "lacks the remote port")


def test_help():
    with Fake() as fake:
        verbs = [line.split()[0] for line in fake.ctl("help").stdout.splitlines() if line.startswith("  ") and line[2] != " " and line[2] != "-"]
        check("explain" in verbs and "run" in verbs, verbs)
        for verb in verbs:
            if verb == "help":
                continue
            check(fake.ctl("help", verb).stdout == fake.ctl(verb, "--help").stdout, verb)
            expect(fake.ctl(verb, "--help"), 0, None, "")
        expect(fake.ctl("--version"), 0)


def test_status():
    with Fake() as fake:
        table = "SUBJECT  MODE     DEFAULT            RULES  BLOCKED  STATE\nweb      enforce  in=deny,out=allow      1        3  attached\n"
        expect(fake.ctl("status"), 0, table + "Degraded: All is made up.\n", "")
        expect(fake.ctl("status", "w*", "--no-legend"), 0, "web  enforce  in=deny,out=allow  1  3  attached\nDegraded: All is made up.\n")
        expect(fake.ctl("status", "wbe"), 4, "", "did you mean 'web'?")
        expect(fake.ctl("status", "x*", "-q"), 0, "", "")
        expect(fake.ctl("status", "x*"), 0, None, "No subject matches")
        check(json.loads(fake.ctl("--json=short", "status").stdout)["units"][0]["name"] == "web")
        check(json.loads(fake.ctl("status", "x*", "-j").stdout)["units"] == [])
        check("\033[" in fake.ctl("status", "--color=always").stdout)


def test_show_and_cat():
    with Fake() as fake:
        check("/d/web.json:4" in fake.ctl("show", "web").stdout)
        expect(fake.ctl("show", "wbe"), 4, "", "did you mean 'web'?")
        expect(fake.ctl("show", "web", "-p", "mode,default.out", "-p", "AllowedPackets"), 0, "mode=enforce\ndefault.out=allow\nAllowedPackets=12\n")
        expect(fake.ctl("show", "web", "--value", "-p", "profile"), 0, "\n")
        expect(fake.ctl("show", "web", "-p", "nonsense"), 2, "", "no property")
        expect(fake.ctl("cat", "web"), 0, "# /d/a.json\n{}\n\n# /d/b.json\n{ }\n")
        check([s["layer"] for s in json.loads(fake.ctl("cat", "web", "-j").stdout)] == ["runtime", "local"])


def test_rules():
    with Fake() as fake:
        line = "web: allow in tcp/8080 from any   rule web.17  generation 8\n"
        expect(fake.ctl("allow", "web", "in", "tcp/8080"), 0, line, "")
        expect(fake.ctl("allow", "web", "in tcp/8080", "--comment=why"), 0, line)
        expect(fake.ctl("deny", "web", "tcp/443"), 0,
               "web: deny in tcp/443 from any   rule web.17  generation 8\nweb: deny out tcp/443 to any    rule web.17  generation 8\n")
        answer = json.loads(fake.ctl("never", "web", "to", "10.0.0.0/8", "--json=pretty").stdout)
        check(answer == {"unit": "web", "rules": ["never out any to 10.0.0.0/8"], "id": "web.17", "generation": 8}, answer)
        expect(fake.ctl("allow", "web", "in", "tcpp/80"), 5, "", "did you mean")
        for words, echo in (("out https to @ads", "out tcp/443+udp/443 to @ads"), ("from lan", "in any from lan"),
                            ("in udp/5353 from multicast via eth0", "in udp/5353 from multicast via eth0"),
                            ("out to internet,broadcast", "out any to broadcast,internet"), ("out via wg0", "out any to any via wg0")):
            got = fake.ctl("deny", "web", *words.split()).stdout
            check(got == f"web: deny {echo}   rule web.17  generation 8\n", got)
        expect(fake.ctl("deny", "web", "bind"), 0, "web: deny bind any to any   rule web.17  generation 8\n", "Note: ports")
        expect(fake.ctl("allow", "web", "bind", "tcp/8080", "to", "localhost"), 0,
               "web: allow bind tcp/8080 to localhost   rule web.17  generation 8\n", "Note: a bind that no rule")
        expect(fake.ctl("deny", "web", "bind", "--no-legend"), 0, None, "")
        expect(fake.ctl("deny", "web", "out", "to", "example.org"), 5, "", "@")
        expect(fake.ctl("allow", "wbe", "in", "tcp/80"), 4, "", "did you mean 'web'?")
        expect(fake.ctl("allow", "-q", "web", "in", "tcp/80"), 0, "", "")


def test_other_changes():
    with Fake() as fake:
        expect(fake.ctl("default", "web", "deny"), 0, "web: default in deny   generation 8\nweb: default out deny   generation 8\n")
        expect(fake.ctl("mode", "web", "audit"), 0, "web: mode audit   generation 8\n")
        expect(fake.ctl("remove", "web", "web.17"), 0, "web: removed web.17   generation 8\n")
        expect(fake.ctl("remove", "web", "web.99"), 4, "", "'web' has no rule 'web.99'; do this\n")
        expect(fake.ctl("remove", "web", "in", "tcp/80"), 2, "", "write the verdict too")
        expect(fake.ctl("remove", "web", "allow in tcp/80"), 0, "web: removed allow in tcp/80   generation 8\n")
        expect(fake.ctl("profile"), 0, "PROFILE  SOURCE\ndefault  built in\n")
        expect(fake.ctl("profile", "web", "none"), 0, "web: profile none   generation 8\n")
        expect(fake.ctl("reload"), 0, "reloaded   generation 8\n", "warning: All is made up.")
        expect(fake.ctl("attach", "web"), 0, "web: attached   generation 8\n")
        expect(fake.ctl("detach", "--all"), 0, "detached all   generation 8\n")
        expect(fake.ctl("detach", "wbe"), 4, "", "no subject")


def test_check_without_daemon():
    with tempfile.TemporaryDirectory() as folder:
        good, bad, none = (os.path.join(folder, name) for name in ("good.json", "bad.json", "none.json"))
        for path, text in ((good, GOOD), (bad, BAD)):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        run = lambda *words, **options: subprocess.run([COMMAND, "check", *words], text=True, capture_output=True, check=False, **options)
        expect(run(good), 0, f"{good}: valid, 1 rule\n", "")
        expect(run("-", input=GOOD), 0, "<stdin>: valid, 1 rule\n")
        expect(run(good, bad, "-q"), 5, "", f"{bad}:3:13: unknown verdict")
        expect(run(none, bad), 1, "", "cannot open")
        answer = json.loads(run(bad, "--json=short").stdout)
        check(not answer["valid"] and answer["files"][0]["diagnostics"][0]["line"] == 3, answer)


def test_check_reads_lists():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/policy.d")
        policy = {"cgpolicy": 1, "match": {"units": ["web"]}, "rules": ["deny out to @ads"]}

        def check_lists(lists, where="p.json", **files):
            for name, text in files.items():
                with open(f"{folder}/{name}.txt", "w", encoding="utf-8") as f:
                    f.write(text)
            with open(f"{folder}/{where}", "w", encoding="utf-8") as f:
                json.dump({**policy, "lists": lists}, f)
            return subprocess.run([COMMAND, "check", f"{folder}/{where}"], text=True, capture_output=True, check=False)

        ads = {"ads": {"file": "ads.txt"}}
        run = check_lists(ads)
        expect(run, 0, f"{folder}/p.json: valid, 1 rule\n", "was not checked: 'ads.txt' is relative to the daemon's directory")
        expect(check_lists(ads, ads="10.0.0.0/8\n# x\n::1\n"), 0, None, "")
        expect(check_lists(ads, ads="10.0.0.0/8\n# x\n10.0.0.300\n"), 5, "", f"{folder}/ads.txt:3: ")
        # Above policy.d, as the daemon looks.
        expect(check_lists(ads, "policy.d/p.json"), 5, "", "ads.txt:3: ")
        expect(check_lists(ads, "policy.d/p.json", ads="10.0.0.1/8\n"), 5, "", "ads.txt:1: ")
        expect(check_lists({"ads": {"file": f"{folder}/ads.txt"}}), 5, "", f"{folder}/ads.txt:1: ")
        expect(check_lists({"ads": {"file": f"{folder}/none.txt"}}), 0, None, "cannot be read: No such file")
        expect(check_lists({"ads": {"networks": ["10.0.0.0/8", "fd00::-fd00::7"]}}), 0, None, "")
        expect(check_lists({"ads": {"networks": ["10.0.0.0/33"]}}), 5, "", f"{folder}/p.json:1:")
        run = subprocess.run([COMMAND, "check", "-", "-j"], input=json.dumps({**policy, "lists": ads}), text=True,
                             capture_output=True, check=False)
        diagnostic = json.loads(run.stdout)["files"][0]["diagnostics"][0]
        check((run.returncode, diagnostic["code"], diagnostic["severity"]) == (0, "list-not-checked", "warning"), run)


def test_apply():
    with Fake() as fake, tempfile.NamedTemporaryFile("w", suffix=".json") as good, tempfile.NamedTemporaryFile("w") as bad:
        for f, text in ((good, GOOD), (bad, BAD)):
            f.write(text)
            f.flush()
        diff = "web: mixed\n  + allow in tcp/1\n  - deny out any\n"
        expect(fake.ctl("apply", good.name), 0, diff + "applied   generation 8\n")
        expect(fake.ctl("apply", "--dry-run", good.name), 0, diff + "dry run: nothing was changed   generation 8\n")
        expect(fake.ctl("apply", bad.name), 5, "", f"{bad.name}:3:13: ")
        with open(good.name, encoding="utf-8") as standard_input:
            check(json.loads(fake.ctl("apply", "-", "-j", stdin=standard_input).stdout)["generation"] == 8)


def test_explain():
    with Fake() as fake:
        run = fake.ctl("explain", "web", "out", "tcp", "192.0.2.1:443")
        expect(run, 3, None, "")
        check(run.stdout.startswith("DENY   web -> 192.0.2.1:443/tcp\n"), run.stdout)
        check("/d/a.json:7" in run.stdout and "To allow it: cgpolicyctl allow web out tcp/443 to 192.0.2.1\n" in run.stdout)
        expect(fake.ctl("explain", "web", "out", "tcp", "192.0.2.2:443", "-q"), 0, "", "")
        expect(fake.ctl("explain", "web", "in", "tcp", "[2001:db8::1]:443", "-q"), 3, "", "")
        check("matched      the list @ads: 192.0.2.0/25\n" in run.stdout and "via eth0: allow\n" in run.stdout, run.stdout)
        run = fake.ctl("explain", "web", "in", "udp", "192.0.2.1", "port", "67", "to", "255.255.255.255", "via", "eth0")
        check(run.stdout.startswith("DENY   web <- 192.0.2.1/udp to local port 67 of 255.255.255.255 via eth0\n"), run.stdout)
        run = fake.ctl("explain", "web", "bind", "tcp/80", "to", "::")
        check(run.stdout.startswith("DENY   web bind [::]:80/tcp\n"), run.stdout)
        expect(fake.ctl("explain", "web", "bind", "tcp/80", "via", "eth0"), 2, "", "bind PROTO/PORT [to ADDR]")
        expect(fake.ctl("explain", "wbe", "out", "icmp", "192.0.2.2", "-q"), 4, "", "did you mean 'web'?")
        expect(fake.ctl("explain", "odd", "out", "tcp", "192.0.2.2:443", "-q"), 1, "", "THE KERNEL DISAGREES")
        check(json.loads(fake.ctl("explain", "web", "out", "tcp", "192.0.2.1:1", "-j").stdout)["verdict"] == "deny")


def test_lists():
    with Fake() as fake:
        head = "LIST  IPV4  IPV6  SOURCE         STATE         LOADED                   USED BY  DEFINED\n"
        ads = "ads      2     1  lists/ads.txt  loaded        2026-11-22 00:01:02.000  db,web   /d/a.json:3\n"
        bots = "bots     0     0  /l/bots.txt    never-loaded  -                        -        /d/a.json:4\n"
        old = "old      1     0  inline         kept          2026-11-22 00:01:02.000  web      /d/b.json:2\n"
        ends = ("bots: /l/bots.txt: cannot be read; no rule can use it\n"
                "old: /d/b.json:2: not ? good; its last good content stays in force\n")
        expect(fake.ctl("lists"), 0, head + ads + bots + old + ends, "")
        out = fake.ctl("lists", "@ads").stdout
        check(out.count("\n") == 2 and "loaded" in out and "kept" not in out, out)
        check([l["name"] for l in json.loads(fake.ctl("lists", "*o*", "--json=short").stdout)] == ["bots", "old"])
        first = json.loads(fake.ctl("lists", "ads", "--json=short").stdout)[0]
        check(first == {"name": "ads", "ipv4": 2, "ipv6": 1, "source": "lists/ads.txt", "defined": "/d/a.json:3", "state": "loaded",
                        "error": None, "loaded": "2026-11-22T00:01:02.000001Z", "used-by": ["db", "web"]}, first)
        expect(fake.ctl("lists", "asd"), 4, "", "no list 'asd' (did you mean 'ads'?); 'cgpolicyctl lists' shows them")
        expect(fake.ctl("lists", "-q"), 0, "", "")


def test_log():
    with Fake() as fake:
        line = ("2026-11-22 00:01:02.123 web          DENIED out tcp 10.0.0.2:40112 -> 192.0.2.1:443  "
                "nginx[812] uid 33  connect4  default.out  (+3 suppressed)  allow: out tcp/443 to 192.0.2.1\n")
        expect(fake.ctl("log"), 0, line, "")
        check(json.loads(fake.ctl("log", "web", "--json=short", "-n", "all").stdout)["pid"] == 812)
        expect(fake.ctl("log", "-f"), 6, line, "ended the stream")


def test_reader_goes_away():
    with Fake() as fake:
        reading, writing = os.pipe()
        os.close(reading)
        for verb in (["status"], ["log"], ["help"]):
            run = subprocess.run([COMMAND, *verb], env=fake.environment(), stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
            check(run.returncode == 0 and not run.stderr, verb, run)
        os.close(writing)
        with open("/dev/full", "w", encoding="utf-8") as full:
            run = subprocess.run([COMMAND, "help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
            check(run.returncode == 1 and "could not be written" in run.stderr, run)


def test_no_daemon():
    with Fake() as fake:
        fake.process.send_signal(signal.SIGKILL)
        fake.process.wait()
        expect(fake.ctl("status"), 6, "", "no daemon answers")
        expect(fake.ctl("status", "--private", fake.dir + "/none"), 6, "", "no daemon answers")
        expect(fake.ctl("run", "x", "--", "true"), 6, "", "no daemon answers")


def test_daemon_dies_in_the_handshake():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(folder + "/bus")
        listener.listen()
        with subprocess.Popen([COMMAND, "--private", folder, "status"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            listener.accept()[0].close()
            out, err = run.communicate()
            check(run.returncode == 6 and not out and "no daemon answers" in err, run.returncode, out, err)


def test_long_and_relative_directories():
    with Fake() as fake:
        deep = os.path.join(fake.dir, "x" * 120)
        os.mkdir(deep)
        os.link(os.path.join(fake.dir, "bus"), os.path.join(deep, "bus"))
        expect(fake.ctl("status", "-q", "--private", deep), 0, "", "")
        expect(fake.ctl("status", "-q", "--private", "x" * 120, cwd=fake.dir), 0, "", "")


main([case for name, case in list(globals().items()) if name.startswith("test_")])
