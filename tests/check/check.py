# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the checks share: the list of the project's files, and TAP."""

import fnmatch
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.chdir(ROOT)


def _all_files():
    """Tracked files; in an unpacked archive, all that are not built."""
    git = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    if git.returncode == 0:
        # A tracked file that was just removed is still listed.
        return sorted(f for f in git.stdout.decode().split("\0") if f and os.path.exists(f))
    found = []
    for folder, folders, names in os.walk("."):
        folders[:] = [d for d in folders if d not in (".git", "__pycache__") and not d.startswith("build")]
        found += [os.path.relpath(os.path.join(folder, name), ".") for name in names]
    return sorted(found)


def files(*patterns, under=""):
    """The files whose path matches a pattern, where * also stands for slashes."""
    return [
        f for f in _all_files() if f.startswith(under) and (not patterns or any(fnmatch.fnmatch(f, p) for p in patterns))
    ]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def first_line(path):
    with open(path, "rb") as f:
        return f.readline(200).decode("utf-8", "replace")


class Tap:
    """One case each; done() prints the plan and ends the program."""

    def __init__(self):
        self.n = 0
        self.n_failed = 0

    def case(self, name, problems):
        """Passes if problems, a list of lines, is empty."""
        self.n += 1
        self.n_failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.n} - {name}")
        for problem in problems:
            for line in str(problem).splitlines():
                print(f"#   {line}")

    def skip(self, name, reason):
        self.n += 1
        print(f"ok {self.n} - {name} # SKIP {reason}")

    def done(self):
        print(f"1..{self.n}")
        sys.exit(1 if self.n_failed or not self.n else 0)
