"""Models as contenders: Witgate with either of its runtimes, and ONNX Runtime behind a plain Python server."""

import http.client
import json
import re
import struct
import subprocess
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from . import backend
from .contender import Place
from .load import Request
from .network import ADDRESS, is_listening, unused_ports
from .process import Child

SCRIPTS = Path(__file__).with_name("python")
EXAMPLE = Path(__file__).resolve().parents[3] / "examples/abuse-scoring"
EMBEDDED, ONNX_RUNTIME = "embedded", "ONNX Runtime"
NEEDS = backend.NEEDS
RUNTIMES = (EMBEDDED, ONNX_RUNTIME)
VISITS = 1024
# Numbers in the example's features without its n-grams.
TREE_COLUMNS = 20
# Seconds; loading a large model takes a few.
REQUEST_TIMEOUT = 60


class CheckFailure(Exception):
    """A contender does not answer as it should."""


@dataclass
class Running:
    """A contender that serves."""

    name: str
    child: Child
    port: int
    admin_port: int | None = None
    # What the cases keep of it, by round.
    rounds: list = field(default_factory=list)


class Bench:
    """What all cases have in common: programs, models, ports, options."""

    def __init__(self, directory, programs, options, python, library):
        self.directory, self.programs, self.options = directory, programs, options
        self.python, self.library = python, library
        self.ports = unused_ports()
        self.models = directory / "models"
        self.models.mkdir()
        subprocess.run([python, SCRIPTS / "make_models.py", self.models], check=True)

    def model(self, name):
        return self.models / f"{name}.onnx"

    def witgate(self, name, runtime, sections, core, inference="", threads=1):
        """Starts a gateway with these sections of its configuration behind the common ones."""
        port, admin = next(self.ports), next(self.ports)
        place = self.place(port)
        where = f'runtime = "{self.library}"' if runtime == ONNX_RUNTIME else ""
        text = f"""
[[listeners]]
address = "{ADDRESS}:{port}"
[admin]
address = "{ADDRESS}:{admin}"
[runtime]
threads = {threads}
plugin_cache = "{place.directory}/cache"
[access_log]
output = "off"
[inference]
{where}
{inference}
{sections}"""
        command = [self.options.witgate.resolve(), "run", "-c", place.write("gateway.toml", text)]
        return self.serving(name, command, port, core, admin)

    def python_server(self, name, model, core, processes=1):
        port = next(self.ports)
        command = [self.python, SCRIPTS / "server.py", self.model(model), port, processes]
        return self.serving(name, command, port, core)

    def upstream(self, core):
        """nginx with what `peers.py` has behind its contenders."""
        port = next(self.ports)
        return self.serving("upstream", backend.prepare(self.place(port)), port, core)

    def place(self, port):
        directory = self.directory / f"{port}"
        directory.mkdir()
        return Place(directory, port, port, self.programs, 0)

    def serving(self, name, command, port, core, admin=None):
        child = Child(command, core, self.directory / f"{port}.log")
        try:
            child.wait_until(partial(is_listening, port))
        except BaseException:
            child.stop()
            raise
        return Running(name, child, port, admin)

    def time_runs(self, *runs):
        """Microseconds of processor time of `session.run`, for each (model, rows), in a process of its own."""
        words = [word for model, rows in runs for word in (self.model(model), rows)]
        command = ["taskset", "-c", self.options.cores.proxy, self.python, SCRIPTS / "time_runs.py", *words]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def body(self, name, content):
        path = self.directory / name
        path.write_bytes(content)
        return path


def models_route(*models, prefix="/"):
    """Sections that serve models, each (name, file, further keys), to whoever asks."""
    sections = [f'[models.{name}]\npath = "{path}"\n{keys}' for name, path, keys in models]
    return "\n".join([*sections, f'[[routes]]\nname = "models"\npath_prefix = "{prefix}"\nmodels = "all"\n'])


def visits(bench):
    """Requests for the stage, all different, so that processors do not learn one by heart."""
    words = ("shoes", "blue", "Sean+O%27Connor", "items,customer", "2026-12-01", "a%20b", "42", "x" * 40)
    path = "/{}/{}/{}?q={}&page={}".format
    lines = [path(words[at % 5], words[at // 5 % 7], at, words[at // 3 % 8], at % 97) for at in range(VISITS)]
    paths = bench.body("paths", "\n".join(lines).encode())
    return Request("/search?q=blue+shoes&page=2", (("user-agent", "wrk"),), paths=paths)


def infer_json(bench, model, width):
    """A request in JSON with one row of numbers as clients print them."""
    values = [round((at * 37 % 101) / 101 - 0.5, 6) for at in range(width)]
    tensor = {"name": "x", "shape": [1, width], "datatype": "FP32", "data": values}
    body = bench.body(f"{model}-{width}.json", json.dumps({"inputs": [tensor]}).encode())
    return Request(f"/v2/models/{model}/infer", (("content-type", "application/json"),), body)


def infer_binary(bench, model, width):
    """The same with elements as they are in memory, both ways."""
    values = struct.pack(f"<{width}f", *((at * 37 % 101) / 101 - 0.5 for at in range(width)))
    tensor = {
        **{"name": "x", "shape": [1, width], "datatype": "FP32"},
        "parameters": {"binary_data_size": len(values)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    body = bench.body(f"{model}-{width}.bin", head + values)
    return Request(f"/v2/models/{model}/infer", (("inference-header-content-length", str(len(head))),), body)


def ask(port, request):
    """Sends a request once; raises CheckFailure unless its answer is 200."""
    method, body = ("POST", request.body.read_bytes()) if request.body else ("GET", None)
    status, headers, answer = exchange(port, method, request.path, body, request.headers)
    if status != 200:
        raise CheckFailure(f"{request.path}: expected 200, got {status}: {answer[:300]!r}")
    return headers, answer


def score_of(port, request):
    """The number in the answer of a model with one output of one element, from either form of the protocol."""
    headers, answer = ask(port, request)
    size = headers.get("inference-header-content-length")
    if size is None:
        (score,) = json.loads(answer)["outputs"][0]["data"]
    else:
        (score,) = struct.unpack("<f", answer[int(size) :])
    return score


def exchange(port, method, path, body=None, headers=()):
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=REQUEST_TIMEOUT)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


@dataclass(frozen=True)
class Runs:
    """What a gateway counts of a model."""

    seconds: float = 0
    runs: float = 0
    rows: float = 0

    def __sub__(self, earlier):
        return Runs(self.seconds - earlier.seconds, self.runs - earlier.runs, self.rows - earlier.rows)


def metrics(running):
    _, _, text = exchange(running.admin_port, "GET", "/metrics")
    return text.decode()


def runs(running, model):
    text = metrics(running)

    def figure(name):
        found = re.search(rf'^witgate_model_{name}{{model="{model}"}} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    return Runs(figure("run_seconds_sum"), figure("run_seconds_count"), figure("run_rows_sum"))


def abuse_sections(upstream_port, staged, model=None):
    """The example's sections, with this upstream, and without its stage if it is not wanted.

    `model`: another than the example's, which takes all features but the n-grams, as many as TREE_COLUMNS.
    """
    text = (EXAMPLE / "gateway.toml").read_text()
    text = re.sub(r"\[\[listeners\]\]\naddress = .*\n", "", text)
    text = re.sub(r"endpoints = .*\n", f'endpoints = ["{ADDRESS}:{upstream_port}"]\n', text)
    text = text.replace('path = "abuse.onnx"', f'path = "{model or EXAMPLE / "abuse.onnx"}"')
    if model:
        text = re.sub(r".*\bngrams = .*\n", "", text)
        # Scores of models that were made up mean nothing: nobody is refused.
        text = text.replace("refuse_above = 0.9 ", "refuse_above = 1.0 ")
    if not staged:
        text = re.sub(r"stages = \[\n.*?\n\]\n", "", text, flags=re.DOTALL)
    return text
