#!/usr/bin/env python3
"""Measures what models cost in Witgate, beside ONNX Runtime behind a plain Python server; see README.md, Models."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from threading import Event

from harness import inference, install, load, report, trees
from harness.inference import EMBEDDED, ONNX_RUNTIME, RUNTIMES, CheckFailure
from harness.process import Child, Cores
from peers import default_cache, positive

WARM_UP_SECONDS = 1
# Of 31 leaves, in the case `stage`.
TREES = 300
PYTHON = "Python onnxruntime, uvicorn"


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    programs = install.ensure(inference.NEEDS, options.cache)
    python, library = install.ensure_python(options.cache)
    figures, failures = {}, []
    with tempfile.TemporaryDirectory(prefix="witgate-inference-") as directory:
        print(report.environment_text(report.environment(programs, options)), flush=True)
        print(f"- onnxruntime: {install.RUNTIME_VERSION}, the same library in both", flush=True)
        bench = inference.Bench(Path(directory), programs, options, python, library)
        for case in options.cases:
            with ExitStack() as running:
                figures[case], failed = CASES[case](bench, running)
            failures += [f"{case}: {failure}" for failure in failed]
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "failures": failures}, indent=1))
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


# Each case prints its table, and returns what it measured and what failed.


def score64(bench, running):
    """One row of 64 numbers: what an answer costs besides the run."""
    cores = bench.options.cores
    (alone,) = bench.time_runs(("score64", 1))
    route = inference.models_route(("score64", bench.model("score64"), ""))
    contenders = [bench.witgate(f"Witgate, {name}", name, route, cores.proxy) for name in RUNTIMES]
    contenders.append(bench.python_server(PYTHON, "score64", cores.proxy))
    upstream = enter(running, [*contenders, bench.upstream(cores.load)])[-1]
    plain = bench.witgate("Witgate, plain route, no model", EMBEDDED, plain_route(upstream.port), cores.proxy)
    enter(running, [plain])
    forms = {
        "JSON": inference.infer_json(bench, "score64", 64),
        "binary": inference.infer_binary(bench, "score64", 64),
    }
    check_agreement(contenders, forms.values())
    works = [(contender, form, request) for form, request in forms.items() for contender in contenders]
    works.append((plain, "", load.Request()))
    rows = interleave(bench, works, model="score64")
    head = (
        "contender",
        "form",
        "requests/s",
        "p99 us",
        "CPU us/request (min-max)",
        "run us",
        "over session.run",
        "waited",
    )
    table = [
        (
            *(name, form, f"{middle(seen, 'rate'):.0f}", f"{middle(seen, 'p99'):.0f}", spread(seen, "cpu")),
            f"{least(seen, 'run'):.1f}" if least(seen, "run") else "",
            f"{middle(seen, 'cpu') - alone:+.1f}" if form else "",
            f"{middle(seen, 'waited'):.0%}",
        )
        for (name, form), seen in rows.items()
    ]
    show("score64", f"`session.run` alone, from Python: {alone:.1f} us.", head, table)
    return {"session_run_us": alone, "rows": labelled(rows)}, errors_of(rows)


def workers(bench, running):
    """A model of 1 ms on threads of its own: how throughput grows with them."""
    (alone,) = bench.time_runs(("millisecond", 1))
    everywhere = cores_of(bench)
    contenders = []
    for name in RUNTIMES:
        for count in (1, 2):
            keys = f'inline_within = "never"\nconcurrency_limit = {count}'
            route = inference.models_route(("millisecond", bench.model("millisecond"), keys))
            title = f"Witgate, {name}, {count}"
            contenders.append(bench.witgate(title, name, route, everywhere, inference=f"threads = {count}"))
    for count in (1, 2):
        contenders.append(bench.python_server(f"{PYTHON}, {count}", "millisecond", everywhere, processes=count))
    enter(running, contenders)
    request = inference.infer_json(bench, "millisecond", 1)
    check_agreement(contenders, [request], tolerance=0.01)
    rows = interleave(bench, [(c, "", request) for c in contenders], model="millisecond", core=everywhere)
    names, rates = [c.name for c in contenders], [middle(seen, "rate") for seen in rows.values()]
    table = [
        (
            name,
            f"{rate:.0f}",
            f"{rate / rates[at - at % 2]:.2f}x",
            f"{least(seen, 'run'):.0f}" if least(seen, "run") else "",
        )
        for at, (name, rate, seen) in enumerate(zip(names, rates, rows.values()))
    ]
    head = ("contender, workers", "requests/s", "to one worker", "run us")
    show("workers", f"`session.run` alone, from Python: {alone:.0f} us.", head, table)
    return {"session_run_us": alone, "rows": labelled(rows)}, errors_of(rows)


def batching(bench, running):
    """A model that gains from rows beside each other, asked for one row at a time by 64 clients."""
    everywhere = cores_of(bench)
    contenders = []
    ways = {
        "off": "",
        "32 rows, those that wait anyway": "batching = { rows = 32 }",
        "32 rows, wait 2 ms": 'batching = { rows = 32, wait = "2ms" }',
    }
    for name in RUNTIMES:
        for way, keys in ways.items():
            keys = f'inline_within = "never"\n{keys}'
            route = inference.models_route(("wide", bench.model("wide"), keys))
            title = f"Witgate, {name}, {way}"
            contenders.append(bench.witgate(title, name, route, everywhere, inference="threads = 1"))
    contenders.append(bench.python_server(PYTHON, "wide", everywhere))
    enter(running, contenders)
    request = inference.infer_binary(bench, "wide", 64)
    check_agreement(contenders, [request])
    rows = interleave(bench, [(c, "", request) for c in contenders], model="wide", core=everywhere)
    rows_seen = [middle(seen, "rows") for seen in rows.values()]
    sizes = sorted({max(1, round(size)) for size in rows_seen})
    alone = dict(zip(sizes, bench.time_runs(*(("wide", size) for size in sizes))))
    table, first, one_row = [], None, None
    for (name, _), seen, size in zip(rows, rows.values(), rows_seen):
        rate, off = middle(seen, "rate"), name.endswith(", off")
        first = rate if off else first
        one_row = seen if off else one_row
        # By what the gateway counts: the embedded runtime is not to be had alone.
        counted = least(one_row, "run") * size / max(least(seen, "run"), 1)
        alike = alone[1] * round(size) / alone[max(1, round(size))]
        gain, own = rate / first, counted if EMBEDDED in name else alike
        in_batches = not off and name != PYTHON
        table.append(
            (
                *(name, f"{rate:.0f}", f"{middle(seen, 'p99') / 1000:.1f}", f"{size:.1f}"),
                f"{gain:.2f}x" if in_batches else "",
                f"{own:.2f}x" if in_batches else "",
                f"{gain / own:.0%}" if in_batches else "",
            )
        )
    head = ("contender", "requests/s", "p99 ms", "rows of a run", "gain", "the runtime's own", "reached")
    runs = ", ".join(f"{size} rows {time:.0f} us" for size, time in alone.items())
    show("batching", f"`session.run` alone, from Python: {runs}.", head, table)
    return {"session_run_us": alone, "rows": labelled(rows)}, errors_of(rows)


def stage(bench, running):
    """The stage of examples/abuse-scoring on a plain route, the same with trees, and the route without it."""
    cores = bench.options.cores
    (upstream,) = enter(running, [bench.upstream(cores.load)])
    contenders = [
        bench.witgate("no stage", EMBEDDED, inference.abuse_sections(upstream.port, False), cores.proxy),
        *(
            bench.witgate(f"stage, {name}", name, inference.abuse_sections(upstream.port, True), cores.proxy)
            for name in RUNTIMES
        ),
    ]
    forest = bench.options.model or trees.write(bench.directory / "trees.txt", inference.TREE_COLUMNS, TREES)
    title = f"stage, {bench.options.model.name}" if bench.options.model else f"stage, {TREES} trees"
    sections = inference.abuse_sections(upstream.port, True, forest)
    contenders.append(bench.witgate(title, EMBEDDED, sections, cores.proxy))
    enter(running, contenders)
    request = inference.visits(bench)
    for contender in contenders:
        inference.ask(contender.port, request)
    rows = interleave(bench, [(c, "", request) for c in contenders], model="abuse")
    base = middle(rows["no stage", ""], "cpu")
    table = []
    for (name, _), seen in rows.items():
        added, run = middle(seen, "cpu") - base, least(seen, "run")
        rest = (f"{added:+.1f}", f"{run:.1f}", f"{added - run:+.1f}") if run else ("", "", "")
        table.append((name, f"{middle(seen, 'rate'):.0f}", spread(seen, "cpu"), *rest, f"{middle(seen, 'waited'):.0%}"))
    head = ("route", "requests/s", "CPU us/request (min-max)", "added us", "run us", "added besides the run", "waited")
    show("stage", "", head, table)
    return labelled(rows), errors_of(rows)


def slow(bench, running):
    """A model of 100 ms on one route, a plain one beside it: what the clients of the second notice.

    Model, load and upstream share the cores. What that alone does to a plain route is seen with the model run in other
    processes, one on each core.
    """
    (alone,) = bench.time_runs(("slow", 1))
    everywhere = cores_of(bench)
    (upstream,) = enter(running, [bench.upstream(everywhere)])
    contenders = []
    for title, runtime, settings in [
        (EMBEDDED, EMBEDDED, ""),
        (ONNX_RUNTIME, ONNX_RUNTIME, ""),
        (f"{ONNX_RUNTIME}, one thread", ONNX_RUNTIME, "threads = 1"),
    ]:
        # Who asks 8 at a time for a run of 100 ms waits longer than the limit of one second.
        patient = 'queue_timeout = "30s"'
        sections = inference.models_route(("slow", bench.model("slow"), patient), prefix="/v2")
        sections += plain_route(upstream.port)
        contenders.append(bench.witgate(title, runtime, sections, everywhere, inference=settings, threads=2))
    enter(running, contenders)
    request = replace(inference.infer_json(bench, "slow", 1), patience=30)
    states = {"idle": nobody, "run by other processes": run_elsewhere, "asked by 8 clients": ask_for_it}
    seen = {(c.name, state): [] for c in contenders for state in states}
    asked = {c.name: [] for c in contenders}
    for contender in contenders:
        inference.ask(contender.port, request)
        send(bench, contender, PLAIN, WARM_UP_SECONDS, 16, everywhere)
    for _ in range(bench.options.rounds):
        for contender in contenders:
            for state, burden in states.items():
                with burden(bench, contender, request, asked[contender.name]):
                    loaded = send(bench, contender, PLAIN, bench.options.secs, 16, everywhere)
                seen[contender.name, state].append(loaded)
    table = []
    for (name, state), loads in seen.items():
        p50s, p99s = [one.p50_us for one in loads], [one.p99_us for one in loads]
        rate = median(one.requests_per_second for one in asked[name]) if states[state] is ask_for_it else ""
        table.append(
            (
                *(name, state, f"{median(one.requests_per_second for one in loads):.0f}", f"{median(p50s):.0f}"),
                *(f"{median(p99s):.0f} ({min(p99s):.0f}-{max(p99s):.0f})", rate and f"{rate:.0f}"),
            )
        )
    everything = [one for loads in [*seen.values(), *asked.values()] for one in loads]
    failed = sum(one.errors for one in everything)
    head = ("runtime", "slow model", "plain requests/s", "p50 us", "p99 us (min-max)", "slow runs/s")
    show(
        "slow", f"`session.run` alone, from Python: {alone / 1000:.0f} ms. 16 clients ask the plain route.", head, table
    )
    figures = [
        {"runtime": name, "state": state, "rounds": [asdict(one) for one in loads]}
        for (name, state), loads in seen.items()
    ]
    return figures, [f"{failed} requests failed"] if failed else []


# Far below what the route can take: the load is the same whatever happens beside it.
PLAIN = load.Request(pause=10)
# A burden begins so long before what is measured, and ends so long after.
AROUND_SECONDS = 1


def nobody(_bench, _contender, _request, _asked):
    return nullcontext()


@contextmanager
def run_elsewhere(bench, _contender, _request, _asked):
    words = [bench.python, inference.SCRIPTS / "run_on.py", bench.model("slow")]
    with ExitStack() as others:
        for core in cores_of(bench):
            log = bench.directory / f"other-{core}.log"
            others.enter_context(Child(["nice", "-n", "5", *words], core, log))
        time.sleep(AROUND_SECONDS)
        yield


@contextmanager
def ask_for_it(bench, contender, request, asked):
    seconds = bench.options.secs + 2 * AROUND_SECONDS
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(send, bench, contender, request, seconds, 8, cores_of(bench))
        time.sleep(AROUND_SECONDS)
        yield
        asked.append(other.result())


def swap(bench, running):
    """1000 loads in the place of a model that is asked meanwhile, and beside it; and 200 changes of a file."""
    table, figures, failures = [], {}, []
    marks = {0, *(bench.options.swaps * part // 10 for part in (1, 5, 10))}
    changes = bench.options.swaps // 5
    for name in RUNTIMES:
        root = bench.directory / f"root-{RUNTIMES.index(name)}"
        root.mkdir()
        files = [bench.model("score64"), bench.model("score64-b")]
        for at, path in enumerate(files):
            shutil.copy(path, root / f"{at}.onnx")
        shutil.copy(files[0], root / "steady.onnx")
        sections = inference.models_route(("steady", root / "steady.onnx", ""))
        contender = bench.witgate(name, name, sections, cores_of(bench), inference=f'model_roots = ["{root}"]')
        enter(running, [contender])
        manage(contender, "POST", {"name": "swapped", "path": "0.onnx"}, expected=201)
        requests = [inference.infer_json(bench, model, 64) for model in ("steady", "swapped")]
        for request in requests:
            inference.ask(contender.port, request)
        done, memory, begun = Event(), {}, time.monotonic()

        def keep_asking(request):
            loads = []
            while not done.is_set():
                loads.append(send(bench, contender, request, 3, 4, cores_of(bench)))
            return loads

        with ThreadPoolExecutor(len(requests)) as pool:
            asking = [pool.submit(keep_asking, request) for request in requests]
            try:
                time.sleep(WARM_UP_SECONDS)
                memory["0"] = contender.child.memory()
                for nth in range(1, bench.options.swaps + 1):
                    manage(contender, "POST", {"name": "swapped", "path": f"{nth % 2}.onnx"}, expected=201)
                    manage(contender, "POST", {"name": "beside", "path": f"{nth % 2}.onnx"}, expected=201)
                    manage(contender, "DELETE", None, "/beside", expected=200)
                    if nth in marks:
                        memory[str(nth)] = contender.child.memory()
                for nth in range(1, changes + 1):
                    shutil.copy(files[nth % 2], root / "next")
                    (root / "next").rename(root / "steady.onnx")
                    status, _, answer = inference.exchange(contender.admin_port, "POST", "/reload")
                    if status != 200:
                        raise CheckFailure(f"reload: expected 200, got {status}: {answer[:300]!r}")
                memory[f"+ {changes} changes"] = contender.child.memory()
            finally:
                done.set()
            loads = [one for asked in asking for one in asked.result()]
        errors, sent = sum(one.errors for one in loads), sum(one.requests for one in loads)
        if errors:
            failures.append(f"{name}: {errors} requests failed")
        took = time.monotonic() - begun
        figures[name] = {"memory": memory, "requests": sent, "errors": errors, "seconds": took}
        table.append((name, *(f"{size / 2**20:.1f}" for size in memory.values()), f"{took:.0f} s", sent, errors))
    head = ("runtime", *(f"MiB at {at}" for at in memory), "took", "requests meanwhile", "failed")
    show("swap", "Each count: a load in the place of a model, a load beside it, and its unload.", head, table)
    return figures, failures


CASES = {run.__name__: run for run in (score64, workers, batching, stage, slow, swap)}


def manage(contender, method, message, name="", expected=200):
    body = json.dumps(message).encode() if message else None
    status, _, answer = inference.exchange(contender.admin_port, method, f"/v1/models{name}", body)
    if status != expected:
        raise CheckFailure(f"{method} /v1/models{name}: expected {expected}, got {status}: {answer[:300]!r}")


def plain_route(upstream_port):
    return f"""
[upstreams.backend]
endpoints = ["{inference.ADDRESS}:{upstream_port}"]
[[routes]]
name = "plain"
path_prefix = "/"
upstream = "backend"
"""


def cores_of(bench):
    return {bench.options.cores.proxy, bench.options.cores.load}


def enter(running, contenders):
    for contender in contenders:
        running.enter_context(contender.child)
    return contenders


def check_agreement(contenders, requests, tolerance=1e-4):
    """All contenders must give the same score before it matters how fast."""
    scores = {c.name: inference.score_of(c.port, request) for request in requests for c in contenders}
    first = next(iter(scores.values()))
    for name, score in scores.items():
        if abs(score - first) > tolerance * max(1, abs(first)):
            raise CheckFailure(f"{name} gives {score}, {contenders[0].name} gives {first}")


def send(bench, contender, request, seconds, connections, core):
    return load.run(bench.programs["wrk"], contender.port, seconds, connections, core, request)


def interleave(bench, works, model, core=None):
    """Measures each (contender, form, request) in turns, `rounds` times."""
    core = bench.options.cores.load if core is None else core
    rows = {(contender.name, form): [] for contender, form, _ in works}
    for contender, _, request in works:
        send(bench, contender, request, WARM_UP_SECONDS, bench.options.connections, core)
    for _ in range(bench.options.rounds):
        for contender, form, request in works:
            counts = contender.admin_port is not None
            runs = inference.runs(contender, model) if counts else None
            before = contender.child.processor_time()
            seen = send(bench, contender, request, bench.options.secs, bench.options.connections, core)
            spent = contender.child.processor_time() - before
            runs = inference.runs(contender, model) - runs if counts else inference.Runs()
            rows[contender.name, form].append(
                {
                    "rate": seen.requests_per_second,
                    "p50": seen.p50_us,
                    "p99": seen.p99_us,
                    "errors": seen.errors,
                    "cpu": spent.running / max(seen.requests, 1) * 1e6,
                    "waited": spent.waiting / max(spent.running + spent.waiting, 1e-9),
                    "run": runs.seconds / max(runs.runs, 1) * 1e6,
                    "rows": runs.rows / runs.runs if runs.runs else 1,
                }
            )
    return rows


def middle(seen, figure):
    return median(one[figure] for one in seen)


def least(seen, figure):
    """For times that the clock on the wall tells: what was taken from the thread meanwhile is in them, too."""
    return min(one[figure] for one in seen)


def spread(seen, figure):
    values = [one[figure] for one in seen]
    return f"{median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def errors_of(rows):
    failed = {name: sum(one["errors"] for one in seen) for name, seen in rows.items()}
    return [f"{' '.join(name).strip()}: {count} requests failed" for name, count in failed.items() if count]


def labelled(rows):
    return [{"contender": name, "form": form, "rounds": seen} for (name, form), seen in rows.items()]


def show(title, note, head, table):
    lines = ["", f"## {title}", *([note, ""] if note else [])]
    lines += [report.cells(head), report.cells(["---"] + ["---:"] * (len(head) - 1))]
    print("\n".join(lines + [report.cells(row) for row in table]), flush=True)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--witgate", type=Path, required=True, metavar="BINARY", help="the build of Witgate to measure")
    every = ",".join(CASES)
    parser.add_argument("--cases", type=cases, default=tuple(CASES), help=f"comma-separated: {every} (default: all)")
    parser.add_argument("--rounds", type=positive, default=3, help="measurements of each contender (default: 3)")
    parser.add_argument("--secs", type=positive, default=5, help="seconds of one measurement (default: 5)")
    parser.add_argument("--connections", type=positive, default=64, help="connections that wrk opens (default: 64)")
    parser.add_argument("--swaps", type=positive, default=1000, help="loads in the case `swap` (default: 1000)")
    columns = inference.TREE_COLUMNS
    about = f"a model of {columns} columns for the case `stage`, in the place of {TREES} trees that are made up"
    parser.add_argument("--model", type=Path, metavar="FILE", help=about)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE")
    available = sorted(os.sched_getaffinity(0))
    parser.add_argument("--proxy-core", type=int, default=available[0], help="core of the contender (default: first)")
    parser.add_argument(
        "--load-core", type=int, default=available[-1], help="core of load and upstream (default: last)"
    )
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where downloaded packages are kept")
    options = parser.parse_args()
    if not options.witgate.is_file():
        parser.error(f"{options.witgate} is no file")
    if options.model:
        options.model = options.model.resolve()
        if not options.model.is_file():
            parser.error(f"{options.model} is no file")
    options.cores = Cores(options.proxy_core, options.load_core)
    return options


def cases(text):
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    return names


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (install.Unavailable, CheckFailure) as problem:
        sys.exit(f"error: {problem}")
