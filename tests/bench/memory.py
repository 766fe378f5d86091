#!/usr/bin/env python3
"""Whether the gateway's memory stays flat while scripts are reloaded and serve; see README.md."""

import argparse
import os
import re
import sys
import tempfile
import threading
import urllib.request
from functools import partial
from pathlib import Path

from harness import install, load
from harness.network import ADDRESS, is_listening, unused_ports
from harness.process import Child

# Each request leaves something for the collector, in the VM and outside of it, and every fourth one waits.
SCRIPT = """
local count = ngx.shared.counts:incr("requests", 1, 0)
ngx.ctx.words = { "version", VERSION, count }
if count % 4 == 0 then ngx.sleep(0) end
if count % 64 == 0 then ngx.timer.at(0, function() ngx.shared.counts:set("timer", count) end) end
local found = ngx.re.match(ngx.var.uri, [[^/(\\w+)]], "jo")
ngx.header["x-version"] = VERSION
ngx.say(table.concat(ngx.ctx.words, " "), " ", found[1], " ", ngx.md5(tostring(count)))
"""
LOG_LINES = 40
MODULE = 'return { version = VERSION, filler = ("x"):rep(4096) }\n'


def main():
    options = parse_options()
    programs = install.ensure({"wrk"}, Path("unused"))
    with tempfile.TemporaryDirectory(prefix="witgate-memory-") as directory:
        directory = Path(directory)
        ports = unused_ports()
        port, admin = next(ports), next(ports)
        write(directory, port, admin, 0)
        command = [options.witgate.resolve(), "run", "-c", directory / "gateway.toml"]
        everywhere = os.sched_getaffinity(0)
        with Child(command, everywhere, directory / "log") as child:
            child.wait_until(partial(is_listening, port))
            watch = partial(figures, child, admin)
            print("| after | resident MiB | requests | errors | reloads in force |\n|---|---:|---:|---:|---:|", flush=True)
            print(watch("the start", 0, 0), flush=True)
            requests, errors = reload_often(options, directory, port, admin, watch, programs["wrk"], everywhere)
            while requests < options.requests:
                seen = load.run(programs["wrk"], port, options.secs, 64, everywhere)
                requests, errors = requests + seen.requests, errors + seen.errors
                print(watch("requests", requests, errors), flush=True)
        if errors:
            print(f"the end of the gateway's log:\n{tail(directory / 'log')}", file=sys.stderr)
    sys.exit(1 if errors else 0)


def tail(log):
    """What a log has to say of requests that failed: reloads are most of it."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in lines if "reload" not in line][-LOG_LINES:])


def reload_often(options, directory, port, admin, watch, wrk, cores):
    """Changes script and module again and again under load."""
    requests = errors = 0
    done = threading.Event()

    def keep_asking():
        nonlocal requests, errors
        while not done.is_set():
            seen = load.run(wrk, port, 2, 16, cores)
            requests, errors = requests + seen.requests, errors + seen.errors

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        for version in range(1, options.reloads + 1):
            write(directory, port, admin, version)
            reload(admin)
            if (answered := asked(port)) != f"{version}":
                sys.exit(f"error: version {answered} answers after the reload with version {version}")
            if version % max(options.reloads // 10, 1) == 0:
                print(watch(f"{version} reloads", requests, errors), flush=True)
    finally:
        done.set()
        asking.join()
    return requests, errors


def write(directory, port, admin, version):
    """The configuration, and the files that it names, of that version."""
    (directory / "lua").mkdir(exist_ok=True)
    replace(directory / "lua/words.lua", MODULE.replace("VERSION", str(version)))
    replace(directory / "content.lua", f'local VERSION = require("words").version -- {version}{SCRIPT}')
    configuration = directory / "gateway.toml"
    if not configuration.exists():
        replace(
            configuration,
            f"""
[[listeners]]
address = "{ADDRESS}:{port}"
[admin]
address = "{ADDRESS}:{admin}"
[access_log]
output = "off"
[shared_dicts.counts]
size = "1MiB"
[lua.words]
path = ["lua"]
grants = ["shared:counts"]
[scripts.words]
lua = "words"
content_file = "content.lua"
[[routes]]
name = "all"
path_prefix = "/"
stages = [{{ script = "words" }}]
""",
        )


def replace(path, text):
    """Writes a file in one step: the gateway watches, and would serve half of one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def asked(port):
    """The version that answers."""
    with urllib.request.urlopen(f"http://{ADDRESS}:{port}/version", timeout=10) as answer:
        return answer.headers["x-version"]


def reload(admin):
    """Returns when the new generation serves."""
    request = urllib.request.Request(f"http://{ADDRESS}:{admin}/reload", method="POST")
    urllib.request.urlopen(request, timeout=30).close()


def figures(child, admin, moment, requests, errors):
    with urllib.request.urlopen(f"http://{ADDRESS}:{admin}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    swapped = re.search(r'^witgate_reloads_total\{outcome="swapped"\} (\d+)', metrics, re.MULTILINE)
    swapped = swapped[1] if swapped else 0
    return f"| {moment} | {child.memory() / 2**20:.1f} | {requests} | {errors} | {swapped} |"


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--witgate", type=Path, required=True, metavar="BINARY", help="the build to watch")
    parser.add_argument("--reloads", type=int, default=10_000, help="changes of the script (default: 10000)")
    parser.add_argument("--requests", type=int, default=10_000_000, help="requests in all (default: 10000000)")
    parser.add_argument("--secs", type=int, default=30, help="seconds between two figures (default: 30)")
    options = parser.parse_args()
    if not options.witgate.is_file():
        parser.error(f"{options.witgate} is no file")
    return options


if __name__ == "__main__":
    main()
