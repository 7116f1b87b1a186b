"""A described input, as `@input_schema` has it: one tensor of two columns, answered as it came."""

import numpy
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


@input_schema("x", NumpyParameterType(numpy.array([[1.0, 2.0]], dtype=numpy.float32), enforce_shape=False))
@output_schema(NumpyParameterType(numpy.array([[1.0, 2.0]], dtype=numpy.float32)))
def run(x):
    return {"y": x.tolist()}
