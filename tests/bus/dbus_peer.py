# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small D-Bus peer: marshals what the tests say, also what no library would send, and reads answers,
signals and descriptors."""

import collections
import os
import socket
import struct

from waiting import WAIT, Hang

ALIGN = {"y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8, "s": 4, "o": 4, "g": 1, "v": 1, "a": 4,
         "(": 8, "{": 8, "h": 4}
BASIC = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4

MANAGER = ("/org/cgpolicy1", "org.cgpolicy1.Manager")


class BusError(Exception):
    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text


def split_signature(signature):
    """The complete types of a signature."""
    types, i = [], 0
    while i < len(signature):
        end = i
        while signature[end] == "a":
            end += 1
        if signature[end] in "({":
            depth, end = 1, end + 1
            while depth:
                depth += (signature[end] in "({") - (signature[end] in ")}")
                end += 1
        else:
            end += 1
        types.append(signature[i:end])
        i = end
    return types


class Writer:
    def __init__(self):
        self.data = bytearray()

    def pad(self, n):
        self.data += bytes(-len(self.data) % n)

    def put(self, kind, value):
        c = kind[0]
        self.pad(ALIGN[c])
        if c in BASIC:
            self.data += struct.pack("<" + BASIC[c], int(value) if c != "d" else value)
        elif c in "so":
            raw = value if isinstance(value, bytes) else value.encode()
            self.data += struct.pack("<I", len(raw)) + raw + b"\0"
        elif c == "g":
            self.data += bytes([len(value)]) + value.encode() + b"\0"
        elif c == "v":
            self.put("g", value[0])
            self.put(value[0], value[1])
        elif c == "a":
            self.put_array(kind[1:], value)
        else:
            for inner, v in zip(split_signature(kind[1:-1]), value):
                self.put(inner, v)

    def put_array(self, kind, values):
        at = len(self.data)
        self.data += bytes(4)
        self.pad(ALIGN[kind[0]])
        begin = len(self.data)
        for v in values.items() if isinstance(values, dict) else values:
            self.put(kind, v)
        struct.pack_into("<I", self.data, at, len(self.data) - begin)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def get(self, kind):
        c = kind[0]
        self.at += -self.at % ALIGN[c]
        if c in BASIC:
            value = struct.unpack("<" + BASIC[c], self.take(struct.calcsize(BASIC[c])))[0]
            return bool(value) if c == "b" else value
        if c in "so":
            return self.take(struct.unpack("<I", self.take(4))[0] + 1)[:-1].decode()
        if c == "g":
            return self.take(self.take(1)[0] + 1)[:-1].decode()
        if c == "v":
            return self.get(self.get("g"))
        if c == "a":
            return self.get_array(kind[1:])
        return tuple(self.get(k) for k in split_signature(kind[1:-1]))

    def get_array(self, kind):
        n = struct.unpack("<I", self.take(4))[0]
        self.at += -self.at % ALIGN[kind[0]]
        end, values = self.at + n, []
        while self.at < end:
            values.append(self.get(kind))
        return dict(values) if kind[0] == "{" else values


Message = collections.namedtuple("Message", "kind serial reply_to path interface member error values fds")


def message(serial, path, interface, member, signature="", values=(), kind=CALL, flags=0):
    body = Writer()
    for t, v in zip(split_signature(signature), values):
        body.put(t, v)
    fields = [(1, ("o", path)), (2, ("s", interface)), (3, ("s", member))]
    if signature:
        fields.append((8, ("g", signature)))
    head = Writer()
    head.data += struct.pack("<BBBBII", ord("l"), kind, flags, 1, len(body.data), serial)
    head.put("a(yv)", fields)
    head.pad(8)
    return bytes(head.data + body.data)


class Peer:
    """One connection to the socket in a daemon's directory. authenticate=False: a bare socket."""

    def __init__(self, directory, authenticate=True):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT)
        self.socket.connect(os.path.join(directory, "bus"))
        self.buffer, self.fds, self.serial = b"", [], 0
        self.signals = collections.deque()
        if authenticate:
            try:
                self.authenticate()
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def authenticate(self):
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        self.expect_line(b"OK ")
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        self.expect_line(b"AGREE_UNIX_FD")
        self.socket.sendall(b"BEGIN\r\n")
        self.call("Hello", path="/org/freedesktop/DBus", interface="org.freedesktop.DBus")

    def expect_line(self, begin):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        if not line.startswith(begin):
            raise AssertionError(f"{line!r} instead of {begin!r}")

    def _more(self):
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, 1 << 16, 16)
        except TimeoutError:
            raise Hang("no message of the daemon") from None
        self.fds += fds
        if not data:
            raise ConnectionResetError("the daemon closed the connection")
        self.buffer += data

    def send(self, member, signature="", *values, path=MANAGER[0], interface=MANAGER[1], flags=0):
        self.serial += 1
        self.socket.sendall(message(self.serial, path, interface, member, signature, values, flags=flags))
        return self.serial

    def read(self):
        while len(self.buffer) < 16:
            self._more()
        _, kind, _, _, n_body, serial, n_fields = struct.unpack("<BBBBIII", self.buffer[:16])
        begin = 16 + n_fields + -n_fields % 8
        while len(self.buffer) < begin + n_body:
            self._more()
        reader = Reader(self.buffer[:begin])
        reader.at = 12
        fields = dict(reader.get("a(yv)"))
        body = Reader(self.buffer[begin:begin + n_body])
        values = [body.get(t) for t in split_signature(fields.get(8, ""))]
        self.buffer = self.buffer[begin + n_body:]
        fds = [self.fds.pop(0) for _ in range(fields.get(9, 0))]
        return Message(kind, serial, fields.get(5), fields.get(1), fields.get(2), fields.get(3), fields.get(4), values, fds)

    def wait(self, serial):
        """The answer to a call. Signals that come before it are kept."""
        while True:
            m = self.read()
            if m.kind == SIGNAL:
                self.signals.append(m)
            elif m.reply_to == serial and m.kind == ERROR:
                raise BusError(m.error, m.values[0] if m.values else "")
            elif m.reply_to == serial:
                return m

    def call(self, member, signature="", *values, **where):
        """What a method returns; the whole message if it returns descriptors."""
        m = self.wait(self.send(member, signature, *values, **where))
        if m.fds:
            return m
        return m.values[0] if len(m.values) == 1 else m.values

    def signal(self, member):
        """The next signal of this name."""
        while True:
            while self.signals:
                m = self.signals.popleft()
                if m.member == member:
                    return m
            m = self.read()
            if m.kind == SIGNAL:
                self.signals.append(m)

    def get(self, name, path=MANAGER[0], interface=MANAGER[1]):
        return self.call("Get", "ss", interface, name, path=path, interface="org.freedesktop.DBus.Properties")
