# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface itself: what busctl makes of it, what introspection says, wrong arguments for every method,
signals."""

import contextlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

from dbus_peer import MANAGER, BusError, Peer, message, split_signature
from harness import HERE, WAIT, Daemon, check, equal, main, shared

UNIT = "org.cgpolicy1.Unit"
PROPERTIES = "org.freedesktop.DBus.Properties"


def unit_path(name):
    return "/org/cgpolicy1/unit/" + name


def busctl(d, *words, **options):
    done = subprocess.run(
        ["busctl", f"--address=unix:path={d.dir}/bus", *words], capture_output=True, text=True, timeout=WAIT, check=False,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def busctl_ok(d, *words):
    rc, out, err = busctl(d, *words)
    equal(rc, 0, words, err)
    return out


def test_busctl():
    with shared() as d:
        d.job("web", "--rule=allow in tcp/8080")
        tree = busctl_ok(d, "tree", "--list", "org.cgpolicy1").split()
        check({"/org/cgpolicy1", "/org/cgpolicy1/unit", unit_path("web")} <= set(tree), tree)
        out = busctl_ok(d, "introspect", "org.cgpolicy1", *MANAGER)
        for name in (".Allow", ".CreateJob", ".OpenEventStream", ".Generation", ".PolicyChanged", ".Blocked"):
            check(name in out, name, out)
        equal(json.loads(busctl_ok(d, "--json=short", "get-property", "org.cgpolicy1", *MANAGER, "Mode")),
              {"type": "s", "data": "private"})
        answer = json.loads(busctl_ok(d, "--json=short", "call", "org.cgpolicy1", *MANAGER, "Allow", "ssa{sv}", "web",
                                      "out tcp/443", "1", "comment", "s", "by hand"))
        equal((answer["type"], answer["data"][0]), ("st", "web.2"))
        equal(d.rule("web", "allow out tcp/443")["comment"], "by hand")
        out = busctl_ok(d, "--json=short", "get-property", "org.cgpolicy1", unit_path("web"), UNIT, "Rules", "DefaultIn")
        rules = json.loads(out.splitlines()[0])["data"]
        equal([r[:3] for r in rules], [["web.1", "runtime", "allow in tcp/8080"], ["web.2", "runtime", "allow out tcp/443"]])
        rc, _, err = busctl(d, "call", "org.cgpolicy1", *MANAGER, "GetUnit", "s", "none")
        check(rc != 0 and "no subject 'none'" in err, err)


def interface_of(d, path, interface):
    out = busctl_ok(d, "introspect", "--xml-interface", "org.cgpolicy1", path)
    found = [e for e in ET.fromstring(out[out.index("<node"):]) if e.get("name") == interface]
    equal(len(found), 1, "interfaces of this name")
    return found[0]


def canonical(element):
    ET.indent(element)
    return ET.canonicalize(ET.tostring(element, encoding="unicode"), strip_text=True)


def checked_in(interface):
    return ET.parse(f"{HERE}/{interface}.xml").getroot().find("interface")


def test_introspection_is_what_is_checked_in():
    with shared() as d:
        d.job("web")
        for path, interface in (MANAGER, (unit_path("web"), UNIT)):
            got = interface_of(d, path, interface)
            if os.environ.get("WRITE_INTROSPECTION"):
                root = ET.Element("node")
                root.append(got)
                ET.indent(root)
                with open(f"{HERE}/{interface}.xml", "w", encoding="utf-8") as f:
                    f.write("<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->\n")
                    f.write(ET.tostring(root, encoding="unicode") + "\n")
            expected = checked_in(interface)
            equal(canonical(got), canonical(expected), interface)


# A value of each type, for arguments that are right in type and wrong in meaning.
SAMPLES = {"s": "no-such-thing", "t": 0xDEAD, "as": ["nonsense"], "a{sv}": {"no-such-option": ("s", "x")}}


def methods(interface):
    for method in checked_in(interface).findall("method"):
        yield method.get("name"), "".join(a.get("type") for a in method.findall("arg") if a.get("direction") == "in")


def expect_error(peer, path, interface, member, signature, values):
    try:
        answer = peer.call(member, signature, *values, path=path, interface=interface)
    except BusError as e:
        check(e.text, "an error without words", member)
        return e.name
    raise AssertionError(f"{interface}.{member}({signature} {values}) answered {answer}")


def test_every_method_refuses_wrong_arguments():
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        before = d.show("web")
        names = set()
        for path, interface in (MANAGER, (unit_path("web"), UNIT)):
            for member, signature in methods(interface):
                for wrong in ("", "i", "ss", signature + "s", "a{sv}", "v"):
                    if wrong == signature or (wrong == "" and not signature):
                        continue
                    values = {"": [], "i": [1], "ss": ["a", "b"], "a{sv}": [{}], "v": [("s", "x")]}.get(
                        wrong, [SAMPLES[t] for t in split_signature(signature)] + ["more"])
                    name = expect_error(peer, path, interface, member, wrong, values)
                    check(name in ("org.freedesktop.DBus.Error.InvalidArgs", "org.freedesktop.DBus.Error.UnknownMethod"), member,
                          name)
                # Right in type, wrong in meaning: unknown names, and options that there are not.
                if signature and member != "Validate":
                    values = [SAMPLES[t] for t in split_signature(signature)]
                    names.add(expect_error(peer, path, interface, member, signature, values))
        check("org.freedesktop.DBus.Error.InvalidArgs" in names, names)
        equal(d.show("web"), before, "nothing was changed")


def test_unknown_options_are_refused():
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        for member, signature, values in (
            ("Allow", "ssa{sv}", ["web", "in tcp/1"]), ("RemoveRule", "ssa{sv}", ["web", "x"]),
            ("SetDefault", "sssa{sv}", ["web", "in", "deny"]), ("SetMode", "ssa{sv}", ["web", "off"]),
            ("SetProfile", "ssa{sv}", ["web", ""]),
            ("Apply", "sa{sv}", ['{"cgpolicy": 1, "match": {"units": ["web"]}}']),
            ("Attach", "sa{sv}", ["web"]), ("Detach", "sa{sv}", ["web"]), ("OpenEventStream", "a{sv}", []),
            ("CreateJob", "sasa{sv}", ["x", []]),
        ):
            equal(expect_error(peer, *MANAGER, member, signature, [*values, {"frobnicate": ("s", "x")}]),
                  "org.freedesktop.DBus.Error.InvalidArgs", member)
        for options in ({"comment": ("u", 7)}, {"comment": ("as", ["x"])}, [("comment", ("s", "a")), ("comment", ("s", "b"))]):
            equal(expect_error(peer, *MANAGER, "Allow", "ssa{sv}", ["web", "in tcp/1", options]),
                  "org.freedesktop.DBus.Error.InvalidArgs")
        equal(d.show("web")["rules"], [])


def test_errors_have_names():
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        d.ok("apply", "-", stdin='{"cgpolicy": 1, "match": {"units": ["web"]}, "rules": ["deny in tcp/7"]}')
        for error, member, signature, values in (
            ("NoSuchUnit", "GetUnit", "s", ["none"]), ("NoSuchUnit", "Allow", "ssa{sv}", ["none", "in tcp/1", {}]),
            ("NoSuchUnit", "Explain", "sa{sv}", ["none", {"direction": ("s", "out"), "protocol": ("s", "tcp"),
                                                          "address": ("s", "192.0.2.1"), "port": ("q", 1)}]),
            ("NoSuchUnit", "GetUnitByControlGroupId", "t", [1]), ("NoSuchUnit", "GetSources", "s", ["none"]),
            ("NoSuchRule", "RemoveRule", "ssa{sv}", ["web", "web.99", {}]),
            ("NoSuchProfile", "SetProfile", "ssa{sv}", ["web", "none-such", {}]),
            ("InvalidRule", "Allow", "ssa{sv}", ["web", "in tcp/x", {}]), ("InvalidRule", "Allow", "ssa{sv}", ["web", "", {}]),
            ("InvalidRule", "CreateJob", "sasa{sv}", ["x", ["allow nonsense"], {}]),
            ("InvalidName", "CreateJob", "sasa{sv}", ["a/b", [], {}]), ("InvalidName", "CreateJob", "sasa{sv}", ["", [], {}]),
            ("InvalidName", "Apply", "sa{sv}", ['{"cgpolicy": 1, "match": {"units": ["web"]}}', {"name": ("s", "../x.json")}]),
            ("InvalidPolicy", "Apply", "sa{sv}", ['{"cgpolicy": 1}', {}]),
            ("Conflict", "CreateJob", "sasa{sv}", ["web", [], {}]), ("Conflict", "RemoveRule", "ssa{sv}", ["web", "deny in tcp/7", {}]),
            ("NoSuchList", "Allow", "ssa{sv}", ["web", "out tcp/443 to @list", {}]),
            ("NoSuchList", "CreateJob", "sasa{sv}", ["x", ["deny out to @list"], {}]),
            ("NoSuchList", "Apply", "sa{sv}", [
                '{"cgpolicy": 1, "match": {"units": ["web"]}, "rules": ["deny out to @list"]}', {}]),
        ):
            equal(expect_error(peer, *MANAGER, member, signature, values), "org.cgpolicy1.Error." + error, member, values)
        equal(expect_error(peer, unit_path("none"), UNIT, "Describe", "", []), "org.freedesktop.DBus.Error.UnknownObject")
        for values in (["sideways", "deny"], ["in", "maybe"]):
            equal(expect_error(peer, *MANAGER, "SetDefault", "sssa{sv}", ["web", *values, {}]),
                  "org.freedesktop.DBus.Error.InvalidArgs")


def test_validate():
    with shared() as d, Peer(d.dir) as peer:
        equal(peer.call("Validate", "s", '{"cgpolicy": 1, "match": {"units": ["a"]}, "rules": ["allow in tcp/1"]}'), [True, []])
        valid, diagnostics = peer.call("Validate", "s", '{"cgpolicy": 1,\n "rules": ["alow in tcp/1"]}')
        check(not valid and diagnostics, diagnostics)
        for diagnostic in diagnostics:
            equal(sorted(diagnostic), ["code", "column", "line", "message", "severity"])
        check(any(diagnostic["line"] == 2 for diagnostic in diagnostics), diagnostics)


def test_properties_are_what_the_command_shows():
    with shared() as d, Peer(d.dir) as peer:
        job = d.job("web", "--rule=deny out tcp/9", "--default=allow")
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        unit = d.show("web")
        got = peer.call("GetAll", "s", UNIT, path=unit_path("web"), interface=PROPERTIES)
        for name, key in (("Name", "name"), ("Mode", "mode"), ("Generation", "generation"), ("ControlGroup", "cgroup"),
                          ("ControlGroupId", "cgroup-id"), ("AttachState", "state"), ("Hooks", "hooks"), ("BlockedPackets", "blocked")):
            equal(got[name], unit[key], name)
        equal((got["DefaultIn"], got["DefaultOut"], got["Profile"]), ("allow", "allow", ""))
        equal([(r[0], r[2], r[6]) for r in got["Rules"]], [("web.1", "deny out tcp/9", 1)])
        equal(got["SourcePaths"], unit["sources"])
        equal(got["LastBlocked"]["remote"], "127.0.0.1:9")
        path = peer.call("GetUnitByControlGroupId", "t", unit["cgroup-id"])
        equal((path, peer.call("GetUnit", "s", "web")), (unit_path("web"),) * 2)
        name, path, mode, state, rules, blocked = peer.call("ListUnits")[0]
        equal((name, path, mode, state, rules, blocked), ("web", unit_path("web"), "enforce", "attached", 1, 1))
        equal(json.loads(peer.call("Describe"))["units"], [d.show("web")])
        with contextlib.suppress(BusError):
            peer.call("Set", "ssv", UNIT, "Mode", ("s", "off"), path=unit_path("web"), interface=PROPERTIES)
            raise AssertionError("a property was written")


def test_names_with_any_character_have_paths():
    with shared() as d, Peer(d.dir) as peer:
        d.job("a-b.c@d:1_2")
        path = peer.call("GetUnit", "s", "a-b.c@d:1_2")
        equal(peer.get("Name", path=path, interface=UNIT), "a-b.c@d:1_2")
        managed = peer.call("GetManagedObjects", interface="org.freedesktop.DBus.ObjectManager")
        equal(managed[path][UNIT]["Name"], "a-b.c@d:1_2")


def test_methods_of_the_unit():
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        where = {"path": unit_path("web"), "interface": UNIT}
        rule, generation = peer.call("Allow", "sa{sv}", "in tcp/1", {}, **where)
        equal((rule, generation), ("web.1", d.show("web")["generation"]))
        peer.call("Deny", "sa{sv}", "in tcp/2", {}, **where)
        peer.call("Never", "sa{sv}", "in tcp/3", {}, **where)
        equal([r["rule"] for r in d.show("web")["rules"]], ["allow in tcp/1", "deny in tcp/2", "never in tcp/3"])
        peer.call("RemoveRule", "sa{sv}", "deny in tcp/2", {}, **where)
        flow = {"direction": ("s", "in"), "protocol": ("s", "tcp"), "address": ("s", "192.0.2.1"), "port": ("q", 1)}
        verdict, answer = peer.call("Explain", "a{sv}", flow, **where)
        equal((verdict, json.loads(answer)["rule"]["id"]), ("allow", "web.1"))
        equal(json.loads(peer.call("Describe", **where)), d.show("web"))


def test_signals():
    with shared() as d, Peer(d.dir) as peer:
        job = d.job("web")
        added = peer.signal("InterfacesAdded")
        equal((added.values[0], added.values[1][UNIT]["Name"]), (unit_path("web"), "web"))
        d.ok("deny", "web", "out", "tcp/9", "--comment=why")
        changed = peer.signal("PolicyChanged")
        equal(changed.values, [d.show("web")["generation"], ["web"], "deny", "why"])
        equal((changed.path, changed.interface), MANAGER)
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        blocked = peer.signal("Blocked").values[0]
        equal(sorted(blocked), sorted(["unit", "direction", "protocol", "local", "remote", "rule", "count", "first", "last",
                                       "pid", "comm", "action", "suggested-rule"]))
        equal((blocked["unit"], blocked["remote"], blocked["rule"], blocked["pid"]), ("web", "127.0.0.1:9", "web.1", job.pid))
        job.end()
        removed = peer.signal("InterfacesRemoved")
        equal(removed.values[0], unit_path("web"))


def test_generation_is_announced():
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        d.ok("default", "web", "allow")
        while True:
            values = peer.signal("PropertiesChanged").values
            if "Generation" in values[1]:
                break
        equal((values[0], values[1]["Generation"]), (MANAGER[1], d.json("status")["generation"]))


def test_handshake_and_calls_in_one():
    with shared() as d:
        uid = str(os.geteuid()).encode().hex().encode()
        begin = b"\0AUTH EXTERNAL " + uid + b"\r\nNEGOTIATE_UNIX_FD\r\n"
        hello = message(1, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
        calls = b"BEGIN\r\n" + hello + b"".join(message(2 + n, *MANAGER, "ListUnits") for n in range(20))
        for parts in ([begin + calls], [begin, calls]):
            with Peer(d.dir, authenticate=False) as peer:
                peer.socket.sendall(parts[0])
                peer.expect_line(b"OK ")
                peer.expect_line(b"AGREE_UNIX_FD")
                if len(parts) > 1:
                    peer.socket.sendall(parts[1])
                equal([peer.read().reply_to for _ in range(21)], list(range(1, 22)))


def test_a_call_that_wants_no_answer():
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        peer.send("Allow", "ssa{sv}", "web", "in tcp/1", {}, flags=1)
        equal(peer.call("ListUnits")[0][4], 1, "it was done, and not answered")


def test_strangers_are_not_let_in():
    with Daemon() as d:
        os.chmod(d.parent, 0o755)
        os.chmod(d.dir, 0o755)
        os.chmod(f"{d.dir}/bus", 0o666)
        script = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
                  "s.sendall(b'\\0AUTH EXTERNAL 30\\r\\nBEGIN\\r\\n')\nprint(s.recv(100))")
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", sys.executable, "-I", "-S", "-c", script,
             f"{d.dir}/bus"], capture_output=True, text=True, timeout=WAIT, check=False,
        )
        # Closed without a word; whoever wrote by then is told so by the kernel.
        check(done.stdout == "b''\n" or "Error" in done.stderr, done)
        equal(d.json("status")["units"], [])


if __name__ == "__main__":
    main(sys.modules[__name__])
