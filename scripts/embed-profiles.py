#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the shipped profiles into a C file, so that the daemon and the command have them built in.

usage: embed-profiles.py OUTPUT PROFILE.json...
"""
import pathlib
import sys

ESCAPES = {'"': '\\"', '\\': '\\\\', '\n': '\\n'}


def literal(text):
    """A C string; octal escapes, because they end after three digits whatever follows."""
    return '"' + ''.join(
        ESCAPES.get(c) or (c if ' ' <= c <= '~' else ''.join(f'\\{b:03o}' for b in c.encode()))
        for c in text) + '"'


def main(output, *inputs):
    profiles = {pathlib.Path(p).stem: pathlib.Path(p).read_text(encoding='utf-8') for p in inputs}
    lines = ['/* Made from policies/profiles by scripts/embed-profiles.py. */',
             '#include "policy/profile.h"',
             '',
             'const char *const policy_builtin_profiles[] = {']
    lines += [f'        {literal(name)},' for name in sorted(profiles)]
    lines += ['        NULL,', '};', '', 'const char *const policy_builtin_texts[] = {']
    for name in sorted(profiles):
        lines += [f'        {literal(line)}' for line in profiles[name].splitlines(keepends=True)]
        lines[-1] += ','
    lines += ['};', '']
    pathlib.Path(output).write_text('\n'.join(lines), encoding='utf-8')


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
