"""BentoML: its own JSON API, and beside it a mounted application for binary bodies."""

import sys
from pathlib import Path

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).parent))
from bench_model import HEADER, BenchModel  # noqa: E402

model = BenchModel()


async def binary(request: Request) -> Response:
    body, headers = model.answer(await request.body(), request.headers.get(HEADER))
    return Response(body, headers=headers)


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(Starlette(routes=[Route("/score", binary, methods=["POST"])]), path="/binary")
class Bench:
    @bentoml.api(route="/json")
    def score(self, inputs: list[dict]) -> dict:
        return model.answer_json(inputs)
