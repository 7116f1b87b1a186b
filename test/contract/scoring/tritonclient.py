"""Triton's own client, unmodified, against a scoring host.

Usage: tritonclient.py http|grpc HOST:PORT TOKEN DATATYPE,...
"""

import concurrent.futures
import sys
from pathlib import Path

# This file has the package's name: its folder must not be where Python looks first.
sys.path = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).parent.resolve()]
sys.path.append(str(Path(__file__).parents[2] / "support" / "outside"))

import numpy
from checks import Checks, equal, holds
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

protocol, address, token, datatypes = sys.argv[1:5]
if protocol == "http":
    import tritonclient.http as triton
else:
    import tritonclient.grpc as triton

client = triton.InferenceServerClient(address, **({"concurrency": 4} if protocol == "http" else {}))
allowed = {"authorization": f"Bearer {token}"}
checks = Checks()


def tensor(name, array, **how):
    given = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array, **(how if protocol == "http" else {}))
    return given


def wanted(name, **how):
    return triton.InferRequestedOutput(name, **(how if protocol == "http" else {}))


def refused(status, function):
    """The client's exception, whose status is the one given, and which says something."""
    try:
        function()
    except InferenceServerException as error:
        holds(str(status) in str(error.status()), f"status {error.status()}: {error.message()}")
        holds(len(error.message()) > 10, f"message {error.message()!r}")
        return error
    raise AssertionError("was not refused")


def invalid():
    return "400" if protocol == "http" else "INVALID_ARGUMENT"


def not_found():
    return "404" if protocol == "http" else "NOT_FOUND"


def as_dict(message):
    """gRPC gives messages, HTTP plain dictionaries."""
    if isinstance(message, (dict, list)):
        return message
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True)


ones = numpy.arange(16, dtype=numpy.int32).reshape(1, 16)
twos = numpy.full((1, 16), 2, dtype=numpy.int32)


def simple(binary=True):
    return [tensor("INPUT0", ones, binary_data=binary), tensor("INPUT1", twos, binary_data=binary)]


samples = {
    "BOOL": numpy.array([[True, False, True]]),
    "UINT8": numpy.array([[0, 1, 255]], dtype=numpy.uint8),
    "UINT16": numpy.array([[0, 1, 65535]], dtype=numpy.uint16),
    "UINT32": numpy.array([[0, 1, 2**32 - 1]], dtype=numpy.uint32),
    "UINT64": numpy.array([[0, 1, 2**64 - 1]], dtype=numpy.uint64),
    "INT8": numpy.array([[-128, 0, 127]], dtype=numpy.int8),
    "INT16": numpy.array([[-(2**15), 0, 2**15 - 1]], dtype=numpy.int16),
    "INT32": numpy.array([[-(2**31), 0, 2**31 - 1]], dtype=numpy.int32),
    "INT64": numpy.array([[-(2**63), 2**53 + 1, 2**63 - 1]], dtype=numpy.int64),
    "FP16": numpy.array([[-65504.0, 0.0, 1.5]], dtype=numpy.float16),
    "FP32": numpy.array([[-3.4e38, 0.1, 1e-38]], dtype=numpy.float32),
    "FP64": numpy.array([[-1.7e308, 0.1, 5e-324]], dtype=numpy.float64),
    "BYTES": numpy.array([["", "héllo ✓", "a" * 300]], dtype=numpy.object_),
}


def echo(datatype, binary):
    given = samples[datatype]
    result = client.infer(
        f"identity_{datatype.lower()}",
        [tensor("x", given, binary_data=binary)],
        outputs=[wanted("y", binary_data=binary)],
    )
    got = result.as_numpy("y")
    equal(list(got.shape), list(given.shape))
    if datatype == "BYTES":
        equal([item.decode() if isinstance(item, bytes) else item for item in got.reshape(-1)], list(given.reshape(-1)))
    else:
        equal(got.dtype, numpy.dtype(triton_to_np_dtype(datatype)))
        holds(numpy.array_equal(got, given), f"got {got}, expected {given}")


for datatype in datatypes.split(","):
    checks.check(f"{datatype} in binary")(lambda datatype=datatype: echo(datatype, True))
    # Half floats have no form in JSON, and the client sends none.
    if protocol == "http" and datatype != "FP16":
        checks.check(f"{datatype} in JSON")(lambda datatype=datatype: echo(datatype, False))


@checks.check("liveness and readiness")
def _():
    equal([client.is_server_live(), client.is_server_ready()], [True, True])
    equal([client.is_model_ready("simple"), client.is_model_ready("simple", "2")], [True, True])
    for name, version in [("simple", "9"), ("nobody", "")]:
        try:
            equal(client.is_model_ready(name, version), False)
        except InferenceServerException as error:
            holds(protocol == "grpc" and "NOT_FOUND" in str(error.status()), f"{error}")


@checks.check("server metadata")
def _():
    metadata = as_dict(client.get_server_metadata())
    equal(metadata["name"], "flotilla")
    for extension in ["model_repository", "statistics"] + (["binary_tensor_data"] if protocol == "http" else []):
        holds(extension in metadata["extensions"], f"extensions {metadata['extensions']}")


@checks.check("model metadata, of all versions and of one")
def _():
    metadata = as_dict(client.get_model_metadata("simple"))
    equal(sorted(metadata["versions"]), ["1", "2"])
    equal(metadata["platform"], "onnx_onnxv1")
    equal([given["name"] for given in metadata["inputs"]], ["INPUT0", "INPUT1"])
    equal([int(size) for size in metadata["outputs"][0]["shape"]], [1, 16])
    refused(not_found(), lambda: client.get_model_metadata("simple", "9"))


@checks.check("sum and difference, as the client's examples ask for them")
def _():
    result = client.infer("simple", simple())
    holds(numpy.array_equal(result.as_numpy("OUTPUT0"), ones + twos), "the sum differs")
    holds(numpy.array_equal(result.as_numpy("OUTPUT1"), ones - twos), "the difference differs")


@checks.check("one output in binary, one in JSON")
def _():
    outputs = [wanted("OUTPUT0", binary_data=True), wanted("OUTPUT1", binary_data=False)]
    result = client.infer("simple", simple(False), outputs=outputs)
    holds(numpy.array_equal(result.as_numpy("OUTPUT0"), ones + twos), "the sum differs")
    holds(numpy.array_equal(result.as_numpy("OUTPUT1"), ones - twos), "the difference differs")


@checks.check("only the outputs that were asked for")
def _():
    result = client.infer("simple", simple(), outputs=[wanted("OUTPUT1")])
    equal(result.as_numpy("OUTPUT0"), None)
    holds(numpy.array_equal(result.as_numpy("OUTPUT1"), ones - twos), "the difference differs")


@checks.check("the request's id comes back")
def _():
    response = as_dict(client.infer("simple", simple(), request_id="id-ü-7").get_response())
    equal(response["id"], "id-ü-7")


@checks.check("the version asked for answers, the newest where none is")
def _():
    for version, answering in [("1", "1"), ("2", "2"), ("", "2")]:
        response = as_dict(client.infer("simple", simple(), model_version=version).get_response())
        equal([response["model_name"], response["model_version"]], ["simple", answering])


@checks.check("priority, timeout and own parameters do no harm")
def _():
    result = client.infer("simple", simple(), priority=1, timeout=30_000_000, parameters={"who": "me", "n": 3})
    holds(numpy.array_equal(result.as_numpy("OUTPUT0"), ones + twos), "the sum differs")


@checks.check("a row batch of any size")
def _():
    for rows in [1, 2, 7]:
        given = numpy.arange(rows * 3, dtype=numpy.float32).reshape(rows, 3)
        got = client.infer("identity_fp32", [tensor("x", given)]).as_numpy("y")
        holds(numpy.array_equal(got, given), f"got {got}")


@checks.check("a tensor without elements")
def _():
    got = client.infer("identity_fp32", [tensor("x", numpy.zeros((0, 3), dtype=numpy.float32))]).as_numpy("y")
    equal(list(got.shape), [0, 3])


@checks.check("many requests at once, each with its own answer")
def _():
    if protocol == "http":
        pending = []
        for number in range(40):
            given = numpy.full((1, 5), number, dtype=numpy.float32)
            pending.append((given, client.async_infer("identity_fp32", [tensor("x", given)])))
        answers = [(given, request.get_result().as_numpy("y")) for given, request in pending]
    else:
        def one(number):
            given = numpy.full((1, 5), number, dtype=numpy.float32)
            return given, client.infer("identity_fp32", [tensor("x", given)]).as_numpy("y")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(one, range(40)))
    for given, got in answers:
        holds(numpy.array_equal(got, given), f"got {got}, expected {given}")


@checks.check("a wrong model, version, input, output, type or shape is refused with a word")
def _():
    refused(not_found(), lambda: client.infer("nobody", simple()))
    refused(not_found(), lambda: client.infer("simple", simple(), model_version="9"))
    refused(invalid(), lambda: client.infer("simple", [tensor("INPUT0", ones), tensor("INPUT9", ones)]))
    refused(invalid(), lambda: client.infer("simple", [tensor("INPUT0", ones)]))
    refused(invalid(), lambda: client.infer("simple", simple(), outputs=[wanted("OUTPUT9")]))
    floats = ones.astype(numpy.float32)
    refused(invalid(), lambda: client.infer("simple", [tensor("INPUT0", floats), tensor("INPUT1", floats)]))
    refused(invalid(), lambda: client.infer("simple", [tensor("INPUT0", ones[:, :3]), tensor("INPUT1", twos)]))
    holds(client.is_server_live(), "not live afterwards")


@checks.check("statistics, of one model and of all")
def _():
    def count():
        stats = as_dict(client.get_inference_statistics("simple", "2"))["model_stats"]
        equal([(one["name"], one["version"]) for one in stats], [("simple", "2")])
        return int(stats[0]["inference_stats"]["success"]["count"])

    before = count()
    client.infer("simple", simple())
    equal(count(), before + 1)
    names = {one["name"] for one in as_dict(client.get_inference_statistics())["model_stats"]}
    holds({"simple", "identity_fp32"} <= names, f"names {names}")
    refused(not_found(), lambda: client.get_inference_statistics("nobody"))


def state(name):
    index = as_dict(client.get_model_repository_index())
    entries = index if isinstance(index, list) else index["models"]
    return {(one.get("version"), one.get("state")) for one in entries if one["name"] == name}


@checks.check("the repository's index")
def _():
    equal(state("simple"), {("1", "READY"), ("2", "READY")})


@checks.check("unload and load, by who may")
def _():
    client.unload_model("unloadable", headers=allowed)
    equal(client.is_model_ready("unloadable"), False)
    equal({one for _, one in state("unloadable")}, {"UNAVAILABLE"})
    given = numpy.ones((1, 2), dtype=numpy.float32)
    unavailable = "503" if protocol == "http" else "UNAVAILABLE"
    refused(unavailable, lambda: client.infer("unloadable", [tensor("x", given)]))
    client.load_model("unloadable", headers=allowed)
    equal(client.is_model_ready("unloadable"), True)
    holds(numpy.array_equal(client.infer("unloadable", [tensor("x", given)]).as_numpy("y"), given), "differs")


@checks.check("load and unload are refused to others, and for models that are not there")
def _():
    for unauthorised in [{}, {"authorization": "Bearer wrong"}]:
        for act in [client.load_model, client.unload_model]:
            try:
                act("unloadable", headers=unauthorised)
            except InferenceServerException as error:
                codes = ["401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"]
                holds(any(code in str(error.status()) for code in codes), f"status {error.status()}")
            else:
                raise AssertionError("was not refused")
    equal(client.is_model_ready("unloadable"), True)
    for act in [client.load_model, client.unload_model]:
        try:
            act("nobody", headers=allowed)
        except InferenceServerException as error:
            holds(any(code in str(error.status()) for code in ["400", "404", "NOT_FOUND"]), f"{error.status()}")
        else:
            raise AssertionError("was not refused")


if protocol == "http":

    @checks.check("compressed requests are served or refused, never misread")
    def _():
        for algorithm in ["gzip", "deflate"]:
            try:
                result = client.infer("simple", simple(), request_compression_algorithm=algorithm)
            except InferenceServerException as error:
                holds(str(error.status()) in ["400", "415"], f"status {error.status()}: {error.message()}")
                holds("ompress" in error.message() or "ncoding" in error.message(), error.message())
            else:
                holds(numpy.array_equal(result.as_numpy("OUTPUT0"), ones + twos), "the sum differs")

    @checks.check("answers that may be compressed can be read")
    def _():
        for algorithm in ["gzip", "deflate"]:
            result = client.infer("simple", simple(), response_compression_algorithm=algorithm)
            holds(numpy.array_equal(result.as_numpy("OUTPUT0"), ones + twos), "the sum differs")

    @checks.check("query parameters and headers of the caller's own do no harm")
    def _():
        client.infer("simple", simple(), query_params={"a": "1"}, headers={"x-own": "1"})
        equal(client.is_server_ready(query_params={"a": "1"}), True)


@checks.check("what is not served is refused as the protocol says")
def _():
    for act in [
        lambda: client.register_system_shared_memory("region", "/nothing", 16),
        lambda: client.update_trace_settings(settings={"trace_level": "TIMESTAMPS"}),
        lambda: client.update_log_settings({"log_verbose_level": 1}),
    ]:
        try:
            act()
        except InferenceServerException as error:
            holds(len(error.message()) > 5, f"message {error.message()!r}")
        else:
            raise AssertionError("was not refused")
    holds(client.is_server_live(), "not live afterwards")


checks.run()
client.close()
