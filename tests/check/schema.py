#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The schema of policy files against the corpus that the reader is held to: what the reader takes the schema
takes, and what is wrong in a way that a schema can say it refuses."""

import json
import sys

from check import Tap, files, read

try:
    from jsonschema import Draft202012Validator
except ImportError:
    print("1..0 # SKIP python3-jsonschema is not installed")
    sys.exit(0)

SCHEMA = "policies/policy.schema.json"
# What only the reader knows: the grammar of rules and addresses, and what concerns two rules.
READER_ONLY = {
    "bad-address",
    "bad-interface",
    "bad-list",
    "bad-network",
    "bad-port",
    "bad-prefix",
    "bad-protocol",
    "bad-range",
    "direction-conflict",
    "duplicate-id",
    "empty-rule",
    "host-bits",
    "host-name",
    "missing-direction",
    "missing-interface",
    "missing-peer",
    "ports-not-allowed",
    "service-lookup",
    "too-many-ports",
    "unexpected-word",
    "unknown-peer",
    "unknown-protocol",
    "unknown-service",
    "unknown-verdict",
}


def no_duplicates(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def no_constant(name):
    raise ValueError(name)


def parse(path):
    """The document, or None if it is not the JSON that the reader asks for; that is tested elsewhere."""
    try:
        with open(path, "rb") as f:
            text = f.read().decode("utf-8")
        return json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return None


def is_json_error(codes):
    return any(code.startswith("json-") for code in codes)


def diagnosed(path):
    """The codes that the reader reports for a file that it refuses."""
    lines = read(path.removesuffix(".json") + ".diag").splitlines()[1:]
    return {line.rsplit("[", 1)[1].rstrip("]") for line in lines}


def main():
    tap = Tap()
    schema = json.loads(read(SCHEMA))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    accepted = files("*.json", under="tests/data/policies/accepted/") + files("*.json", under="policies/profiles/")
    rejected = files("*.json", under="tests/data/policies/rejected/")

    problems = []
    for path in accepted:
        problems += [f"{path}: {e.json_path}: {e.message}" for e in validator.iter_errors(json.loads(read(path)))]
    tap.case(f"takes {len(accepted)} files that the reader takes", problems)

    problems = []
    n_refused = 0
    for path in rejected:
        document, codes = parse(path), diagnosed(path)
        if document is None or is_json_error(codes):
            continue
        if not validator.is_valid(document):
            n_refused += 1
        elif not codes <= READER_ONLY:
            problems.append(f"{path}: refused by the reader for {sorted(codes - READER_ONLY)}")
    if n_refused < 20:
        problems.append(f"only {n_refused} files of the corpus put the schema to the test")
    tap.case(f"refuses {n_refused} files that the reader refuses", problems)
    tap.done()


main()
