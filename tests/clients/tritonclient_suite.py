"""Asks a model server by Triton's own client: tritonclient_suite.py HTTP_URL GRPC_ADDRESS [--batch-limit N].

HTTP_URL is a base such as http://127.0.0.1:8080 or http://127.0.0.1:8080/ml; GRPC_ADDRESS is host:port, or - for none.
The server has the models of make_models.py. Prints a line for each case, and ends with 1 if one failed.
"""

import argparse
import concurrent.futures
import json
import pathlib
import sys
import traceback
import urllib.error
import urllib.request

import ml_dtypes
import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

# Extremes of each type.
VALUES = {
    "BOOL": np.array([[True, False], [False, True]]),
    "UINT8": np.array([[0, 255], [1, 2]], np.uint8),
    "UINT16": np.array([[0, 65535], [1, 2]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1], [1, 2]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1], [1, 2]], np.uint64),
    "INT8": np.array([[-128, 127], [1, 2]], np.int8),
    "INT16": np.array([[-(2**15), 2**15 - 1], [1, 2]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1], [1, 2]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1], [1, 2]], np.int64),
    "FP16": np.array([[0.1, -65504], [6e-8, 2]], np.float16),
    "BF16": np.array([[0.1, -3e38], [1e-38, 2]], ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, -3.4028235e38], [1e-45, 2]], np.float32),
    "FP64": np.array([[0.1, -1.7976931348623157e308], [5e-324, 2]], np.float64),
    "BYTES": np.array([[b"", "\u00fc\n\"\\".encode()], [b"a" * 1000, b"\x01"]], np.object_),
}
NOT_IN_JSON = ("FP16", "BF16")


class Suite:
    def __init__(self, url, grpc_address, batch_limit):
        self.url = url.rstrip("/")
        self.batch_limit = batch_limit
        self.failed = 0
        self.passed = 0
        self.protocols = {"http": (http, self.url.removeprefix("http://"))}
        if grpc_address != "-":
            self.protocols["grpc"] = (grpc, grpc_address)

    def case(self, name, run):
        try:
            run()
        except Exception as error:
            self.failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc()
        else:
            self.passed += 1
            print(f"ok {name}", flush=True)

    def run(self):
        for protocol, (module, address) in self.protocols.items():
            asker = Asker(protocol, module, address, self.batch_limit)
            for name, run in asker.cases():
                self.case(f"{protocol} {name}", run)
        file = json.loads((pathlib.Path(__file__).parent / "v2_cases.json").read_text())
        for case in file["cases"]:
            self.case(f"data {case['name']}", lambda: self.raw(case))
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0

    def raw(self, case):
        """Sends a case of v2_cases.json as it is."""
        body = text(case).encode()
        headers = dict(case.get("headers", {}))
        if "hex" in case:
            headers.setdefault("Inference-Header-Content-Length", str(len(body)))
            body += bytes.fromhex(case["hex"])
        method = case.get("method", "POST")
        request = urllib.request.Request(
            self.url + case["path"], body if method == "POST" else None, headers, method=method
        )
        try:
            with urllib.request.urlopen(request) as response:
                status, answer = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, answer = error.code, error.read()
        expect(status, case["status"], answer)
        if "error" in case:
            message = json.loads(answer)["error"]
            assert case["error"] in message, f"expected {case['error']!r} in {message!r}"


def text(case):
    """Text of a body: as it is, as JSON, or with a part many times."""
    if "json" in case:
        return json.dumps(case["json"])
    return "".join(part if isinstance(part, str) else part["text"] * part["times"] for part in case.get("text", []))


def expect(got, wanted, context=""):
    assert got == wanted, f"expected {wanted!r}, got {got!r} {context!r}"


def same(got, wanted):
    assert got is not None, "the output is missing"
    expect(got.shape, wanted.shape)
    if wanted.dtype == np.object_:
        got = np.array([x if isinstance(x, bytes) else x.encode() for x in got.reshape(-1)], np.object_)
        expect(got.tolist(), wanted.reshape(-1).tolist())
    else:
        # By bits, for minus zero is not zero here.
        expect(got.astype(wanted.dtype).tobytes(), wanted.tobytes())


class Asker:
    """Cases of one protocol."""

    def __init__(self, protocol, module, address, batch_limit):
        self.protocol, self.module, self.address, self.batch_limit = protocol, module, address, batch_limit
        self.client = module.InferenceServerClient(address)

    def cases(self):
        yield "health", self.health
        yield "server metadata", self.server_metadata
        yield "model metadata", self.model_metadata
        yield "repository index", self.index
        for datatype in VALUES:
            yield f"{datatype} there and back", lambda datatype=datatype: self.there_and_back(datatype)
        if self.protocol == "http":
            for datatype in VALUES:
                if datatype not in NOT_IN_JSON:
                    yield f"{datatype} as JSON", lambda datatype=datatype: self.as_json(datatype)
        yield "two inputs and outputs", self.two
        yield "one output of two", self.one_of_two
        yield "version and id", self.version_and_id
        yield "150528 numbers", self.large
        yield "no rows", self.no_rows
        yield "compressed", self.compressed
        yield "many at once", self.many
        yield "errors", self.errors

    def input(self, name, values, datatype, **how):
        tensor = self.module.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, **how)
        return tensor

    def infer(self, model, inputs, outputs=None, **more):
        outputs = outputs and [self.module.InferRequestedOutput(name) for name in outputs]
        return self.client.infer(model, inputs, outputs=outputs, **more)

    def health(self):
        assert self.client.is_server_live() and self.client.is_server_ready()
        assert self.client.is_model_ready("identity_fp32") and self.client.is_model_ready("identity_fp32", "1")
        assert not self.client.is_model_ready("nothing")

    def server_metadata(self):
        extensions = (
            self.client.get_server_metadata()["extensions"]
            if self.protocol == "http"
            else list(self.client.get_server_metadata().extensions)
        )
        assert "binary_tensor_data" in extensions, extensions

    def model_metadata(self):
        more = {} if self.protocol == "http" else {"as_json": True}
        metadata = self.client.get_model_metadata("two_in_two_out", **more)
        expect([tensor["name"] for tensor in metadata["inputs"]], ["a", "b"])
        expect([tensor["datatype"] for tensor in metadata["outputs"]], ["FP32", "INT64"])
        # Numbers of 64 bits are strings in the JSON of Protocol Buffers.
        expect([int(size) for size in metadata["inputs"][0]["shape"]], [-1, 3])

    def index(self):
        more = {} if self.protocol == "http" else {"as_json": True}
        index = self.client.get_model_repository_index(**more)
        models = index if self.protocol == "http" else index["models"]
        assert any(model["name"] == "identity_fp32" and model["state"] == "READY" for model in models), models

    def there_and_back(self, datatype):
        values = VALUES[datatype]
        answer = self.infer(f"identity_{datatype.lower()}", [self.input("input0", values, datatype)])
        same(answer.as_numpy("output0"), values)

    def as_json(self, datatype):
        values = VALUES[datatype]
        if datatype == "FP32":
            # The client writes JSON with as many digits as FP64 needs; that has to round to the same FP32.
            values = np.append(values, np.float32([[1 / 3, 16777217]]), axis=0)
        sent = self.input("input0", values, datatype, binary_data=False)
        output = self.module.InferRequestedOutput("output0", binary_data=False)
        answer = self.client.infer(f"identity_{datatype.lower()}", [sent], outputs=[output])
        same(answer.as_numpy("output0"), values)

    def two_inputs(self):
        a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([10, 20])
        return [self.input("b", b, "INT64"), self.input("a", a, "FP32")], a + b[:, None].astype(np.float32), b

    def two(self):
        inputs, total, label = self.two_inputs()
        answer = self.infer("two_in_two_out", inputs)
        same(answer.as_numpy("sum"), total)
        same(answer.as_numpy("label"), label)

    def one_of_two(self):
        inputs, _, label = self.two_inputs()
        answer = self.infer("two_in_two_out", inputs, ["label"])
        same(answer.as_numpy("label"), label)
        assert answer.as_numpy("sum") is None

    def version_and_id(self):
        sent = self.input("input0", VALUES["FP32"], "FP32")
        answer = self.infer("identity_fp32", [sent], model_version="1", request_id="id-7")
        answer = answer.get_response() if self.protocol == "http" else answer.get_response(as_json=True)
        expect((answer["model_version"], answer["id"]), ("1", "id-7"))

    def large(self):
        values = np.sin(np.arange(150528, dtype=np.float32)).reshape(1, -1)
        same(self.infer("identity_fp32", [self.input("input0", values, "FP32")]).as_numpy("output0"), values)

    def no_rows(self):
        values = np.zeros((0, 2), np.float32)
        same(self.infer("identity_fp32", [self.input("input0", values, "FP32")]).as_numpy("output0"), values)

    def compressed(self):
        values = np.zeros((1, 10000), np.float32)
        option = "request_compression_algorithm" if self.protocol == "http" else "compression_algorithm"
        for algorithm in ["gzip", "deflate"]:
            sent = [self.input("input0", values, "FP32")]
            same(self.infer("identity_fp32", sent, **{option: algorithm}).as_numpy("output0"), values)

    def many(self):
        def one(number):
            values = np.full((1, 4), number, np.float32)
            # A client over HTTP belongs to its thread; one over gRPC does not.
            client = http.InferenceServerClient(self.address) if self.protocol == "http" else self.client
            answer = client.infer("identity_fp32", [self.input("input0", values, "FP32")])
            same(answer.as_numpy("output0"), values)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(200)))

    def errors(self):
        def fails(expected, model, values, datatype="FP32", name="input0", **more):
            try:
                self.infer(model, [self.input(name, values, datatype)], **more)
            except InferenceServerException as error:
                assert expected in error.message(), f"expected {expected!r} in {error.message()!r}"
            else:
                raise AssertionError(f"expected the error {expected!r}")

        row = np.zeros((1, 2), np.float32)
        fails("no model `nothing`", "nothing", row)
        fails("has no version `9`", "identity_fp32", row, model_version="9")
        fails("no input `other`; it has `input0`", "identity_fp32", row, name="other")
        fails("type FP32, got FP64", "identity_fp32", row.astype(np.float64), "FP64")
        fails("1 dimensions instead of 2", "identity_fp32", row[0])
        fails("is NaN", "identity_fp32", row + np.nan)
        fails(f"at most {self.batch_limit} in one", "identity_fp32", np.zeros((self.batch_limit + 1, 2), np.float32))
        fails("no output `other`; it has `output0`", "identity_fp32", row, outputs=["other"])
        fails("not served", "identity_fp32", row, sequence_id=1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("grpc")
    parser.add_argument("--batch-limit", type=int, default=8)
    parser.add_argument("--without", action="append", default=[], metavar="TYPE", help="a type that the server does not run")
    arguments = parser.parse_args()
    for datatype in arguments.without:
        del VALUES[datatype]
    sys.exit(Suite(arguments.url, arguments.grpc, arguments.batch_limit).run())


if __name__ == "__main__":
    main()
