"""The model as every peer serves it: the tensors of a V2 request, JSON or binary, through Python's onnxruntime."""

import json
import os

import numpy as np
import onnxruntime as ort

TYPES = {"FP32": np.float32, "INT64": np.int64}
NAMES = {np.dtype(np.float32): "FP32", np.dtype(np.int64): "INT64"}
HEADER = "Inference-Header-Content-Length"


class BenchModel:
    def __init__(self):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(self, feeds):
        return dict(zip(self.outputs, self.session.run(None, feeds)))

    def answer_json(self, inputs):
        """`inputs` of a V2 request, parsed; gives the answer to be written as JSON."""
        results = self.run({one["name"]: tensor(one, one["data"]) for one in inputs})
        return {"outputs": [{**head(name, data), "data": data.ravel().tolist()} for name, data in results.items()]}

    def answer_binary(self, body, json_length):
        """Gives the answer's bytes and how many of them are JSON."""
        at = json_length
        feeds = {}
        for one in json.loads(body[:json_length])["inputs"]:
            size = one["parameters"]["binary_data_size"]
            flat = np.frombuffer(body, TYPES[one["datatype"]], size // TYPES[one["datatype"]]().itemsize, at)
            feeds[one["name"]] = flat.reshape(one["shape"])
            at += size
        results = self.run(feeds)
        heads = [
            {**head(name, data), "parameters": {"binary_data_size": data.nbytes}} for name, data in results.items()
        ]
        written = json.dumps({"outputs": heads}).encode()
        return b"".join([written, *(np.ascontiguousarray(data).tobytes() for data in results.values())]), len(written)

    def answer(self, body, json_length):
        """Either form, as the length of the JSON (None: all of it) says; gives bytes and header fields."""
        if json_length is None:
            written = json.dumps(self.answer_json(json.loads(body)["inputs"])).encode()
            return written, {"content-type": "application/json"}
        written, length = self.answer_binary(body, int(json_length))
        return written, {"content-type": "application/octet-stream", HEADER: str(length)}


def tensor(one, data):
    return np.asarray(data, TYPES[one["datatype"]]).reshape(one["shape"])


def head(name, data):
    return {"name": name, "datatype": NAMES[data.dtype], "shape": list(data.shape)}
