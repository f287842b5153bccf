# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does socket calls on request. A request is a line of JSON on standard input, {"op": NAME, ...}; the
answer is a line on standard output. A call that failed is answered with the name of its errno. Sockets
have names that the requests give them. Ends with its input."""

import collections
import ctypes
import errno
import json
import os
import select
import socket
import struct
import sys
import time

WAIT = 60
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
TYPES = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "raw": socket.SOCK_RAW}
ECHO_REQUEST = {4: 8, 6: 128}

sockets = {}


def family_of(address):
    return 6 if ":" in address else 4


def op_pid():
    return {"pid": os.getpid(), "uid": os.getuid()}


def op_become(uid):
    os.setgroups([])
    os.setuid(uid)


def op_socket(name, type="stream", family=4, protocol=0):
    if name in sockets:
        sockets.pop(name).close()
    s = socket.socket(FAMILIES[family], TYPES[type], protocol)
    s.settimeout(WAIT)
    sockets[name] = s


def op_close(name):
    sockets.pop(name).close()


def op_bind(name, address, port):
    sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sockets[name].bind((address, port))
    return {"port": sockets[name].getsockname()[1]}


def op_listen(name, address, port, family=None):
    """A new socket that is bound and listens."""
    op_socket(name, "stream", family or family_of(address))
    if family == 6:
        sockets[name].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    answer = op_bind(name, address, port)
    sockets[name].listen(16)
    return answer


def op_udp(name, address, port=0, family=None):
    """A new datagram socket that is bound."""
    op_socket(name, "dgram", family or family_of(address))
    if family == 6:
        sockets[name].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return op_bind(name, address, port)


def op_name(name):
    return {"name": list(sockets[name].getsockname()[:2])}


def op_connect(name, address, port, type="stream", family=None):
    """A new socket that is connected."""
    op_socket(name, type, family or family_of(address))
    sockets[name].connect((address, port))
    return {"port": sockets[name].getsockname()[1]}


def op_connect_protocol(name, address, port, protocol):
    """As op_connect(), with a protocol of one's own: 262 is MPTCP."""
    op_socket(name, "stream", family_of(address), protocol)
    sockets[name].connect((address, port))


def op_fast_open(name, address, port, data):
    """Connects and sends with one call."""
    op_socket(name, "stream", family_of(address))
    sockets[name].setblocking(True)
    return {"n": sockets[name].sendto(data.encode(), socket.MSG_FASTOPEN, (address, port))}


def op_send_with_options(name, data, address, port):
    """A datagram with a destination options header before the UDP header: 6 bytes of padding."""
    options = struct.pack("!BBBB4s", 0, 0, 1, 4, bytes(4))
    return {"n": sockets[name].sendmsg([data.encode()], [(socket.IPPROTO_IPV6, 59, options)], 0, (address, port))}


def op_reconnect(name, address, port):
    sockets[name].connect((address, port))


def op_start_connect(name, address, port, source=None):
    """Without waiting for the end of it."""
    op_socket(name, "stream", family_of(address))
    if source:
        sockets[name].bind((source, 0))
    sockets[name].setblocking(False)
    try:
        sockets[name].connect((address, port))
    except BlockingIOError:
        pass


def op_is_connected(name):
    """Whether what op_start_connect() began is done: as of now."""
    return {"connected": bool(select.select([], [sockets[name]], [], 0)[1])}


def op_finish_connect(name):
    s = sockets[name]
    if not select.select([], [s], [], WAIT)[1]:
        raise TimeoutError
    s.setblocking(True)
    s.settimeout(WAIT)
    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def op_accept(name, to):
    s, peer = sockets[name].accept()
    s.settimeout(WAIT)
    sockets[to] = s
    return {"peer": list(peer[:2])}


def op_send(name, data):
    return {"n": sockets[name].send(data.encode())}


def op_sendto(name, data, address, port):
    return {"n": sockets[name].sendto(data.encode(), (address, port))}


def op_recv(name, n=65536):
    return {"data": sockets[name].recv(n).decode()}


def op_recvfrom(name):
    data, peer = sockets[name].recvfrom(65536)
    return {"data": data.decode(), "peer": list(peer[:2])}


def op_pending(name):
    """What can be read right now, all of it."""
    got = []
    while select.select([sockets[name]], [], [], 0)[0]:
        got.append(sockets[name].recv(65536).decode())
    return {"data": got}


def op_block(name):
    """From now on calls on this socket wait in the kernel for as long as it takes."""
    sockets[name].settimeout(None)


def op_mailbox(name, path):
    """Where other processes can pass sockets to."""
    sockets[name] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sockets[name].settimeout(WAIT)
    sockets[name].bind(path)


def op_pass(name, path):
    """Passes a socket to another process, and has it no longer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(path)
        socket.send_fds(s, [b"x"], [sockets[name].fileno()])
    op_close(name)


def op_take(mailbox, name):
    fd = socket.recv_fds(sockets[mailbox], 1, 1)[1][0]
    sockets[name] = socket.socket(fileno=fd)
    sockets[name].settimeout(WAIT)


def op_wait_input(name):
    """Until there is something to read, or to accept, or another request came."""
    ready = select.select([sockets[name], sys.stdin.fileno()], [], [])[0]
    return {"input": sockets[name] in ready}


def op_burst(name, address, port, n, data="x"):
    """Sends n datagrams. How each of them went, by errno; null is success."""
    results = collections.Counter()
    for _ in range(n):
        try:
            sockets[name].sendto(data.encode(), (address, port))
            results["ok"] += 1
        except OSError as e:
            results[errno.errorcode.get(e.errno, str(e))] += 1
    return {"results": results}


def op_connects(address, port, n):
    """Connects n times and says how each went and how long the slowest refusal took."""
    results, slowest = collections.Counter(), 0
    for _ in range(n):
        with socket.socket(FAMILIES[family_of(address)], socket.SOCK_STREAM) as s:
            s.settimeout(WAIT)
            begin = time.monotonic_ns()
            try:
                s.connect((address, port))
                results["ok"] += 1
            except OSError as e:
                results[errno.errorcode.get(e.errno, str(e))] += 1
                slowest = max(slowest, time.monotonic_ns() - begin)
    return {"results": results, "slowest_usec": slowest // 1000}


def op_hammer(tcp, udp):
    """Tries a TCP connection and a datagram over and over, until the next request comes. tcp, udp: [address,
    port]."""
    results = {"tcp": collections.Counter(), "udp": collections.Counter()}
    print(json.dumps({"hammering": True}), flush=True)
    while not select.select([sys.stdin.fileno()], [], [], 0)[0]:
        for kind, (address, port) in (("tcp", tcp), ("udp", udp)):
            with socket.socket(FAMILIES[family_of(address)], TYPES["stream" if kind == "tcp" else "dgram"]) as s:
                s.setblocking(False)
                try:
                    if kind == "udp":
                        s.sendto(b"hammer", (address, port))
                        results[kind]["ok"] += 1
                        continue
                    try:
                        s.connect((address, port))
                        results[kind]["ok"] += 1
                    except BlockingIOError:
                        # The call was let through. Without an answer it is the packet hooks that held.
                        results[kind]["begun"] += 1
                        if select.select([], [s], [], 0.05)[1] and not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                            results[kind]["ok"] += 1
                except OSError as e:
                    results[kind][errno.errorcode.get(e.errno, str(e))] += 1
    return results


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(version, identifier):
    head = struct.pack("!BBHHH", ECHO_REQUEST[version], 0, 0, identifier, 1)
    if version == 6:  # the kernel fills it in
        return head + b"ping"
    return head[:2] + struct.pack("!H", checksum(head + b"ping")) + head[4:] + b"ping"


def op_ping(address, raw=False, wait=True, identifier=4711):
    """One echo request, and its answer. With raw: from a raw socket."""
    version = family_of(address)
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    with socket.socket(FAMILIES[version], TYPES["raw" if raw else "dgram"], protocol) as s:
        s.settimeout(WAIT)
        s.sendto(echo_request(version, identifier), (address, 0))
        while wait:
            data = s.recv(65536)
            if raw and version == 4:
                data = data[(data[0] & 15) * 4:]
            if data[0] in (0, 129):
                return {"type": data[0]}


def op_raw_udp(source, destination, sport, dport, data="raw"):
    """A datagram whose IPv4 header is made by hand: the socket claims nothing."""
    payload = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data.encode()
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, socket.IPPROTO_UDP, 0,
        socket.inet_aton(source), socket.inet_aton(destination),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(header + payload, (destination, 0))


def op_set(name, level, option, value):
    sockets[name].setsockopt(level, option, value)


def op_new_net():
    """Leaves for a network namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000) < 0:
        raise OSError(ctypes.get_errno(), "unshare")


def op_move(cgroup):
    with open(f"{cgroup}/cgroup.procs", "w", encoding="ascii") as f:
        f.write("0")


def op_rename(comm):
    with open("/proc/self/comm", "wb") as f:
        f.write(comm.encode("latin-1"))


def op_fork_daemon():
    """Leaves a process behind that stays until it is killed, holds no pipe, and is in a session of its own."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        while True:
            select.select([], [], [])
    return {"pid": pid}


def answer(line):
    request = json.loads(line)
    begin = time.monotonic_ns()
    try:
        result = globals()["op_" + request.pop("op")](**request) or {}
    except TimeoutError:
        result = {"errno": "TIMEOUT"}
    except OSError as e:
        result = {"errno": errno.errorcode.get(e.errno, str(e))}
    except Exception as e:  # a mistake of the test's
        result = {"bug": f"{line!r}: {e!r}"}
    return {**result, "usec": (time.monotonic_ns() - begin) // 1000}


def main():
    # Unbuffered: who looks whether a request came must not find it taken already.
    with os.fdopen(0, "rb", buffering=0, closefd=False) as requests:
        while line := requests.readline():
            print(json.dumps(answer(line)), flush=True)


main()
