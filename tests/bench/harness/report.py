"""Figures, as Markdown for people and as JSON for programs."""

import dataclasses
import json
import os
import platform
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .load import Load
from .process import Child, ProcessorTime


@dataclass(frozen=True)
class Measurement:
    """One round of one contender."""

    load: Load
    processor_time: ProcessorTime

    @property
    def cpu_per_100k(self):
        """CPU-seconds per 100 000 requests: 1.00 are 10 us per request."""
        return self.processor_time.running / max(self.load.requests, 1) * 100_000

    @property
    def waiting_share(self):
        """Part of its time that the contender was ready to run and did not have its core: near 0 on a quiet machine."""
        time = self.processor_time
        return time.waiting / max(time.running + time.waiting, 1e-9)


@dataclass
class Row:
    """A contender and what was measured of it."""

    case: str
    name: str
    child: Child
    port: int
    measurements: list = field(default_factory=list)
    peak_memory: int = 0

    def median(self, figure):
        return median(figure(measurement) for measurement in self.measurements)

    @property
    def cpu_per_100k(self):
        return self.median(lambda m: m.cpu_per_100k)

    @property
    def errors(self):
        return sum(m.load.errors for m in self.measurements)


COLUMNS = (
    *("contender", "requests/s", "p50 us", "p99 us"),
    *("CPU-s/100k (min-max)", "to first", "waited", "peak RSS MiB", "errors"),
)


def table(case, rows):
    """Medians over the rounds; for CPU time also the extremes. The first contender is what the others relate to."""
    lines = ["", f"## {case}", cells(COLUMNS), cells(["---"] + ["---:"] * (len(COLUMNS) - 1))]
    for row in rows:
        costs = [m.cpu_per_100k for m in row.measurements]
        lines.append(
            cells(
                [
                    row.name,
                    f"{row.median(lambda m: m.load.requests_per_second):.0f}",
                    f"{row.median(lambda m: m.load.p50_us):.0f}",
                    f"{row.median(lambda m: m.load.p99_us):.0f}",
                    f"{row.cpu_per_100k:.2f} ({min(costs):.2f}-{max(costs):.2f})",
                    relation(case, row, rows),
                    f"{row.median(lambda m: m.waiting_share):.0%}",
                    f"{row.peak_memory / 2**20:.1f}",
                    row.errors,
                ]
            )
        )
    return "\n".join(lines)


def cells(values):
    return f"| {' | '.join(str(value) for value in values)} |"


def relation(case, row, rows):
    """How much more CPU than the first: a factor between products, microseconds per request for stages. Scripts are compared
    with the same product without one: by the median of the differences within each round."""
    first = rows[0]
    if case == "scripts":
        first = next(other for other in rows if other.name == row.name.removesuffix(" Lua"))
        pairs = zip(row.measurements, first.measurements)
        return f"{median(m.cpu_per_100k - other.cpu_per_100k for m, other in pairs) * 10:+.1f} us"
    if case == "stages":
        return f"{(row.cpu_per_100k - first.cpu_per_100k) * 10:+.1f} us"
    return f"{row.cpu_per_100k / first.cpu_per_100k:.2f}x"


def as_json(environment, rows, failures):
    """Everything, round by round."""
    return json.dumps(
        {
            "environment": environment,
            "contenders": [
                {
                    "case": row.case,
                    "name": row.name,
                    "cpu_seconds_per_100k": row.cpu_per_100k,
                    "peak_memory_bytes": row.peak_memory,
                    "rounds": [
                        {
                            **dataclasses.asdict(m.load),
                            "cpu_seconds": m.processor_time.running,
                            "cpu_seconds_per_100k": m.cpu_per_100k,
                            "waiting_share": m.waiting_share,
                        }
                        for m in row.measurements
                    ],
                }
                for row in rows
            ],
            "failures": failures,
        },
        indent=1,
    )


VERSION_OPTIONS = {"nginx": "-v", "haproxy": "-v", "envoy": "--version", "wrk": "-v"}


def environment(programs, options):
    """What the figures depend on besides the contenders."""
    processor = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    versions = {name: version(programs[name], option) for name, option in VERSION_OPTIONS.items() if name in programs}
    if options.witgate:
        versions["witgate"] = version(options.witgate.resolve(), "--version")
    return {
        "processor": processor[1] if processor else platform.machine(),
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
        "cores": dataclasses.asdict(options.cores),
        "rounds": options.rounds,
        "seconds": options.secs,
        "connections": options.connections,
        "versions": versions,
    }


def version(program, option):
    """The first line with a number in it; wrk's status is 1 even then."""
    done = subprocess.run([program, option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    line = next((line for line in done.stdout.splitlines() if re.search(r"\d", line)), "?")
    return line.replace(str(program), "").strip()


def environment_text(environment):
    e = environment
    lines = [
        f"{e['processor']}, {e['processors']} processors, Linux {e['kernel']}, load average {e['load_average']:.2f}",
        f"Proxy on core {e['cores']['proxy']}; wrk and upstream on core {e['cores']['load']}. {e['connections']}"
        f" connections, {e['rounds']} rounds of {e['seconds']} s, interleaved.",
        *(f"- {name}: {text}" for name, text in e["versions"].items()),
    ]
    return "\n".join(lines)
