# SPDX-License-Identifier: LGPL-2.1-or-later
"""Part flood of bench/run: denied packets at a high rate, what they cost the daemon, and whether every one
of them is counted."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

RATE = 300000
RECEIVER = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
s.recv(1)
print("got through", flush=True)
"""


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(place, quick):
    seconds = 3 if quick else 20
    directory = tempfile.mkdtemp(prefix="cgpolicy-bench-")
    ctl = [os.path.join(place.build, "ctl/cgpolicyctl"), "--private", directory]
    daemon = subprocess.Popen([os.path.join(place.build, "daemon/cgpolicyd"), "--private", directory],
                              stderr=subprocess.DEVNULL)
    try:
        while subprocess.run([*ctl, "status"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL).returncode != 0:
            time.sleep(0.05)
        job = subprocess.Popen([*ctl, "run", "flooded", "--", "python3", "-c", RECEIVER],
                               stdout=subprocess.PIPE, text=True)
        port = job.stdout.readline().strip()
        before = cpu_seconds(daemon.pid)
        start = time.monotonic()
        done = subprocess.run([os.path.join(place.build, "bench/flood"), "127.0.0.1", port, str(RATE),
                               str(seconds)], stdout=subprocess.PIPE, text=True, check=True)
        took = time.monotonic() - start
        used = cpu_seconds(daemon.pid) - before
        sent = int(done.stdout)
        shown = subprocess.run([*ctl, "--json=short", "show", "flooded"], stdout=subprocess.PIPE,
                               text=True, check=True)
        blocked = total_blocked(json.loads(shown.stdout))
        events = subprocess.run([*ctl, "log", "flooded", "--json=short", "-n", "all"],
                                stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        job.terminate()
        job.wait()
        told = sum(json.loads(e).get("count", 1) for e in events if e.strip())
        print(f"\n## Flood of denied packets, {sent / took:,.0f} a second for {took:.0f} s\n")
        print("| sent | counted | difference | told in events | events | daemon |\n|---|---|---|---|---|---|")
        print(f"| {sent:,} | {blocked:,} | {blocked - sent} | {told:,} | {len(events)} "
              f"| {100 * used / took:.2f} % of a core |")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        shutil.rmtree(directory, ignore_errors=True)


def total_blocked(shown):
    """Whatever is called blocked in what `show` says, at whatever depth, of rules and defaults."""
    if isinstance(shown, dict):
        if isinstance(shown.get("blocked"), int):
            return shown["blocked"]
        return sum(total_blocked(v) for v in shown.values())
    if isinstance(shown, list):
        return sum(total_blocked(v) for v in shown)
    return 0
