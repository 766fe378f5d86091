"""One run of the harness: starts, checks, measures in interleaved rounds, reports."""

import subprocess
from contextlib import ExitStack
from functools import partial

from . import backend, check, load, redis, report
from .contender import RATE_NEVER_REACHED, RATE_REACHED_AT_ONCE, Place
from .network import is_listening, unused_ports
from .process import Child, StartFailure

WARM_UP_SECONDS = 1
# A contender with one of these is left out, and the run goes on without it.
FAULTS = (StartFailure, check.CheckFailure, subprocess.SubprocessError, OSError)


class Session:
    """What the contenders of a run have in common: upstream, load, ports, options."""

    def __init__(self, directory, programs, options):
        self.directory = directory
        self.programs = programs
        self.options = options
        self.ports = unused_ports()
        self.upstream_port = next(self.ports)
        self.redis_port = None
        self.environment = report.environment(programs, options)

    def run(self, contenders):
        """Measures all contenders; returns rows and the failures of those that could not be measured."""
        rows, failures = [], []
        with ExitStack() as services:
            services.enter_context(self.started(self.upstream_port, backend.prepare, self.options.cores.load))
            if any(redis.NEEDS & contender.needs for contender in contenders):
                self.redis_port = next(self.ports)
                services.enter_context(self.started(self.redis_port, redis.prepare, self.options.cores.load))
                redis.fill(self.redis_port)
            direct = self.load(self.upstream_port, WARM_UP_SECONDS)
            print(f"Without any proxy: {direct.requests_per_second:.0f} requests/s.", flush=True)
            for case in dict.fromkeys(contender.case for contender in contenders):
                case_rows, case_failures = self.run_case([c for c in contenders if c.case == case])
                rows += case_rows
                failures += case_failures
                if case_rows:
                    print(report.table(case, case_rows), flush=True)
        return rows, failures

    def run_case(self, contenders):
        rows, failures = [], []

        def attempt(contender, step, *arguments):
            """The result of a step; none if it failed, which is then on record."""
            try:
                return step(*arguments)
            except FAULTS as fault:
                failures.append(f"{contender.case}/{contender.name}: {fault}")
                return None

        with ExitStack() as running:
            for contender in contenders:
                row = attempt(contender, self.start_checked, contender, running)
                if row and attempt(row, self.load, row.port, WARM_UP_SECONDS):
                    rows.append(row)
            for _ in range(self.options.rounds):
                # A row that fails in one round is not tried in the next.
                rows = [row for row in rows if attempt(row, self.measure, row)]
            for row in rows:
                row.peak_memory = row.child.peak_memory()
                if row.errors:
                    failures.append(f"{row.case}/{row.name}: {row.errors} requests failed under load")
        return rows, failures

    def start_checked(self, contender, running):
        """Starts a contender, to be stopped with `running`, and makes sure that it does what it is measured for."""
        if "limit" in contender.contracts:
            port = next(self.ports)
            with self.started(port, contender.prepare, rate=RATE_REACHED_AT_ONCE):
                check.check_limit(port)
        port = next(self.ports)
        with ExitStack() as until_checked:
            child = until_checked.enter_context(self.started(port, contender.prepare))
            if "redis" in contender.contracts:
                check.check_redis(port)
            else:
                check.check_forwarding(port)
            if "auth" in contender.contracts:
                check.check_auth(port)
            running.push(until_checked.pop_all())
        return report.Row(contender.case, contender.name, child, port)

    def started(self, port, prepare, core=None, rate=RATE_NEVER_REACHED):
        """A child that listens on `port`."""
        directory = self.directory / f"{port}"
        directory.mkdir()
        command = prepare(Place(directory, port, self.upstream_port, self.programs, rate, self.redis_port))
        child = Child(command, self.options.cores.proxy if core is None else core, directory / "log")
        try:
            child.wait_until(partial(is_listening, port))
        except BaseException:
            child.stop()
            raise
        return child

    def measure(self, row):
        """One round of one contender."""
        before = row.child.processor_time()
        seen = self.load(row.port, self.options.secs)
        measurement = report.Measurement(seen, row.child.processor_time() - before)
        row.measurements.append(measurement)
        return measurement

    def load(self, port, seconds):
        return load.run(self.programs["wrk"], port, seconds, self.options.connections, self.options.cores.load)
