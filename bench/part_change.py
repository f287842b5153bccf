# SPDX-License-Identifier: LGPL-2.1-or-later
"""Part change of bench/run: what a user waits for. The figures are those of bench/latency."""
import os
import subprocess
import sys


def run(place, quick):
    print("\n## Change: refusals, rules by the command, new jobs, adoption\n", flush=True)
    done = subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "latency"),
                           place.build])
    if done.returncode != 0:
        raise SystemExit("bench/run: bench/latency failed")
