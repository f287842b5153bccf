# SPDX-License-Identifier: LGPL-2.1-or-later
"""Part app of bench/run: what an application sees. Requests and connections on loopback with both ends
managed, and wrk against nginx over a veth pair with nginx managed."""
import os
import shutil
import statistics
import subprocess
import time


def ratio_row(label, base, values):
    ratios = sorted(b / v for b, v in zip(base, values))
    n = len(ratios)
    print(f"| {label} | {statistics.median(ratios):.3f} ({ratios[n // 4]:.3f} .. "
          f"{ratios[3 * n // 4]:.3f}) |")


def loopback(place, quick):
    rounds, msec = (7, 50) if quick else (31, 150)
    for traffic, what in (("tcp", "requests"), ("connect", "connections")):
        rows = place.inside("live", traffic, 1, rounds, msec,
                            place.work_inside, place.bpffs, "none", "empty-all", "ours:1", "ours:1000")
        ns = {row["config"]: row["ns"] for row in rows}
        print(f"\n## Application: {what} a second on loopback, both ends managed, ratio to empty "
              "programs on the same hooks (quartiles)\n")
        print("| in the way | ratio |\n|---|---|")
        ratio_row("nothing", ns["empty-all"], ns["none"])
        ratio_row("ours:1", ns["empty-all"], ns["ours:1"])
        ratio_row("ours:1000", ns["empty-all"], ns["ours:1000"])
        print(f"\nOne takes {statistics.median(ns['empty-all']) / 1000:.1f} us with empty programs.")


class Web:
    """nginx in the cgroup and a namespace, wrk in another, a veth pair between them."""

    def __init__(self, place, nginx):
        self.place = place
        self.names = [f"cgpb{os.getpid()}{end}" for end in "sc"]
        self.processes = []
        self.nginx = nginx

    def __enter__(self):
        server, client = self.names
        for name in self.names:
            subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", server, "link", "add", "veth0", "type", "veth", "peer", "name",
                        "veth0", "netns", client], check=True)
        for name, address in ((server, "192.0.2.1/24"), (client, "192.0.2.2/24")):
            subprocess.run(["ip", "-n", name, "addr", "add", address, "dev", "veth0"], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "veth0", "up"], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        os.makedirs(os.path.join(self.place.directory, "web"))
        self.place.file("web/index.html", "x" * 1024)
        config = self.place.file("nginx.conf", f"""
daemon off; master_process off; pid {self.place.directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{ access_log off; keepalive_requests 1000000;
  client_body_temp_path {self.place.directory}/t1; proxy_temp_path {self.place.directory}/t2;
  fastcgi_temp_path {self.place.directory}/t3; uwsgi_temp_path {self.place.directory}/t4;
  scgi_temp_path {self.place.directory}/t5;
  server {{ listen 192.0.2.1:7000; root {self.place.directory}/web; }} }}
""")
        work = os.path.join(self.place.cgroup, "work", "cgroup.procs")
        self.processes.append(subprocess.Popen(
            ["sh", "-ec", 'echo $$ > "$1"; shift; exec "$@"', "sh", work, "ip", "netns", "exec", server,
             self.nginx, "-c", config, "-p", self.place.directory]))
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
            process.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def wrk(self, seconds):
        done = subprocess.run(
            ["ip", "netns", "exec", self.names[1], "wrk", "-t1", "-c16", f"-d{seconds}",
             "http://192.0.2.1:7000/"], stdout=subprocess.PIPE, text=True, check=True)
        for line in done.stdout.splitlines():
            if line.startswith("Requests/sec:"):
                return float(line.split()[1])
        raise SystemExit("bench/run: wrk says no rate:\n" + done.stdout)


def web(place, quick):
    nginx = shutil.which("nginx") or os.path.join(place.build, "nginx/usr/sbin/nginx")
    if not shutil.which("wrk") or not os.path.exists(nginx):
        print("\nwrk or nginx is not here: scripts/build --bench installs what bench/run needs")
        return
    configs = ["none", "empty", "ours:1", "ours:1000"]
    rounds, seconds = (3, 1) if quick else (15, 2)
    rates = {config: [] for config in configs}
    os.makedirs(place.bpffs, exist_ok=True)
    subprocess.run(["mount", "-t", "bpf", "bpf", place.bpffs], check=True)
    try:
        hold = subprocess.Popen(
            [os.path.join(place.build, "bench/hold"), os.path.join(place.cgroup, "work"), place.bpffs,
             *configs], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        hold.stdout.readline()
        with Web(place, nginx) as site:
            for _ in range(200):  # until it listens
                if subprocess.run(["ip", "netns", "exec", site.names[1], "curl", "-so", "/dev/null",
                                   "http://192.0.2.1:7000/"], check=False).returncode == 0:
                    break
                time.sleep(0.05)
            for turn in range(rounds):
                for i in range(len(configs)):
                    k = (i + turn) % len(configs)
                    hold.stdin.write(f"{k}\n")
                    hold.stdin.flush()
                    hold.stdout.readline()
                    rates[configs[k]].append(site.wrk(seconds))
        hold.stdin.close()
        hold.wait()
    finally:
        subprocess.run(["umount", place.bpffs], check=False)
    print("\n## Application: wrk and nginx, 1 KiB, over veth, nginx managed, ratio to nothing "
          "(quartiles)\n")
    print("| in the way | ratio |\n|---|---|")
    for config in configs[1:]:
        ratio_row(config, [1 / r for r in rates["none"]], [1 / r for r in rates[config]])
    print(f"\n{statistics.median(rates['none']):,.0f} requests a second with nothing in the way.")


def run(place, quick):
    loopback(place, quick)
    web(place, quick)
