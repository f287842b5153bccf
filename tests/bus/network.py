# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two network namespaces that know only each other, so that no packet of a test leaves for elsewhere."""

import subprocess

from waiting import check, wait_readable


class Net:
    """Two network namespaces joined by a veth pair. They end with their holders, and these with us."""

    IN4, OUT4, OUT4B = "10.77.0.1", "10.77.0.2", "10.77.1.2"
    IN6, OUT6, OUT6B = "fd77::1", "fd77::2", "fd77:1::2"

    def __enter__(self):
        self.holders = []
        try:
            inner, outer = self._hold(), self._hold()
            self.inside, self.outside = (f"/proc/{h.pid}/ns/net" for h in (inner, outer))
            self._ip(inner, f"link add veth0 type veth peer name veth0 netns {outer.pid}")
            for holder, addresses in (
                (inner, (f"{self.IN4}/16", f"{self.IN6}/16")),
                (outer, (f"{self.OUT4}/16", f"{self.OUT4B}/16", f"{self.OUT6}/16", f"{self.OUT6B}/16")),
            ):
                self._ip(
                    holder, "link set veth0 addrgenmode none",
                    *(f"addr add {a} dev veth0{' nodad' if ':' in a else ''}" for a in addresses),
                    "link set lo up", "link set veth0 up",
                )
                self._sysctl(holder, "net/ipv4/ping_group_range", "0 2147483647")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for holder in self.holders:
            holder.stdin.close()
            holder.wait()
            holder.stdout.close()

    def join(self, pid):
        """A second pair of interfaces, from the namespace of a process to the outer one. Returns the addresses of
        the outer end."""
        outer = self.holders[1]
        self._ip(outer, f"link add veth1 type veth peer name veth1 netns {pid}")
        for where, n in ((outer.pid, 2), (pid, 1)):
            self._ip_of(
                where, "link set veth1 addrgenmode none", f"addr add 10.78.0.{n}/24 dev veth1",
                f"addr add fd78::{n}/64 dev veth1 nodad", "link set lo up", "link set veth1 up",
            )
        return "10.78.0.2", "fd78::2"

    def _hold(self):
        holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holders.append(holder)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        wait_readable("a network namespace", holder.stdout.fileno())
        check(holder.stdout.readline() == b"\n", "no network namespace")
        return holder

    @staticmethod
    def _ip(holder, *lines):
        Net._ip_of(holder.pid, *lines)

    @staticmethod
    def _ip_of(pid, *lines):
        subprocess.run(
            ["nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"], input="\n".join(lines) + "\n",
            text=True, check=True,
        )

    @staticmethod
    def _sysctl(holder, name, value):
        subprocess.run(
            ["nsenter", "-t", str(holder.pid), "-n", "sh", "-c", f"echo {value} > /proc/sys/{name}"], check=True
        )
