# SPDX-License-Identifier: LGPL-2.1-or-later
"""As much of a shell as job control takes: runs one command in the foreground of the terminal that is its
standard input, tells on descriptor 3 what becomes of it, and continues it when told to on descriptor 4."""

import os
import signal
import sys


def tell(text):
    os.write(3, text.encode() + b"\n")


signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.closerange(3, 256)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED | os.WCONTINUED)
    if os.WIFSTOPPED(status):
        os.tcsetpgrp(0, os.getpgrp())
        tell(f"stopped {os.WSTOPSIG(status)}")
        if not os.read(4, 100):
            break
        os.tcsetpgrp(0, pid)
        os.killpg(pid, signal.SIGCONT)
    elif os.WIFCONTINUED(status):
        tell("continued")
    else:
        tell(f"exited {os.waitstatus_to_exitcode(status)}")
        break
