"""Entry script of azureml-inference-server-http."""

import sys
from pathlib import Path

from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

sys.path.insert(0, str(Path(__file__).parent))
from bench_model import HEADER, BenchModel  # noqa: E402

model = None


def init():
    global model
    model = BenchModel()


@rawhttp
def run(request):
    body, headers = model.answer(request.get_data(), request.headers.get(HEADER))
    return AMLResponse(body, 200, response_headers=headers)
