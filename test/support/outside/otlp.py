"""Reads an ExportMetricsServiceRequest from a file as OpenTelemetry's own definitions have it, and prints it as JSON."""

import sys

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

request = ExportMetricsServiceRequest()
with open(sys.argv[1], "rb") as file:
    request.ParseFromString(file.read())
# What the definitions do not know would be kept, and written again.
known = ExportMetricsServiceRequest()
known.CopyFrom(request)
known.DiscardUnknownFields()
assert known.SerializeToString(deterministic=True) == request.SerializeToString(deterministic=True), "unknown fields"
print(MessageToJson(request, preserving_proto_field_name=True))
