"""LitServe: one worker process, no batching."""

import os
import sys
from pathlib import Path
from typing import Annotated

import litserve
from fastapi import Depends, Request, Response

sys.path.insert(0, str(Path(__file__).parent))
from bench_model import HEADER, BenchModel  # noqa: E402


async def read(request: Request):
    return await request.body(), request.headers.get(HEADER)


class BenchApi(litserve.LitAPI):
    def setup(self, device):
        self.model = BenchModel()

    def decode_request(self, request: Annotated[tuple, Depends(read)]):
        return request

    def predict(self, asked):
        return self.model.answer(*asked)

    def encode_response(self, answered):
        body, headers = answered
        return Response(body, headers=headers)


if __name__ == "__main__":
    server = litserve.LitServer(BenchApi(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), generate_client_file=False, log_level="error")
