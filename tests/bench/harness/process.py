"""Child processes on a core of their own, and what they cost."""

import ctypes
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 5
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Cores:
    """The contender has one core, the upstream and the load generator share another."""

    proxy: int
    load: int


@dataclass(frozen=True)
class ProcessorTime:
    """Seconds, to the nanosecond."""

    # On a processor.
    running: float
    # Ready to run, while the processor was somebody else's.
    waiting: float

    def __sub__(self, earlier):
        return ProcessorTime(self.running - earlier.running, self.waiting - earlier.waiting)


def on_core(core):
    """Runs in a child before its program: pins it to a core or some, and ends it with this process however that ends."""
    cores = {core} if isinstance(core, int) else core

    def prepare():
        os.sched_setaffinity(0, cores)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


class StartFailure(Exception):
    """A child ended, or did not listen, before it was ready; says so with the end of its log."""


class Child:
    """A running program with all its descendants. Use as a context: it is stopped at the end."""

    def __init__(self, command, core, log):
        self.log = log
        with open(log, "wb") as output:
            # A session of its own, so that Ctrl-C reaches this process alone, which then ends the children in order.
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=on_core(core),
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until(self, is_ready):
        """Returns when `is_ready()` holds; raises StartFailure if that takes too long or the program ends."""
        end = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            if is_ready():
                return
            time.sleep(0.05)
        ended = self.process.poll()
        what = f"ended with status {ended}" if ended is not None else f"was not ready after {START_SECONDS} s"
        raise StartFailure(f"{what}\n{self.log_end()}")

    def log_end(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])

    def stop(self):
        """Asks the program to end, then ends whatever is left of its tree."""
        tree = self.tree()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in tree[1:]:
            self.kill(pid)

    def kill(self, pid):
        """Ends a descendant, unless its id has become somebody else's: the session is this child's alone."""
        try:
            if os.getsid(pid) == self.process.pid:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def tree(self):
        """Ids of the program's process and its descendants."""
        children = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                # After the name, which may hold anything: state, then the parent's id.
                parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(stat.parent.name))
        tree = [self.process.pid]
        for pid in tree:
            tree.extend(children.get(pid, []))
        return tree

    def processor_time(self):
        """What all threads of the tree have spent so far; threads that have ended are not in it."""
        running = waiting = 0
        for pid in self.tree():
            for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    times = schedstat.read_text().split()
                except OSError:
                    continue
                running += int(times[0])
                waiting += int(times[1])
        return ProcessorTime(running / 1e9, waiting / 1e9)

    def memory(self):
        """Resident size of the program's first process, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        resident = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        return int(resident[1]) * 1024

    def peak_memory(self):
        """Sum of the largest resident sizes that the processes of the tree have had, in bytes."""
        total = 0
        for pid in self.tree():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
            total += int(peak[1]) * 1024 if peak else 0
        return total
