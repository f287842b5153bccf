# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every verb against the real daemon: what it prints, what it answers in JSON, and each exit code with its
next step."""

import json
import os
import shutil
import sys

from harness import COMMAND, Daemon, check, equal, folder, main, run_command, shared


def policy(unit, *rules, **more):
    return json.dumps({"cgpolicy": 1, "match": {"units": [unit]}, **more, "rules": list(rules)})


def refused(result, code, *words):
    """An exit code, and on standard error the words, of which the last ones are the next step."""
    equal(result.rc, code, result)
    equal(result.out, "", "standard output")
    for word in words:
        check(word in result.err, repr(word), "is not in", repr(result.err))


def test_status_of_an_empty_daemon():
    with Daemon() as d:
        result = d.ctl("status")
        equal((result.rc, result.out), (0, ""))
        check("cgpolicyctl run NAME" in result.err, "no next step", result)
        answer = d.json("status")
        equal(answer["units"], [])
        equal((answer["mode"], answer["degraded"], answer["lost-events"]), ("private", [], 0))
        check(all(answer["capabilities"].values()), "capabilities", answer)


def test_status_of_jobs():
    with shared() as d:
        d.job("web", "--rule=allow in tcp/8080", "--default=deny")
        d.job("db", "--default=allow", "--mode=audit")
        lines = d.ok("status").splitlines()
        equal(lines[0].split(), ["SUBJECT", "MODE", "DEFAULT", "RULES", "BLOCKED", "STATE"])
        equal([line.split() for line in lines[1:]],
              [["db", "audit", "allow", "0", "0", "attached"], ["web", "enforce", "deny", "1", "0", "attached"]])
        equal(len(d.ok("status", "--no-legend", "w*").splitlines()), 1, "a glob chooses one")
        equal([u["name"] for u in d.json("status", "web")["units"]], ["web"])
        equal(d.ok("status", "-q"), "")


def test_show():
    with shared() as d:
        d.job("web", "--rule=allow in tcp/8080", "--rule=deny out to 192.0.2.0/24")
        text = d.ok("show", "web")
        for word in ("state       attached", "mode        enforce", "web.1", "allow in tcp/8080", "default.in", "runtime"):
            check(word in text, word, "is not in", text)
        unit = d.show("web")
        equal([r["rule"] for r in unit["rules"]], ["allow in tcp/8080", "deny out to 192.0.2.0/24"])
        equal([r["layer"] for r in unit["rules"]], ["runtime"] * 2)
        equal(unit["default"], {"in": "deny", "out": "deny"})
        equal(unit["cgroup"], "/" + os.path.basename(d.cgroup) + "/web")
        equal(unit["cgroup-id"], os.stat(d.job_cgroup("web")).st_ino)
        equal(len(unit["hooks"]), 12, unit["hooks"])
        equal(unit["errno"], "EPERM")
        for rule in unit["rules"]:
            path, line = rule["source"].rsplit(":", 1)
            with open(path, encoding="utf-8") as f:
                check(rule["rule"].split(" ", 1)[1] in f.read().splitlines()[int(line) - 1], "source", rule)
        equal(d.ok("show", "web", "--property=default.in,mode", "--value"), "deny\nenforce\n")
        equal(d.ok("show", "web", "-p", "AttachState"), "AttachState=attached\n")
        refused(d.ctl("show", "web", "-p", "colour"), 2, "no property 'colour'", "--json=pretty")


def test_cat():
    with shared() as d:
        d.job("web", "--rule=allow in tcp/8080")
        path = f"{d.dir}/runtime.d/web.json"
        with open(path, encoding="utf-8") as f:
            text = f.read()
        equal(d.ok("cat", "web"), f"# {path}\n{text}")
        equal(d.json("cat", "web"), [{"path": path, "layer": "runtime", "text": text}])


def test_allow_deny_never():
    with shared() as d:
        d.job("web", "--default=deny")
        out = d.ok("allow", "web", "in", "tcp/8080")
        check(out.startswith("web: allow in tcp/8080") and "rule web.1" in out, out)
        out = d.ok("allow", "web", "tcp/443")
        check("allow in tcp/443" in out and "allow out tcp/443" in out, "both directions are echoed", out)
        answer = d.json("deny", "web", "out", "udp/53", "to", "192.0.2.1", "--comment=not there")
        equal((answer["unit"], answer["rules"], answer["id"]), ("web", ["deny out udp/53 to 192.0.2.1"], "web.3"))
        again = d.json("deny", "web", "out udp/53 to 192.0.2.1")
        equal((again["id"], again["generation"]), (answer["id"], answer["generation"]), "a rule that is there")
        equal(d.json("never", "web", "out", "to", "198.51.100.0/24")["id"], "web.4")
        rules = {r["id"]: r for r in d.show("web")["rules"]}
        equal({i: r["rule"] for i, r in rules.items()},
              {"web.1": "allow in tcp/8080", "web.2": "allow tcp/443", "web.3": "deny out udp/53 to 192.0.2.1",
               "web.4": "never out to 198.51.100.0/24"})
        equal(rules["web.3"]["comment"], "not there")


def test_the_last_word_on_a_rule_counts():
    with shared() as d:
        d.job("web")
        d.ok("deny", "web", "out", "tcp/443")
        d.ok("allow", "web", "out", "tcp/443")
        equal([r["rule"] for r in d.show("web")["rules"]], ["allow out tcp/443"])
        equal(d.explain("web", "out", "tcp", "192.0.2.1:443")[0], 0)


def test_default_mode_profile_remove():
    with shared() as d:
        d.job("web")
        equal(d.json("default", "web", "out", "allow")["default"], "allow")
        equal(d.show("web")["default"], {"in": "deny", "out": "allow"})
        check("default in allow" in d.ok("default", "web", "allow"), "echo")
        equal(d.show("web")["default"], {"in": "allow", "out": "allow"})
        for mode in ("audit", "off", "enforce"):
            d.ok("mode", "web", mode)
            equal(d.show("web")["mode"], mode)
        names = [p["profile"] for p in d.json("profile")]
        check("default" in names, names)
        check("default" in d.ok("profile"), "table of profiles")
        d.ok("profile", "web", "default")
        equal(d.show("web")["profile"], "default")
        check(len(d.show("web")["rules"]) > 0, "the profile brings rules")
        d.ok("profile", "web", "none")
        equal((d.show("web")["profile"], d.show("web")["rules"]), (None, []))
        rule = d.json("allow", "web", "in", "tcp/1")["id"]
        d.ok("allow", "web", "in", "tcp/2")
        d.ok("remove", "web", rule)
        equal([r["rule"] for r in d.show("web")["rules"]], ["allow in tcp/2"])
        d.ok("remove", "web", "allow", "in", "tcp/2-2")
        equal(d.show("web")["rules"], [])


def test_generation_grows_with_each_change():
    with shared() as d:
        d.job("web")
        last = d.show("web")["generation"]
        for words in (("allow", "web", "in", "tcp/1"), ("default", "web", "in", "allow"), ("mode", "web", "audit"),
                      ("detach", "web"), ("attach", "web"), ("remove", "web", "allow", "in", "tcp/1")):
            now = d.json(*words)["generation"]
            check(now > last, words, now, "after", last)
            equal(d.json("status")["generation"], now)
            last = now


def test_apply_and_check():
    with shared() as d, folder() as f:
        d.job("web")
        path = f"{f}/p.json"
        with open(path, "w", encoding="utf-8") as file:
            file.write(policy("web", {"allow": "in tcp/8080"}))
        equal(d.ok("check", path), f"{path}: valid, 1 rule\n")
        check(d.json("check", path)["valid"], "JSON of check")
        dry = d.json("apply", "--dry-run", path)
        equal((dry["dry-run"], dry["units"]["web"]["added"]), (True, ["allow in tcp/8080"]))
        equal(d.show("web")["rules"], [], "a dry run changes nothing")
        text = d.ok("apply", path)
        check("+ allow in tcp/8080" in text and "applied" in text, text)
        equal([(r["rule"], r["layer"]) for r in d.show("web")["rules"]], [("allow in tcp/8080", "local")])
        d.ok("apply", "-", "--name=p.json", stdin=policy("web", {"deny": "in tcp/8081"}))
        equal([r["rule"] for r in d.show("web")["rules"]], ["deny in tcp/8081"], "the same name replaces")
        d.ok("apply", "--name=70-more.json", path)
        equal(sorted(r["rule"] for r in d.show("web")["rules"]), ["allow in tcp/8080", "deny in tcp/8081"])


def test_apply_for_what_does_not_run():
    with shared() as d:
        d.ok("apply", "-", stdin=policy("later", {"allow": "out tcp/443"}, default="deny"))
        equal(d.show("later")["state"], "inactive")
        rc, answer = d.explain("later", "out", "tcp", "192.0.2.1:443")
        equal((rc, answer["kernel"]["checked"]), (0, False))
        job = d.job("later", "--default=deny")
        equal(d.show("later")["state"], "attached")
        equal([r["rule"] for r in d.show("later")["rules"]], ["allow out tcp/443"])
        job.end()
        d.wait_job_over("later")
        equal(d.show("later")["state"], "inactive")


def test_invalid_files_have_a_place():
    with shared() as d, folder() as f:
        d.job("web")
        path = f"{f}/bad.json"
        with open(path, "w", encoding="utf-8") as file:
            file.write('{\n  "cgpolicy": 1,\n  "match": {"units": ["web"]},\n  "rules": [{"alow": "in tcp/8080"}]\n}\n')
        refused(d.ctl("check", path), 5, f"{path}:4:", "did you mean", "allow")
        refused(d.ctl("apply", path), 5, f"{path}:4:", "nothing was changed")
        answer = d.ctl("--json=short", "check", path)
        equal(answer.rc, 5)
        diagnostic = json.loads(answer.out)["files"][0]["diagnostics"][0]
        equal((diagnostic["line"], diagnostic["severity"]), (4, "error"))
        check(diagnostic["column"] > 1, diagnostic)
        equal(d.show("web")["rules"], [])
        equal(d.json("status")["degraded"], [])


def test_reload_keeps_the_last_good_version():
    with shared() as d:
        d.job("web", "--default=allow")
        path = f"{d.dir}/policy.d/10-web.json"
        with open(path, "w", encoding="utf-8") as file:
            file.write(policy("web", {"deny": "out tcp/25"}))
        d.ok("reload")
        equal(d.explain("web", "out", "tcp", "192.0.2.1:25")[0], 3)
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"cgpolicy": 1,\n oops}')
        result = d.ctl("reload")
        equal(result.rc, 0, result)
        check(f"{path}:2:" in result.err, "the broken place is named", result.err)
        equal(d.explain("web", "out", "tcp", "192.0.2.1:25")[0], 3, "the last good version holds")
        check(any(path in line for line in d.json("status")["degraded"]), "degraded")
        check("Degraded" in d.ok("status"), "status tells")
        os.unlink(path)
        d.ok("reload")
        equal(d.json("status")["degraded"], [])
        equal(d.explain("web", "out", "tcp", "192.0.2.1:25")[0], 0)


def test_the_files_of_persons_are_not_rewritten():
    with shared() as d:
        d.job("web", "--default=allow")
        path = f"{d.dir}/policy.d/10-web.json"
        text = policy("web", {"deny": "out tcp/25"})
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        d.ok("reload")
        refused(d.ctl("remove", "web", "deny", "out", "tcp/25"), 8, f"{path}:1", "cgpolicyctl reload")
        with open(path, encoding="utf-8") as file:
            equal(file.read(), text)


def test_detach_and_attach():
    with shared() as d:
        job = d.job("web")
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        check("unrestricted" in d.ok("detach", "web"), "echo")
        equal(d.show("web")["state"], "detached")
        equal(d.show("web")["hooks"], [])
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)
        rc, answer = d.explain("web", "out", "tcp", "127.0.0.1:9")
        equal((rc, answer["reason"]), (0, "not-attached"))
        d.ok("attach", "web")
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        d.ok("detach", "--all")
        job.fails("ECONNREFUSED", "connect", name="c", address="127.0.0.1", port=9)
        refused(d.ctl("detach"), 2, "--all")


def test_exit_2_wrong_usage():
    with shared() as d:
        for words, word in (
            (("frobnicate",), "frobnicate"), (("stauts",), "did you mean 'status'"), (("show",), "show"),
            (("status", "--jsn=short"), "did you mean '--json'"), (("default", "web", "sideways", "deny"), "in or out"),
            (("mode", "web", "strict"), "enforce, audit or off"), (("run", "web", "true"), "--"),
            (("explain", "web", "out", "tcp", "example.org:80"), "host name"), (("log", "-n", "many"), "number"),
            (("--json=yaml", "status"), "pretty"), (("remove", "web", "in", "tcp/1"), "verdict"),
        ):
            refused(d.ctl(*words), 2, word)
        for name in ("a/b", "..", "-x", "", "ä" * 300):
            result = d.ctl("run", "--", "true") if not name else d.ctl("run", "--", name)
            equal(result.rc, 2, name, result)
        refused(d.ctl("run", "a/b", "--", "true"), 2, "letters")
        refused(d.ctl("run", "x" * 300, "--", "true"), 2, "letters")


def test_exit_3_denied():
    with shared() as d:
        d.job("web", "--rule=never out to 192.0.2.0/24", "--rule=allow out tcp/443")
        result = d.ctl("explain", "web", "out", "tcp", "192.0.2.7:443")
        equal(result.rc, 3)
        for word in ("DENY", "never beats every allow", "web.1", "agrees", "runtime.d/web.json:"):
            check(word in result.out, word, result.out)
        result = d.ctl("explain", "web", "out", "tcp", "198.51.100.7:80")
        check("To allow it: cgpolicyctl allow web out tcp/80 to 198.51.100.7" in result.out, result.out)
        equal(d.ctl("explain", "web", "out", "tcp", "198.51.100.7:443").rc, 0)
        equal(d.ctl("-q", "explain", "web", "out", "tcp", "192.0.2.7:443"), (3, "", ""))


def test_exit_4_no_such_thing():
    with shared() as d:
        d.job("nginx")
        for words in (("show", "ngnix"), ("cat", "ngnix"), ("allow", "ngnix", "in", "tcp/1"), ("mode", "ngnix", "off"),
                      ("detach", "ngnix"), ("attach", "ngnix"), ("default", "ngnix", "deny"), ("status", "ngnix"),
                      ("explain", "ngnix", "out", "tcp", "192.0.2.1:1"), ("remove", "ngnix", "ngnix.1"),
                      ("profile", "ngnix", "none")):
            refused(d.ctl(*words), 4, "no subject 'ngnix' (did you mean 'nginx'?)", "cgpolicyctl status")
        refused(d.ctl("show", "zebra"), 4, "no subject 'zebra'", "cgpolicyctl status")
        refused(d.ctl("remove", "nginx", "nginx.77"), 4, "nginx.77", "cgpolicyctl show nginx")
        refused(d.ctl("profile", "nginx", "nosuch"), 4, "nosuch", "cgpolicyctl profile")
        refused(d.ctl("run", "x", "--profile=nosuch", "--", "true"), 4, "nosuch", "cgpolicyctl profile")


def test_exit_5_invalid_rules():
    with shared() as d:
        d.job("web")
        for words, column in ((("in", "tpc/80"), "4"), (("out", "tcp/80", "to", "300.1.1.1"), "15"), (("in", "tcp/99999"), "8")):
            refused(d.ctl("allow", "web", *words), 5, f"column {column}", "Rules look like")
        refused(d.ctl("run", "x", "--rule=allow in tcp/8o", "--", "true"), 5, "Rules look like")
        refused(d.ctl("allow", "web", "out", "tcp/443", "to", "example.org"), 5, "example.org")
        equal(d.show("web")["rules"], [])


def test_exit_6_no_daemon():
    with folder() as f:
        refused(run_command("--private", f, "status"), 6, "no daemon answers", f"cgpolicyd --private '{f}'")
        refused(run_command("--private", f"{f}/none", "status"), 6, "cgpolicyd --private")
    with Daemon() as d:
        d.kill()
        check(os.path.exists(f"{d.dir}/bus"), "the stale socket")
        refused(d.ctl("status"), 6, "no daemon answers", "cgpolicyd --private")
        refused(d.ctl("run", "web", "--", "true"), 6, "cgpolicyd --private")


def test_exit_7_not_authorised():
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    with Daemon() as d, folder() as f:
        os.chmod(f, 0o755)
        shutil.copy(COMMAND, f"{f}/ctl")
        os.chmod(f"{f}/ctl", 0o755)
        words = ("--private", d.dir, "status")
        refused(run_command(*words, prefix=nobody, command=f"{f}/ctl"), 7, "no access", "run it as root")
        os.chmod(d.parent, 0o755)
        os.chmod(d.dir, 0o755)
        refused(run_command(*words, prefix=nobody, command=f"{f}/ctl"), 7, "no access", "run it as root")
        # Even with a socket that lets everybody in, the daemon looks who comes.
        os.chmod(f"{d.dir}/bus", 0o666)
        result = run_command(*words, prefix=nobody, command=f"{f}/ctl")
        check(result.rc in (6, 7) and not result.out and "cgpolicyctl:" in result.err, result)
        equal(d.json("status")["units"], [])


def test_exit_8_conflicts():
    with shared() as d:
        d.job("web")
        refused(d.ctl("run", "web", "--", "true"), 8, "a job named 'web' is running", "choose another name")
        os.mkdir(f"{d.cgroup}/taken")
        try:
            refused(d.ctl("run", "taken", "--", "true"), 8, "rmdir")
        finally:
            os.rmdir(f"{d.cgroup}/taken")
        equal(d.ctl("run", "taken", "--", "true").rc, 0)
        d.ok("apply", "-", stdin=policy("idle", {"allow": "in tcp/1"}))
        refused(d.ctl("attach", "idle"), 8, "cgpolicyctl run idle")


def test_exit_6_no_system_daemon():
    refused(run_command("status"), 6, "--private")


def test_exit_1_limits():
    with shared() as d:
        d.job("web")
        rules = [{"allow": f"in tcp/{n + 1}"} for n in range(16000)]
        result = d.ctl("apply", "-", stdin=policy("web", *rules))
        equal(result.rc, 0, result.err)
        equal(len(d.show("web")["rules"]), 16000)
        refused(d.ctl("allow", "web", "in", "tcp/30000"), 1, "cgpolicyctl:", "nothing was changed")
        equal(len(d.show("web")["rules"]), 16000)
        equal(d.explain("web", "in", "tcp", "192.0.2.1:30000")[0], 3, "the old policy is in force")


def test_options_stand_anywhere():
    with shared() as d:
        d.job("web")
        expected = json.loads(d.ok("status", "--json=short"))
        for words in (("--json=short", "status"), ("status", "--json", "short"), ("-j", "status")):
            equal(json.loads(d.ok(*words))["units"], expected["units"])
        check("\n  " in d.ok("status", "--json=pretty"), "pretty")
        check("\033" in d.ok("status", "--color=always"), "colour")
        check("\033" not in d.ok("status"), "no colour on a pipe")


if __name__ == "__main__":
    main(sys.modules[__name__])
