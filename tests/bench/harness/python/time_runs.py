"""Times `session.run` in this process; prints microseconds of processor time per run for each `MODEL ROWS` as JSON."""

import json
import sys
import time

import numpy as np
from server import load

SECONDS = 1.0


def main(arguments):
    print(json.dumps([time_runs(path, int(rows)) for path, rows in zip(arguments[::2], arguments[1::2])]))


def time_runs(path, rows):
    session = load(path)
    width = session.get_inputs()[0].shape[1]
    inputs = {"x": np.full((rows, width), 0.5, np.float32)}
    for _ in range(3):
        session.run(["y"], inputs)
    runs, begun, started = 0, time.process_time(), time.monotonic()
    while time.monotonic() - started < SECONDS:
        session.run(["y"], inputs)
        runs += 1
    return (time.process_time() - begun) / runs * 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
