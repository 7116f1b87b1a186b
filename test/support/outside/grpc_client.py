"""Asks a scoring host as users of tritonclient's gRPC client do, and fails with a traceback where it answers otherwise.

    python grpc_client.py HOST:PORT CONTROL_TOKEN

It needs the models that grpc-outside-client.test.ts serves: one echo of each datatype, `add-one`, and tells
each check on a line of its own.
"""

import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

ADDRESS, TOKEN = sys.argv[1:3]
CONTROL = {"authorization": f"Bearer {TOKEN}"}

SAMPLES = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-32768, 32767]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "FP16": np.array([[1.5, -0.25]], np.float16),
    "FP32": np.array([[1.5, np.nan]], np.float32),
    "FP64": np.array([[0.1, np.inf]], np.float64),
    "BYTES": np.array([["é".encode(), b""]], np.object_),
}


def inputs_of(array, datatype):
    tensor = grpc.InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return [tensor]


def refused(status, act):
    try:
        act()
    except InferenceServerException as error:
        assert status in str(error.status()), error
        return
    raise AssertionError(f"not refused with {status}")


def main():
    client = grpc.InferenceServerClient(ADDRESS)
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata().name == "flotilla"
    print("health and metadata")

    for datatype, array in SAMPLES.items():
        name = datatype.lower()
        result = client.infer(name, inputs_of(array, datatype), request_id="7", outputs=[grpc.InferRequestedOutput("y")])
        assert result.get_response().id == "7"
        np.testing.assert_array_equal(result.as_numpy("y"), array)
        config = client.get_model_config(name).config
        assert config.name == name and config.input[0].name == "x" and list(config.input[0].dims) == [-1, -1]
        print("infer", datatype)

    four = np.arange(4, dtype=np.float32).reshape(1, 4)
    assert client.is_model_ready("add-one")
    assert client.get_model_metadata("add-one").inputs[0].datatype == "FP32"
    result = client.infer("add-one", inputs_of(four, "FP32"), compression_algorithm="gzip", priority=1, timeout=10_000_000)
    np.testing.assert_array_equal(result.as_numpy("y"), four + 1)
    print("compressed, with priority and timeout")

    done = queue.Queue()
    for _ in range(50):
        client.async_infer("add-one", inputs_of(four, "FP32"), lambda result, error: done.put((result, error)))
    for _ in range(50):
        result, error = done.get(timeout=30)
        assert error is None, error
        np.testing.assert_array_equal(result.as_numpy("y"), four + 1)
    print("async")

    client.start_stream(lambda result, error: done.put((result, error)))
    for number in range(20):
        model = "nope" if number == 10 else "add-one"
        client.async_stream_infer(model, inputs_of(four, "FP32"), request_id=str(number), enable_empty_final_response=True)
    for number in range(20):
        result, error = done.get(timeout=30)
        if number == 10:
            assert 'no model "nope"' in str(error), error
            continue
        assert error is None, error
        response = result.get_response()
        assert response.id == str(number)
        assert response.parameters["triton_final_response"].bool_param
    client.stop_stream()
    print("stream")

    statistics = client.get_inference_statistics("add-one").model_stats[0]
    assert statistics.inference_stats.success.count >= 70, statistics
    print("statistics")

    refused("NOT_FOUND", lambda: client.infer("nope", inputs_of(four, "FP32")))
    refused("INVALID_ARGUMENT", lambda: client.infer("add-one", inputs_of(four.astype(np.float64), "FP64")))
    refused("UNIMPLEMENTED", lambda: client.get_trace_settings())
    refused("UNIMPLEMENTED", lambda: client.get_log_settings())
    refused("UNIMPLEMENTED", lambda: client.get_system_shared_memory_status())
    print("refusals")

    refused("UNAUTHENTICATED", lambda: client.unload_model("add-one"))
    client.unload_model("add-one", headers=CONTROL)
    assert not client.is_model_ready("add-one")
    refused("UNAVAILABLE", lambda: client.infer("add-one", inputs_of(four, "FP32")))
    refused("INVALID_ARGUMENT", lambda: client.load_model("add-one", headers=CONTROL, config="{}"))
    client.load_model("add-one", headers=CONTROL)
    np.testing.assert_array_equal(client.infer("add-one", inputs_of(four, "FP32")).as_numpy("y"), four + 1)
    print("load and unload")
    client.close()


main()
