# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the command share: a fake daemon in a directory of its own, cases, and TAP."""

import os
import subprocess
import sys
import tempfile
import traceback

COMMAND, DAEMON = map(os.path.abspath, sys.argv[1:3])


class Fake:
    """The fake daemon. Ends with the block, whatever happens in it."""

    def __init__(self, jobs=None):
        self.jobs = jobs

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cgpolicy-test-")
        self.dir = self.folder.name
        self.process = subprocess.Popen(
            [DAEMON, self.dir, self.jobs or self.dir], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "listening\n"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()

    def environment(self):
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TZ")}
        return {**env, "CGPOLICY_PRIVATE": self.dir, "TZ": "UTC", "LC_ALL": "C.UTF-8"}

    def ctl(self, *words, **options):
        """Runs the command to its end."""
        return subprocess.run(
            [COMMAND, *words], env=self.environment(), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=options.pop("stdin", subprocess.DEVNULL), check=False, **options,
        )

    def start(self, *words, **options):
        """Starts the command. Its standard output and error are pipes."""
        return subprocess.Popen(
            [COMMAND, *words], env=self.environment(), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def expect(run, code, out=None, err=None):
    """The exit code, all of standard output, and words of standard error ("" means nothing at all)."""
    check(run.returncode == code, "exit code", run.returncode, "instead of", code, run.stdout, run.stderr)
    check(out is None or run.stdout == out, "printed", repr(run.stdout), "instead of", repr(out))
    check(err is None or (err in run.stderr if err else not run.stderr), "said", repr(run.stderr), "without", repr(err))


def main(cases):
    failed = 0
    print(f"1..{len(cases)}", flush=True)
    for n, case in enumerate(cases, 1):
        name = case.__name__.removeprefix("test_").replace("_", " ")
        try:
            case()
            print(f"ok {n} - {name}", flush=True)
        except Exception:  # whatever it was, the case failed
            failed += 1
            print(f"not ok {n} - {name}")
            print("".join("#   " + line + "\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    sys.exit(failed > 0)
