"""The load: wrk, one thread, on a core that it shares with the upstream."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .contender import KEY, KEY_HEADER
from .network import ADDRESS
from .process import on_core

SCRIPT = Path(__file__).with_name("wrk_report.lua")


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw."""

    requests: int
    requests_per_second: float
    p50_us: float
    p99_us: float
    # Answers with another status than 2xx or 3xx, broken connections and time-outs: there should be none.
    errors: int


@dataclass(frozen=True)
class Request:
    """What is sent again and again; with a body, it is a POST."""

    path: str = "/x"
    headers: tuple = ((KEY_HEADER, KEY),)
    # A file.
    body: Path | None = None
    # A file of further paths, one a line, which take turns in the place of `path`.
    paths: Path | None = None
    # Milliseconds that a connection waits before each request: with it, the load is about the same whatever
    # is measured.
    pause: int = 0
    # Seconds after which an answer counts as an error; 2 are what wrk has by itself.
    patience: int = 2


def run(wrk, port, seconds, connections, core, request=Request()):
    """Sends as much as `connections` kept-alive connections can, for `seconds`. `core`: one, or a set."""
    fields = [word for name, value in request.headers for word in ("-H", f"{name}: {value}")]
    command = [
        wrk,
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        f"{request.patience}s",
        *fields,
        "-s",
        SCRIPT,
    ]
    done = subprocess.run(
        [str(word) for word in [*command, f"http://{ADDRESS}:{port}{request.path}"]],
        env={
            **os.environ,
            **{"LOAD_BODY": str(request.body or ""), "LOAD_PATHS": str(request.paths or "")},
            "LOAD_PAUSE": str(request.pause),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
        start_new_session=True,
        preexec_fn=on_core(core),
    )
    # After wrk's own words.
    return Load(**json.loads(done.stdout.splitlines()[-1]))
