#!/usr/bin/env python3
"""Measures Witgate and its peers side by side on loopback; see README.md for the method and the contracts."""

import argparse
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

from harness import backend, envoy, haproxy, install, nginx, report, witgate
from harness.contender import CASES
from harness.process import Cores
from harness.session import Session

ROOT = Path(__file__).resolve().parents[2]


def main():
    options = parse_options()
    # The way out of a Ctrl-C is also the way out of a termination: children end, the run directory goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    contenders = chosen(options)
    if not contenders:
        sys.exit("no contender is left; see --cases, --only and --witgate")
    programs = install.ensure(backend.NEEDS | set().union(*(c.needs for c in contenders)), options.cache)
    with tempfile.TemporaryDirectory(prefix="witgate-peers-") as directory:
        session = Session(Path(directory), programs, options)
        print(report.environment_text(session.environment), flush=True)
        rows, failures = session.run(contenders)
    if options.json:
        options.json.write_text(report.as_json(session.environment, rows, failures))
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


def chosen(options):
    """The contenders that the options ask for, in the order they are reported in."""
    everyone = nginx.CONTENDERS + haproxy.CONTENDERS + envoy.CONTENDERS
    if options.witgate:
        everyone += witgate.contenders("witgate", options.witgate, options.plugins, options.guests)
    if options.before:
        everyone += witgate.contenders("before", options.before, options.plugins, options.guests)
    return [c for case in options.cases for c in everyone if c.case == case and options.only.search(c.name)]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=cases, default=CASES, help=f"comma-separated: {','.join(CASES)} (default: all)")
    parser.add_argument("--rounds", type=positive, default=3, help="measurements of each contender (default: 3)")
    parser.add_argument("--secs", type=positive, default=8, help="seconds of one measurement (default: 8)")
    parser.add_argument("--connections", type=positive, default=64, help="connections that wrk opens (default: 64)")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), metavar="REGEX", help="contenders by name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE")
    available = sorted(os.sched_getaffinity(0))
    parser.add_argument("--proxy-core", type=int, default=available[0], help="core of the contender (default: first)")
    parser.add_argument(
        "--load-core", type=int, default=available[-1], help="core of load and upstream (default: last)"
    )
    parser.add_argument("--witgate", type=Path, metavar="BINARY", help="measure this build of Witgate too")
    parser.add_argument("--before", type=Path, metavar="BINARY", help="and an earlier build, to compare with")
    wasm = "target/wasm32-wasip2/release"
    parser.add_argument("--plugins", type=Path, default=ROOT / "plugins" / wasm, help="Witgate's plugins")
    parser.add_argument("--guests", type=Path, default=ROOT / "tests/guests" / wasm, help="Witgate's test guests")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where downloaded peers are kept")
    options = parser.parse_args()
    for core in (options.proxy_core, options.load_core):
        if core not in available:
            parser.error(f"core {core} is not among the usable ones: {available}")
    for binary in (options.witgate, options.before):
        if binary and not binary.is_file():
            parser.error(f"{binary} is no file")
    options.cores = Cores(options.proxy_core, options.load_core)
    return options


def cases(text):
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    return names


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def default_cache():
    # Not in `witgate`, which the gateway keeps compiled plugins in and wants for itself alone.
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "witgate-peers"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except install.Unavailable as problem:
        sys.exit(f"error: {problem}")
