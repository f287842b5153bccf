#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The policy library opens no file, reads no clock, logs nothing and knows neither kernel nor bus: held
# against the symbols that it asks the linker for.
# usage: purity.sh LIBPOLICY.A
set -eu
echo 1..2

symbols=$(nm -u "$1" | awk '$1 == "U" { print $2 }' | sort -u)

# An empty answer would pass for the wrong reason.
if printf '%s\n' "$symbols" | grep -qx 'malloc\|calloc\|free'; then
        echo "ok 1 - the library was read"
else
        echo "not ok 1 - the library was read"
        echo "#   $1 asks for no memory: is it the policy library?"
fi

forbidden='open|openat|fopen|fdopen|freopen|opendir|creat|read|pread|readv|fread|getline|write|pwrite|writev'
forbidden="$forbidden|fputs|puts|putchar|printf|vprintf|perror|socket|connect|bind|sendto|recv|recvfrom"
forbidden="$forbidden|getservbyname(_r)?|getaddrinfo|if_nametoindex|stat|lstat|access|unlink|rename|mmap"
forbidden="$forbidden|clock_gettime|gettimeofday|time|localtime(_r)?|getenv|secure_getenv|getpid|getuid"
forbidden="$forbidden|rand|random|getrandom|syslog|vsyslog|system|fork|execve|exit|_exit|abort|syscall|ioctl"
if bad=$(printf '%s\n' "$symbols" | grep -Ex "((__)?($forbidden)(64)?(_chk)?|(bpf|sd|log|nl)_.*)"); then
        echo "not ok 2 - the policy library is pure"
        printf '%s\n' "$bad" | sed 's/^/#   asks for /'
        exit 1
fi
echo "ok 2 - the policy library is pure"
