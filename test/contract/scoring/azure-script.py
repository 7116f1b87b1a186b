"""What a user of Azure ML writes: the whole request as text. Equivalent to `azureScript` beside it."""

import json
import time

from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    pass


def run(data):
    given = json.loads(data)
    if isinstance(given, dict):
        if "fail" in given:
            raise ValueError("asked to fail")
        if "refuse" in given:
            return AMLResponse({"message": "no such thing"}, 422, json_str=True)
        if "nothing" in given:
            return None
        if "text" in given:
            return "a text"
        if "slow" in given:
            time.sleep(5)
    return {"given": given}
