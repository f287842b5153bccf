# SPDX-License-Identifier: LGPL-2.1-or-later
# Which Debian packages the scripts need, and how they are had. Sourced by bash scripts; changes nothing
# by being sourced. What is installed already is only looked at: then neither root nor a network is needed.
# shellcheck shell=bash disable=SC2034

packages_build=(gcc libc6-dev linux-libc-dev meson ninja-build pkg-config clang bpftool libbpf-dev
        libelf-dev zlib1g-dev libsystemd-dev libjson-c-dev libnl-3-dev libcmocka-dev)
# What the quick start runs beside nginx, which packages_unpack_nginx gets.
packages_run=(curl iproute2 python3 netbase util-linux libssl3 libpcre2-8-0)
packages_tests=(systemd dbus-daemon clang-format shellcheck binutils python3-jsonschema)
# What bench/run compares with and loads servers by.
packages_bench=(nftables wrk)
packages_vm=(qemu-system-x86 busybox-static cpio zstd)

packages_missing() {
        local p
        for p in "$@"; do
                [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
                        echo "$p"
        done
}

packages_as_root() {
        if [ "$(id -u)" -eq 0 ]; then
                "$@"
        elif command -v sudo >/dev/null; then
                sudo "$@"
        else
                echo "need root (or sudo) for: $*" >&2
                return 1
        fi
}

# Runs a command and shows what it said only if it fails.
packages_quietly() {
        local log r=0
        log=$(mktemp)
        "$@" >"$log" 2>&1 </dev/null || r=$?
        [ "$r" -eq 0 ] || { echo "failed: $*" >&2; cat "$log" >&2; }
        rm -f "$log"
        return "$r"
}

packages_update_done=
packages_update() {
        [ -n "$packages_update_done" ] || packages_quietly packages_as_root apt-get -q update
        packages_update_done=1
}

packages_install() {
        local missing
        mapfile -t missing < <(packages_missing "$@")
        [ ${#missing[@]} -eq 0 ] && return
        command -v apt-get >/dev/null || {
                echo "no apt-get here; please install what these Debian packages hold: ${missing[*]}" >&2
                return 1
        }
        echo "installing: ${missing[*]}"
        packages_update
        packages_quietly packages_as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -q -y --no-install-recommends install "${missing[@]}"
}

# Debian's nginx. Installing the package would start a server on port 80 of a host that runs an init
# system, and to prevent that means to change the host (policy-rc.d, a masked unit). The program needs
# nothing of what its maintainer scripts set up, so where it is not installed the package is fetched and
# unpacked into the directory given, and nothing of it is ever configured.
packages_unpack_nginx() {
        local into=$1 work r=0
        [ -x /usr/sbin/nginx ] || [ -x "$into/usr/sbin/nginx" ] && return
        echo "fetching: nginx (unpacked into $into, not installed)"
        packages_update
        work=$(mktemp -d)
        (
                cd "$work"
                # As root: the user that apt would otherwise download as cannot write here, and nobody but root
                # may, since what is unpacked here is run as root.
                packages_quietly apt-get -q -o APT::Sandbox::User=root download nginx || exit 1
                rm -rf "$into.new"
                dpkg -x nginx_*.deb "$into.new"
                rm -rf "$into"
                mv "$into.new" "$into"
        ) || r=$?
        rm -rf "$work"
        return "$r"
}

packages_nginx_path() {
        if [ -x /usr/sbin/nginx ]; then
                echo /usr/sbin/nginx
        else
                echo "$1/usr/sbin/nginx"
        fi
}
