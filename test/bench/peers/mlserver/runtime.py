"""Runtime of MLServer: its own V2 JSON, and beside it a handler for binary bodies, which its REST face lacks."""

import sys
from pathlib import Path

from fastapi import Request, Response
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.handlers import custom_handler
from mlserver.types import InferenceResponse, ResponseOutput

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench_model import HEADER, BenchModel, head  # noqa: E402


class BenchRuntime(MLModel):
    async def load(self):
        self.model = BenchModel()
        return True

    async def predict(self, payload):
        results = self.model.run({one.name: NumpyCodec.decode_input(one) for one in payload.inputs})
        outputs = [ResponseOutput(**head(name, data), data=data.ravel().tolist()) for name, data in results.items()]
        return InferenceResponse(model_name=self.name, outputs=outputs)

    @custom_handler(rest_path="/binary")
    async def binary(self, request: Request) -> Response:
        body, headers = self.model.answer(await request.body(), request.headers.get(HEADER))
        return Response(body, headers=headers)
