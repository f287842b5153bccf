# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests with the real daemon share: daemons in directories of their own, the command, jobs that
are talked to, network namespaces, cases, TAP, and a look at what was left behind.

Each test program lives in a mount namespace of its own, so that no mount outlives it. Nothing here waits
for time to pass: what is waited for are answers, descriptors and the ends of processes. WAIT only ends a
test that would hang."""

import collections
import contextlib
import ctypes
import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

from dbus_peer import Peer
from waiting import WAIT, Hang, Lines, check, equal, wait_exit, wait_readable

DAEMON = os.path.abspath(os.environ["CGPOLICYD"])
COMMAND = os.path.abspath(os.environ["CGPOLICYCTL"])
HERE = os.path.dirname(os.path.abspath(__file__))
WORKER = os.path.join(HERE, "worker.py")
PYTHON = [sys.executable, "-I", "-S", "-B"]

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)
_folders = []


def new_folder():
    """The caller removes it; it is looked for in the end."""
    _folders.append(tempfile.mkdtemp(prefix="cgpolicy-test-"))
    return _folders[-1]


@contextlib.contextmanager
def folder():
    path = new_folder()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _libc(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _private_mounts():
    _libc(libc.unshare(CLONE_NEWNS))
    _libc(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# -- cgroups --------------------------------------------------------------------------------------------


def _find_cgroup_mount():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            if " - cgroup2 " in line:
                return line.split()[4]
    return None


CGROUP_MOUNT = _find_cgroup_mount()


class Watch:
    """inotify on one directory: wakes up, and leaves the looking to who waits."""

    def __init__(self, path, mask=0x300):  # IN_CREATE | IN_DELETE
        self.fd = _libc(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self.gone = libc.inotify_add_watch(self.fd, os.fsencode(path), mask) < 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def until(self, condition, what):
        while not condition():
            if self.gone:
                raise AssertionError(f"{what}: the directory is not there")
            wait_readable(what, self.fd)
            os.read(self.fd, 65536)


def wait_empty(cgroup):
    """Until no process lives in the cgroup or below."""
    try:
        fd = os.open(f"{cgroup}/cgroup.events", os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        while True:
            try:
                if b"populated 0" in os.pread(fd, 256, 0):
                    return
            except OSError as e:
                if e.errno == errno.ENODEV:
                    return
                raise
            if not poll.poll(WAIT * 1000):
                raise Hang(f"{cgroup} stays populated")
    finally:
        os.close(fd)


def processes_of(cgroup):
    try:
        with open(f"{cgroup}/cgroup.procs", encoding="ascii") as f:
            return [int(line) for line in f]
    except OSError:
        return []


# -- the command and the daemon -------------------------------------------------------------------------

Result = collections.namedtuple("Result", "rc out err")


def run_command(*words, stdin=None, env=None, prefix=(), command=COMMAND, **options):
    """Runs the command to its end."""
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TZ", "CGPOLICY_PRIVATE")}
    environment.update({"LC_ALL": "C.UTF-8", "TZ": "UTC", **(env or {})})
    try:
        done = subprocess.run(
            [*prefix, command, *words], env=environment, input=stdin, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, check=False, timeout=WAIT,
            **({} if stdin is not None else {"stdin": subprocess.DEVNULL}), **options,
        )
    except subprocess.TimeoutExpired:
        raise Hang(f"cgpolicyctl {' '.join(words)} does not end") from None
    return Result(done.returncode, done.stdout, done.stderr)


class Daemon:
    """A daemon on a directory of its own. Ends with the block, with all that it made, and is then asked
    what it left."""

    def __init__(self, directory=None, arguments=(), environment=None, net=None):
        self.environment = environment or {}
        self.inside = ["nsenter", f"--net={net}", "--"] if net else []  # which executes the daemon: one process
        self.parent = new_folder()
        self.dir = directory or os.path.join(self.parent, "d")
        self.arguments = arguments
        self.process = None
        self.cgroup = None
        self.stderr_path = os.path.join(self.parent, "stderr")
        self.jobs = []
        self.followers = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.show_stderr()
            shutil.rmtree(self.parent, ignore_errors=True)
            raise
        return self

    def spawn(self):
        """Starts it and returns the socket on which it says that it is ready."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{self.parent}/notify"  # an abstract name would be one of our own network namespace
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        notify.bind(path)
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(
                [*self.inside, DAEMON, "--private", self.dir, *self.arguments],
                env={**os.environ, **self.environment, "NOTIFY_SOCKET": path},
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, preexec_fn=die_with_parent,
            )
        return notify

    def start(self):
        with self.spawn() as notify:
            pidfd = os.pidfd_open(self.process.pid)
            try:
                ready = False
                while not ready:
                    if notify.fileno() not in wait_readable("the daemon's start", notify.fileno(), pidfd):
                        raise AssertionError(f"the daemon ended with {self.process.wait()}")
                    ready = b"READY=1" in notify.recv(4096)
            finally:
                os.close(pidfd)
        for line in self.stderr().splitlines():
            if "jobs below " in line:
                self.cgroup = line.split("jobs below ")[1].strip()
        return self

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def show_stderr(self):
        with contextlib.suppress(FileNotFoundError):
            for line in self.stderr().splitlines()[-30:]:
                print(f"#   daemon: {line[:1000]}", flush=True)

    def kill(self):
        self.process.kill()
        wait_exit(self.process, "the killed daemon")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return wait_exit(self.process, "the daemon")

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def restart(self):
        if self.is_alive():
            self.kill()
        return self.start()

    # The command

    def ctl(self, *words, **options):
        return run_command(*words, env={"CGPOLICY_PRIVATE": self.dir}, **options)

    def ok(self, *words, **options):
        result = self.ctl(*words, **options)
        equal(result.rc, 0, " ".join(words), result.err)
        return result.out

    def json(self, *words, **options):
        return json.loads(self.ok("--json=short", *words, **options))

    def show(self, name):
        return self.json("show", name)

    def rule(self, name, text):
        """The entry of a rule in show --json."""
        rules = [r for r in self.show(name)["rules"] if r["rule"] == text]
        equal(len(rules), 1, "rules of this text")
        return rules[0]

    def explain(self, *words):
        """Exit code and answer; the kernel has to agree whenever it was asked."""
        result = self.ctl("--json=short", "explain", *words)
        check(result.rc in (0, 3), "explain", words, result)
        answer = json.loads(result.out)
        kernel = answer["kernel"]
        check(kernel["agrees"] is True or not kernel["checked"], "the kernel disagrees", answer)
        return result.rc, answer

    def job(self, name, *options, **more):
        job = Job(self, name, *options, **more)
        self.jobs.append(job)
        return job

    def follow(self, *units):
        follower = Follower(self, units)
        self.followers.append(follower)
        return follower

    def job_cgroup(self, name):
        return f"{self.cgroup}/{name}"

    def wait_job_over(self, name):
        with Watch(self.cgroup) as watch:
            watch.until(lambda: not os.path.exists(self.job_cgroup(name)), f"the end of {name}")

    # The end

    def tidy(self):
        """No jobs and no policies, as after a start on an empty directory."""
        self.end_jobs()
        with Watch(self.cgroup) as watch:
            watch.until(lambda: not self.job_cgroups(), "the end of all jobs")
        files = [e.path for e in os.scandir(f"{self.dir}/policy.d")]
        for path in files:
            os.unlink(path)
        if files:
            self.ok("reload")
        equal(self.json("status")["units"], [])

    def end_jobs(self):
        for follower in self.followers:
            follower.end()
        for job in self.jobs:
            job.end()
        self.jobs, self.followers = [], []
        if self.cgroup and os.path.isdir(self.cgroup):
            with contextlib.suppress(OSError), open(f"{self.cgroup}/cgroup.kill", "w", encoding="ascii") as f:
                f.write("1")
            wait_empty(self.cgroup)

    def __exit__(self, kind, *_):
        left = ["everything"]
        try:
            if kind and issubclass(kind, SystemExit):
                # Interrupted, and soon killed: by force, which is quick.
                self.end_jobs()
                self.force()
            else:
                left = self.clean()
        finally:
            if kind or left:
                self.show_stderr()
            shutil.rmtree(self.parent, ignore_errors=True)
        if not kind:
            check(not left, "left behind:", left)

    def clean(self):
        """Ends jobs and daemon. Returns what stayed that should not have; it is then removed by force."""
        self.end_jobs()
        try:
            return self.stop_clean()
        except (AssertionError, OSError) as e:
            return self.force() + [str(e)]

    def stop_clean(self):
        if not self.is_alive():
            self.start()
        if os.path.isdir(self.cgroup):
            with Watch(self.cgroup) as watch:
                watch.until(lambda: not self.job_cgroups(), "the end of all jobs")
        self.ok("detach", "--all")
        status = self.stop()
        return ([f"exit status {status}"] if status else []) + self.force()

    def job_cgroups(self):
        try:
            return [e.name for e in os.scandir(self.cgroup) if e.is_dir()]
        except FileNotFoundError:
            return []

    def force(self):
        left = []
        if self.is_alive():
            left.append("the daemon")
            self.kill()
        if os.path.ismount(f"{self.dir}/bpf"):
            left.append("a mounted bpffs")
            subprocess.run(["umount", "-l", f"{self.dir}/bpf"], check=False)
        if self.cgroup and os.path.isdir(self.cgroup):
            left.append("the cgroup " + self.cgroup)
            for folder, _, _ in os.walk(self.cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        if os.path.exists(f"{self.dir}/bus"):
            left.append("the socket")
        return left


class Follower:
    """The daemon's events from now on, as objects: the stream is open when this is made."""

    def __init__(self, daemon, units=()):
        with Peer(daemon.dir) as peer:
            options = {"lines": ("u", 0), "follow": ("b", True)}
            if units:
                options["units"] = ("as", list(units))
            self.fd = peer.call("OpenEventStream", "a{sv}", options).fds[0]
        self.lines = Lines(self.fd, "the event stream")

    def next(self, **wanted):
        """The next event that has these values."""
        seen = []
        while True:
            try:
                line = self.lines.next()
            except Hang as e:
                raise Hang(f"{e}: {wanted} among {seen}") from None
            check(line is not None, "the stream ended while", wanted, "was waited for")
            event = json.loads(line)
            if all(event.get(k) == v for k, v in wanted.items()):
                return event
            seen.append({k: event[k] for k in ("direction", "protocol", "local", "remote", "rule", "hook", "suppressed")})

    def end(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None


# -- workers --------------------------------------------------------------------------------------------


class WorkerError(AssertionError):
    pass


class Worker:
    """A process that does socket calls on request (worker.py), outside of any job."""

    def __init__(self, net=None, arguments=()):
        inside = ["nsenter", f"--net={net}", "--"] if net else []
        self._spawn([*arguments, *inside, *PYTHON, WORKER], {})

    def _spawn(self, command, options):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent, **options
        )
        self.lines = Lines(self.process.stdout, f"the worker {self.process.pid}")
        self.pid = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def tell(self, op, **arguments):
        """Asks without waiting for the answer."""
        self.process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.lines.next()
        if line is None:
            raise WorkerError(f"the worker ended with {wait_exit(self.process)}")
        answer = json.loads(line)
        if "bug" in answer:
            raise WorkerError(answer["bug"])
        return answer

    def call(self, op, **arguments):
        """The whole answer; a failed call has the name of its errno under "errno"."""
        self.tell(op, **arguments)
        return self.answer()

    def do(self, op, **arguments):
        """A call that has to succeed."""
        answer = self.call(op, **arguments)
        check("errno" not in answer, op, arguments, answer)
        return answer

    def fails(self, error, op, **arguments):
        answer = self.call(op, **arguments)
        equal(answer.get("errno"), error, op, arguments, answer)
        return answer

    def end(self):
        """Closes its input, which ends it, and waits."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if self.process.poll() is None:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        return self.process.returncode


class Job(Worker):
    """A worker inside a job. net: the network namespace that it works in."""

    def __init__(self, daemon, name, *options, net=None, arguments=()):
        self.name = name
        inside = ["nsenter", f"--net={net}", "--"] if net else []
        self._spawn(
            [COMMAND, "--private", daemon.dir, "run", name, *options, "--", *arguments, *inside, *PYTHON, WORKER], {}
        )
        self.pid = self.do("pid")["pid"]


# -- cases ----------------------------------------------------------------------------------------------


class Skip(Exception):
    pass


class _Shared:
    """One daemon for the cases that leave it as it was: a start costs more than most of them."""

    daemon = None

    def __enter__(self):
        if not _Shared.daemon:
            _Shared.daemon = Daemon()
            _Shared.daemon.__enter__()
        return _Shared.daemon

    def __exit__(self, kind, *rest):
        daemon = _Shared.daemon
        try:
            if kind is None:
                daemon.tidy()
                return
        except BaseException:
            kind = AssertionError
            raise
        finally:
            if kind:
                _Shared.daemon = None
                daemon.__exit__(kind, *rest)

    @staticmethod
    def end():
        daemon, _Shared.daemon = _Shared.daemon, None
        if daemon:
            daemon.__exit__(None)


def shared():
    return _Shared()


def _interrupted(number, _frame):
    raise SystemExit(128 + number)


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as f:
        return f.read().split()


def _leaks():
    left = [f"process {pid}" for pid in _children()]
    with open("/proc/self/mounts", encoding="utf-8") as f:
        left += [f"mount {line.split()[1]}" for line in f if "cgpolicy-test-" in line]
    return left + [f"folder {path}" for path in _folders if os.path.exists(path)]


def main(module):
    """Runs the functions named test_* of a module, in their order. Arguments choose among them."""
    cases = [f for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
    chosen = sys.argv[1:]
    cases = [c for c in cases if not chosen or any(word in c.__name__ for word in chosen)]
    print(f"1..{len(cases) + 1}", flush=True)
    if os.geteuid() != 0 or not CGROUP_MOUNT:
        for n in range(1, len(cases) + 2):
            print(f"not ok {n} - needs root and a cgroup2 hierarchy")
        sys.exit(1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupted)
    _private_mounts()
    failed = 0
    for n, case in enumerate(cases, 1):
        name = case.__name__.removeprefix("test_").replace("_", " ")
        try:
            case()
            print(f"ok {n} - {name}", flush=True)
        except Skip as e:
            print(f"ok {n} - {name} # SKIP {e}", flush=True)
        except Exception:  # whatever it was, the case failed
            failed += 1
            print(f"not ok {n} - {name}")
            print("".join(f"#   {line[:1000]}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    left = []
    try:
        _Shared.end()
    except Exception as e:
        left.append(str(e))
    left += _leaks()
    failed += bool(left)
    print(f"{'not ok' if left else 'ok'} {len(cases) + 1} - nothing is left behind")
    for thing in left:
        print(f"#   {thing}")
    sys.exit(failed > 0)
