"""ONNX Runtime behind a plain HTTP server: `server.py MODEL PORT PROCESSES`.

The fastest plain one that people would write: uvicorn with uvloop and httptools, no framework, orjson, one session for
each process, and runs on the loop's own thread, for a hand-over costs more than a small run. It answers one path of the
Open Inference Protocol, JSON and binary, and checks names, types and shapes, no more.
"""

import os
import socket
import sys

import numpy as np
import onnxruntime
import orjson

JSON = [(b"content-type", b"application/json")]


def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Application:
    def __init__(self, path):
        self.session = load(path)
        taken = self.session.get_inputs()[0]
        self.name, self.width = taken.name, taken.shape[1]

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            status, headers, answer = 200, *self.infer(scope, body)
        except (KeyError, TypeError, ValueError) as problem:
            status, headers, answer = 400, JSON, orjson.dumps({"error": str(problem)})
        headers = [*headers, (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def infer(self, scope, body):
        size = next((value for name, value in scope["headers"] if name == b"inference-header-content-length"), None)
        head = orjson.loads(body if size is None else body[: int(size)])
        (given,) = head["inputs"]
        shape = given["shape"]
        if given["name"] != self.name or given["datatype"] != "FP32" or len(shape) != 2 or shape[1] != self.width:
            raise ValueError(f"expected {self.name} FP32 [batch, {self.width}]")
        if size is None:
            array = np.array(given["data"], np.float32).reshape(shape)
        else:
            array = np.frombuffer(body, np.float32, offset=int(size)).reshape(shape)
        (scores,) = self.session.run(["y"], {self.name: array})
        output = {"name": "y", "datatype": "FP32", "shape": scores.shape}
        if size is None:
            output["data"] = scores.ravel().tolist()
            return JSON, orjson.dumps({"model_name": "model", "model_version": "1", "outputs": [output]})
        raw = scores.tobytes()
        output["parameters"] = {"binary_data_size": len(raw)}
        text = orjson.dumps({"model_name": "model", "model_version": "1", "outputs": [output]})
        fields = [
            (b"content-type", b"application/octet-stream"),
            (b"inference-header-content-length", b"%d" % len(text)),
        ]
        return fields, text + raw


if __name__ == "__main__":
    import uvicorn

    path, port, processes = sys.argv[1:]
    for _ in range(int(processes) - 1):
        if os.fork() == 0:
            break
    # Each process has a socket of its own: the kernel spreads connections over them evenly.
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(port)))
    config = uvicorn.Config(
        Application(path), loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="warning"
    )
    uvicorn.Server(config).run(sockets=[listener])
