# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that mean harm or know no better. Whatever they do, others are served, and what a client can make
the daemon keep is bounded."""

import contextlib
import json
import os
import random
import socket
import sys

from dbus_peer import MANAGER, BusError, Peer, message
from harness import Daemon, Lines, check, equal, main, shared

MIB = 1 << 20


def resident(d):
    """Bytes of memory of the daemon."""
    with open(f"/proc/{d.process.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(d):
    """Open sockets: programs and maps come and go by themselves, as instances are loaded ahead."""
    folder, found = f"/proc/{d.process.pid}/fd", 0
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"{folder}/{name}").startswith("socket:")
    return found


def is_served(d):
    check(d.is_alive(), "the daemon died")
    equal(d.ctl("status").rc, 0)


def wait_closed(peer):
    """Until the daemon closes the connection, whatever it says before."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while peer.socket.recv(65536):
            pass


def test_garbage_instead_of_a_handshake():
    with shared() as d:
        rng = random.Random(1)
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\0AUTH ANONYMOUS\r\n", b"\0BEGIN\r\n", b"\xff" * 4096, b"\0" * 4096,
                     b"\0AUTH EXTERNAL zz\r\n", b"\0AUTH EXTERNAL " + b"30" * 40000 + b"\r\n",
                     *(rng.randbytes(rng.randrange(1, 2000)) for _ in range(50))):
            with Peer(d.dir, authenticate=False) as peer, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                peer.socket.sendall(data)
                peer.socket.shutdown(socket.SHUT_WR)
                wait_closed(peer)
        is_served(d)


def test_another_identity():
    with shared() as d, Peer(d.dir, authenticate=False) as peer:
        peer.socket.sendall(b"\0AUTH EXTERNAL " + b"1000".hex().encode() + b"\r\n")
        with contextlib.suppress(ConnectionResetError, AssertionError):
            peer.expect_line(b"OK ")
            raise SystemError("it let us be somebody else")
        is_served(d)


def test_garbage_instead_of_messages():
    with shared() as d:
        rng = random.Random(2)
        good = message(7, *MANAGER, "Allow", "ssa{sv}", ["web", "in tcp/1", {}])
        for n in range(200):
            with Peer(d.dir) as peer, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                data = bytearray(good)
                for _ in range(rng.randrange(1, 6)):
                    data[rng.randrange(len(data))] = rng.randrange(256)
                peer.socket.sendall(bytes(data) if n % 4 else rng.randbytes(100))
                peer.socket.shutdown(socket.SHUT_WR)
                wait_closed(peer)
        is_served(d)
        equal(d.json("status")["units"], [])


def test_half_a_message():
    with shared() as d, Peer(d.dir) as half, Peer(d.dir, authenticate=False), Peer(d.dir, authenticate=False) as shy:
        half.socket.sendall(message(7, *MANAGER, "ListUnits")[:20])
        shy.socket.sendall(b"\0AUTH EXT")
        d.job("web")
        for n in range(20):
            d.ok("allow", "web", "in", f"tcp/{n + 1}")
        equal(len(d.show("web")["rules"]), 20)
        half.socket.sendall(message(7, *MANAGER, "ListUnits")[20:])
        equal(half.wait(7).values[0][0][0], "web")


def test_a_message_that_claims_to_be_huge():
    # Address space is asked for at once, memory is taken as the bytes come. MALLOC_PERTURB_ would write to all of it.
    with Daemon(environment={"MALLOC_PERTURB_": "0"}) as d, Peer(d.dir) as peer:
        data = bytearray(message(7, *MANAGER, "ListUnits"))
        data[4:8] = (127 * MIB).to_bytes(4, "little")
        before = resident(d)
        peer.socket.sendall(bytes(data))
        is_served(d)
        check(resident(d) < before + 8 * MIB, "memory was taken on a promise", before, resident(d))


def test_connections_are_limited():
    with Daemon() as d, contextlib.ExitStack() as stack:
        job = d.job("web")
        before = descriptors(d)
        open_ = []
        for _ in range(300):
            peer = stack.enter_context(Peer(d.dir, authenticate=False))
            open_.append(peer)
        # Those that came too late are closed at once; the first ones work.
        for peer in open_[256:]:
            wait_closed(peer)
        open_[0].authenticate()
        equal(open_[0].call("ListUnits")[0][0], "web")
        check(descriptors(d) <= before + 256, descriptors(d))
        result = d.ctl("status")
        check(result.rc == 6 and "cgpolicyctl:" in result.err, result)
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        stack.close()
        is_served(d)


def test_a_client_that_does_not_read_signals():
    with Daemon() as d, Peer(d.dir) as deaf, Peer(d.dir) as peer:
        # What is wrong with this file goes out with each signal, so that they are large.
        with open(f"{d.dir}/policy.d/bad.json", "w", encoding="ascii") as f:
            f.write('{"cgpolicy": 1, "match": {"units": ["a"]}, "rules": [' + ",".join(['"nonsense of a rule"'] * 64) + "]}")
        before = resident(d)
        for n in range(2000):
            peer.call("Reload")
            peer.signals.clear()
        check(resident(d) < before + 32 * MIB, "grew from", before, "to", resident(d))
        check("does not read" in d.stderr(), "it was kept")
        wait_closed(deaf)
        is_served(d)


def test_answers_that_nobody_reads():
    with Daemon() as d, Peer(d.dir) as deaf:
        d.ok("apply", "-", stdin=json.dumps(
            {"cgpolicy": 1, "match": {"units": ["web"]}, "rules": [f"allow in tcp/{n + 1}" for n in range(4000)]}))
        before = resident(d)
        call = message(7, *MANAGER, "Describe")
        try:
            for _ in range(5000):
                deaf.socket.sendall(call)
            raise SystemError("it took all of them")
        except (BrokenPipeError, ConnectionResetError):
            pass
        is_served(d)
        check(resident(d) < before + 128 * MIB, "grew from", before, "to", resident(d))


def open_stream(peer, **options):
    return peer.call("OpenEventStream", "a{sv}", options).fds[0]


def test_streams_are_limited():
    with shared() as d, Peer(d.dir) as peer:
        fds = []
        try:
            while True:
                fds.append(open_stream(peer))
                check(len(fds) <= 64, "there is no limit")
        except BusError as e:
            equal((e.name, len(fds)), ("org.cgpolicy1.Error.LimitExceeded", 64))
        finally:
            for fd in fds:
                os.close(fd)
        # A place is free again as soon as a reader is gone.
        os.close(open_stream(peer))


def test_a_stream_that_is_not_read_is_cut():
    with Daemon() as d, Peer(d.dir) as peer:
        job = d.job("web")
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=9)
        line = d.ok("log", "--json=short")
        d.stop()
        # More old lines than a stream may hold back.
        n = 3 * MIB // len(line)
        with open(f"{d.dir}/log", "a", encoding="utf-8") as f:
            f.write(line * n)
        d.start()
        before = resident(d)
        with Peer(d.dir) as peer:
            fd = open_stream(peer, lines=("u", 0xFFFFFFFF))
            other = open_stream(peer, lines=("u", 0))
        is_served(d)
        check(resident(d) < before + 16 * MIB, "grew from", before, "to", resident(d))
        job.fails("EPERM", "connect", name="c", address="127.0.0.1", port=10)
        lines = Lines(other, "a stream that is read")
        check("127.0.0.1:10" in lines.next(), "others go on")
        lines = Lines(fd, "a stream that was not read")
        seen, last = 0, None
        while (text := lines.next()) is not None:
            seen, last = seen + 1, json.loads(text)
        os.close(fd)
        os.close(other)
        check("lost" in last and last["lost"] > 0, last)
        # Each line is either shown or counted.
        equal(seen - 1 + last["lost"], n + 2)


def refused(peer, name, member, signature, *values):
    try:
        answer = peer.call(member, signature, *values)
    except BusError as e:
        equal(e.name, name, e.text[:200])
        check(len(e.text) < 4096, "the error repeats what was wrong with it", len(e.text))
        return e.text
    raise AssertionError(f"{member} answered {str(answer)[:200]}")


def test_huge_arguments():
    invalid, limit = "org.cgpolicy1.Error.InvalidRule", "org.cgpolicy1.Error.LimitExceeded"
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        before = d.show("web")
        peers = ",".join(f"10.{n >> 8}.{n & 255}.1" for n in range(4097))
        for rule in ("x" * MIB, "in tcp/1 from " + peers, "in tcp/1 from " + "192.0.2.1," * 100000, "in tcp/" + "1," * 50000 + "1",
                     " " * MIB):
            text = ""
            for name in (limit, invalid):
                with contextlib.suppress(AssertionError):
                    text = refused(peer, name, "Allow", "ssa{sv}", "web", rule, {})
                    break
            check(text, "not refused", rule[:40])
            for name in (limit, invalid):
                with contextlib.suppress(AssertionError):
                    text = refused(peer, name, "CreateJob", "sasa{sv}", "x", ["allow " + rule], {})
                    break
        refused(peer, "org.freedesktop.DBus.Error.InvalidArgs", "Allow", "ssa{sv}", "web", "in tcp/1", {"comment": ("s", "x" * MIB)})
        for member in ("GetUnit", "GetSources"):
            refused(peer, "org.cgpolicy1.Error.NoSuchUnit", member, "s", "x" * MIB)
        refused(peer, "org.cgpolicy1.Error.InvalidName", "CreateJob", "sasa{sv}", "x" * MIB, [], {})
        refused(peer, "org.cgpolicy1.Error.NoSuchRule", "RemoveRule", "ssa{sv}", "web", "x" * MIB, {})
        equal(d.show("web"), before)


def test_many_rules_and_options():
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        text = refused(peer, "org.cgpolicy1.Error.LimitExceeded", "CreateJob", "sasa{sv}", "x", [f"allow in tcp/{n + 1}" for n in
                                                                                              range(16001)], {})
        check("16000" in text, text)
        refused(peer, "org.freedesktop.DBus.Error.InvalidArgs", "SetMode", "ssa{sv}", "web", "off",
                {f"o{n}": ("s", "x") for n in range(10000)})
        refused(peer, "org.cgpolicy1.Error.NoSuchUnit", "GetUnit", "s", "")
        check(not os.path.exists(d.job_cgroup("x")), "a refused job left its cgroup")


def test_hostile_policies():
    invalid = "org.cgpolicy1.Error.InvalidPolicy"
    with shared() as d, Peer(d.dir) as peer:
        d.job("web")
        generation = d.json("status")["generation"]
        for text in ("[" * 100000, '{"cgpolicy": 1, "rules": ' + "[" * 5000 + "]" * 5000 + "}", '{"a":' * 50000,
                     '{"cgpolicy": 1, "cgpolicy": 1}', '{"cgpolicy": 1e999}', '{"cgpolicy": 18446744073709551617}', "", "null",
                     '{"cgpolicy": 1, "match": {"units": ["web"]}, "rules": ["allow in tcp/1"]} trailing',
                     '{"cgpolicy": 1, "match": {"units": ["web"]}, "name": "' + "x" * MIB + '"}',
                     '{"cgpolicy": 1, "match": {"units": ["web"]}, "rules": [' + ",".join(['"nonsense"'] * 50000) + "]}"):
            for name in (invalid, "org.cgpolicy1.Error.LimitExceeded"):
                with contextlib.suppress(AssertionError):
                    refused(peer, name, "Apply", "sa{sv}", text, {})
                    break
            else:
                refused(peer, invalid, "Apply", "sa{sv}", text, {})
            valid, diagnostics = peer.call("Validate", "s", text)
            check(not valid and 0 < len(diagnostics) <= 1000, text[:40], valid, len(diagnostics))
        equal(d.json("status")["generation"], generation)
        equal(d.show("web")["rules"], [])


def test_names_that_are_paths():
    with shared() as d, Peer(d.dir) as peer:
        for name in ("..", ".", "/", "a/b", "../../etc", "a\nb", "a\x01", "-a", "cgroup.procs", ".hidden"):
            try:
                fds = peer.call("CreateJob", "sasa{sv}", name, [], {}).fds
                os.close(fds[0])
                raise SystemError(f"made a job {name!r}")
            except BusError as e:
                check(e.name in ("org.cgpolicy1.Error.InvalidName", "org.cgpolicy1.Error.Conflict"), repr(name), e)
        equal(d.json("status")["units"], [])


def test_a_client_that_makes_jobs_and_never_enters():
    with shared() as d:
        with Peer(d.dir) as peer:
            for n in range(50):
                made = peer.call("CreateJob", "sasa{sv}", f"ghost{n}", [], {})
                os.close(made.fds[0])
            equal(len(d.json("status")["units"]), 50)
        d.tidy()


if __name__ == "__main__":
    main(sys.modules[__name__])
