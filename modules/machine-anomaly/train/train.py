"""Train the model of machine-anomaly and write it with its golden vectors, limits and fixtures.

    pip install -r modules/machine-anomaly/train/requirements.txt
    python modules/machine-anomaly/train/train.py

Learns from windows without a fault alone: what is unlike them is an anomaly. Fixed seeds: on one machine
a second run writes the same bytes.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from simulate import FAULTS, LOADS, SAMPLE_RATE, Window, features, window
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import OneClassSVM

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
SEED = 311
NUMBERS = ("rms", "crest", "kurtosis", "roughness", "rise")
COLUMNS = ("load", *NUMBERS)
FALSE_ALARMS = 0.002  # share of windows without a fault, before an alarm waits for several in a row


def table(windows: list[Window]) -> np.ndarray:
    """One row a window, columns as in COLUMNS."""
    return np.array([[one.load, *features(one).values()] for one in windows], dtype=object)


def train(windows: list[Window]):
    numbers = list(range(1, len(COLUMNS)))
    prepare = ColumnTransformer(
        [
            ("load", OneHotEncoder(categories=[list(LOADS)], handle_unknown="ignore", sparse_output=False), [0]),
            ("numbers", StandardScaler(), numbers),
        ],
        # Far apart, so that a window is held against others of its load.
        transformer_weights={"load": 4.0, "numbers": 1.0},
    )
    pipeline = make_pipeline(prepare, OneClassSVM(nu=0.01, gamma=0.15))
    return pipeline.fit(table(windows))


def columns_of(windows: list[Window]) -> dict[str, np.ndarray]:
    rows = table(windows)
    inputs: dict[str, np.ndarray] = {"load": rows[:, 0:1].astype(str).astype(object)}
    for index, name in enumerate(NUMBERS, start=1):
        inputs[name] = rows[:, index : index + 1].astype(np.float32)
    return inputs


def export(pipeline) -> bytes:
    types = [("load", StringTensorType([None, 1])), *((name, FloatTensorType([None, 1])) for name in NUMBERS)]
    model = to_onnx(pipeline, initial_types=types, target_opset={"": 17, "ai.onnx.ml": 3}, name="machine-anomaly")
    return model.SerializeToString()


def scores(session: ort.InferenceSession, windows: list[Window]) -> np.ndarray:
    return session.run(["scores"], columns_of(windows))[0][:, 0]


def reading(one: Window, machine: str) -> dict:
    return {
        "machine": machine,
        "load": one.load,
        "sampleRate": SAMPLE_RATE,
        "vibration": [round(float(value), 3) for value in one.vibration],
        "temperature": one.temperature,
        "ambient": one.ambient,
    }


def golden(name: str, one: Window, score: float) -> dict:
    def tensor(tensor_name: str, datatype: str, shape: list[int], data: list) -> dict:
        return {"name": tensor_name, "datatype": datatype, "shape": shape, "data": data}

    vibration = [round(float(value), 3) for value in one.vibration]
    inputs = [
        tensor("load", "BYTES", [1], [one.load]),
        tensor("vibration", "FP32", [len(vibration)], vibration),
        tensor("temperature", "FP32", [1], [one.temperature]),
        tensor("ambient", "FP32", [1], [one.ambient]),
    ]
    return {
        "name": name,
        "request": {"inputs": inputs},
        "response": {"outputs": [tensor("score", "FP32", [1], [float(score)])]},
    }


def main() -> None:
    rng = np.random.default_rng(SEED)
    counts = {"train": 2000, "limit": 4000, "test": 4000}
    normal = {name: [window(rng) for _ in range(count)] for name, count in counts.items()}
    model = export(train(normal["train"]))
    (ROOT / "model.onnx").write_bytes(model)
    session = ort.InferenceSession(model)

    threshold = round(float(np.quantile(scores(session, normal["limit"]), FALSE_ALARMS)), 4)
    usual = {}
    for load in LOADS:
        rows = [features(one) for one in normal["train"] if one.load == load]
        usual[load] = {
            name: [round(float(np.quantile([row[name] for row in rows], share)), 3) for share in (0.005, 0.995)]
            for name in NUMBERS
        }
    (ROOT / "normal.json").write_text(json.dumps({"threshold": threshold, "usual": usual}) + "\n")

    test = scores(session, normal["test"])
    print(f"{len(model)} bytes, threshold {threshold}; without a fault {np.mean(test < threshold):.2%} below it")
    for fault in FAULTS:
        for severity in (0.5, 1.0):
            faulty = scores(session, [window(rng, fault, severity) for _ in range(1000)])
            area = roc_auc_score([0] * len(test) + [1] * 1000, np.concatenate([-test, -faulty]))
            print(f"{fault} {severity}: {np.mean(faulty < threshold):.1%} found, area under the curve {area:.4f}")

    FIXTURES.mkdir(exist_ok=True)
    examples = {"normal": window(rng), **{fault: window(rng, fault) for fault in FAULTS}}
    for name, one in examples.items():
        (FIXTURES / f"{name}.json").write_text(json.dumps(reading(one, "fan-1")) + "\n")
    expected = scores(session, list(examples.values()))
    vectors = [golden(name, one, score) for (name, one), score in zip(examples.items(), expected)]
    (ROOT / "golden.json").write_text("[\n" + ",\n".join(json.dumps(one) for one in vectors) + "\n]\n")


if __name__ == "__main__":
    main()
