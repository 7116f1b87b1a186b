"""Writes the ONNX standard's node tests as files: OUT/NAME.onnx, and OUT/cases.jsonl with one line a test.

Usage: export-cases.py OUT
"""

import base64
import json
import random
import sys
import warnings
from pathlib import Path

import numpy
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases


def kind_and_type(value):
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return kind.removesuffix("_type"), None
    return "tensor", TensorProto.DataType.Name(value.type.tensor_type.elem_type)


def described(value):
    kind, element = kind_and_type(value)
    return {"name": value.name, "kind": kind, "type": element}


def data_of(value, data):
    """What a test feeds or expects; None where it is no tensor, which has no form in the protocol."""
    if kind_and_type(value)[0] != "tensor" or data is None:
        return None
    array = numpy_helper.to_array(data) if isinstance(data, TensorProto) else numpy.asarray(data)
    if array.dtype.kind in "OSU":
        strings = [item.decode() if isinstance(item, bytes) else str(item) for item in array.reshape(-1)]
        return {"shape": list(array.shape), "strings": strings}
    raw = numpy.ascontiguousarray(array).tobytes()
    return {"shape": list(array.shape), "bytes": base64.b64encode(raw).decode()}


def main(out):
    # The tests draw their inputs: the same ones every time.
    numpy.random.seed(0)
    random.seed(0)
    warnings.simplefilter("ignore")
    out.mkdir(parents=True, exist_ok=True)
    with (out / "cases.jsonl").open("w") as lines:
        for case in sorted(collect_testcases(), key=lambda case: case.name):
            graph = case.model.graph
            (out / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())
            sets = [
                {
                    "inputs": [data_of(value, data) for value, data in zip(graph.input, inputs)],
                    "outputs": [data_of(value, data) for value, data in zip(graph.output, outputs)],
                }
                for inputs, outputs in case.data_sets
            ]
            line = {
                "name": case.name,
                "operators": sorted({node.op_type for node in graph.node}),
                "relative": case.rtol,
                "absolute": case.atol,
                "inputs": [described(value) for value in graph.input],
                "outputs": [described(value) for value in graph.output],
                "sets": sets,
            }
            lines.write(json.dumps(line) + "\n")


main(Path(sys.argv[1]))
