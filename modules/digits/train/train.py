"""Train the digits model and write it with its golden vectors and fixtures.

    pip install -r modules/digits/train/requirements.txt
    python modules/digits/train/train.py
    python modules/digits/train/train.py --fine-tune

The first writes model.onnx, golden.json and fixtures/; the second continues from
model.onnx and writes model-v2.onnx and golden-v2.json.

The network is plain numpy with hand-written gradients, one BLAS thread, and
fixed seeds: on the same machine a second run writes the same bytes. Other
CPUs may round differently in the last place, which training then amplifies.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"

SEED = 20240
MINIMUM_ACCURACY = 0.985
LABEL_SMOOTHING = 0.05
BATCH = 64
AVERAGING = 0.98

Weights = dict[str, np.ndarray]


# --- data -------------------------------------------------------------------


def load_splits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images [N,1,8,8] with values 0..16, and labels; the same split for every run."""
    digits = load_digits()
    images = digits.images.astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    rest, heldout, rest_labels, heldout_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=SEED
    )
    train, validation, train_labels, validation_labels = train_test_split(
        rest, rest_labels, test_size=0.125, stratify=rest_labels, random_state=SEED
    )
    return {
        "train": (train, train_labels),
        "validation": (validation, validation_labels),
        "heldout": (heldout, heldout_labels),
    }


def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate, scale, shear and shift each image a little, with bilinear sampling."""
    count = len(images)
    angle = rng.uniform(-0.2, 0.2, count)
    shear = rng.uniform(-0.15, 0.15, count)
    scale = rng.uniform(0.9, 1.1, (2, count))
    shift = rng.uniform(-0.7, 0.7, (2, count))
    row, column = np.mgrid[0:8, 0:8] - 3.5
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    source_row = (cos * row + sin * column) * scale[0][:, None, None]
    source_column = (cos * column - sin * row) * scale[1][:, None, None]
    source_column += shear[:, None, None] * row
    # One pixel of margin on each side stands for everything outside the image.
    source_row = np.clip(source_row + 4.5 + shift[0][:, None, None], 0, 8.999)
    source_column = np.clip(source_column + 4.5 + shift[1][:, None, None], 0, 8.999)
    padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))
    top, left = source_row.astype(int), source_column.astype(int)
    down, right = source_row - top, source_column - left
    image = np.arange(count)[:, None, None]
    sampled = (
        padded[image, top, left] * (1 - down) * (1 - right)
        + padded[image, top, left + 1] * (1 - down) * right
        + padded[image, top + 1, left] * down * (1 - right)
        + padded[image, top + 1, left + 1] * down * right
    )
    return sampled.astype(np.float32)[:, None]


# --- network ----------------------------------------------------------------
# Activations are NHWC here; weights keep the ONNX layout (OIHW, and [out, in]).


def initial_weights(rng: np.random.Generator) -> Weights:
    def he(*shape: int) -> np.ndarray:
        fan_in = int(np.prod(shape[1:]))
        return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)

    def zeros(size: int) -> np.ndarray:
        return np.zeros(size, np.float32)

    return {
        "conv1.weight": he(16, 1, 3, 3),
        "conv1.bias": zeros(16),
        "conv2.weight": he(32, 16, 3, 3),
        "conv2.bias": zeros(32),
        "conv3.weight": he(48, 32, 3, 3),
        "conv3.bias": zeros(48),
        "hidden.weight": he(64, 48 * 2 * 2),
        "hidden.bias": zeros(64),
        "output.weight": he(10, 64),
        "output.bias": zeros(10),
    }


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray):
    """3x3 convolution, padding 1; also returns the unrolled patches."""
    count, height, width, channels = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    patches = windows.reshape(count * height * width, channels * 9)
    y = patches @ weight.reshape(len(weight), -1).T + bias
    return y.reshape(count, height, width, len(weight)), patches


def conv_gradients(dy: np.ndarray, patches: np.ndarray, weight: np.ndarray, need_dx: bool = True):
    count, height, width, filters = dy.shape
    flat = dy.reshape(-1, filters)
    dweight = (flat.T @ patches).reshape(weight.shape)
    dbias = flat.sum(axis=0)
    if not need_dx:
        return None, dweight, dbias
    channels = weight.shape[1]
    dpatches = (flat @ weight.reshape(filters, -1)).reshape(count, height, width, channels, 3, 3)
    dpadded = np.zeros((count, height + 2, width + 2, channels), np.float32)
    for row in range(3):
        for column in range(3):
            dpadded[:, row : row + height, column : column + width] += dpatches[..., row, column]
    return dpadded[:, 1:-1, 1:-1], dweight, dbias


def pool(x: np.ndarray):
    """2x2 maximum; also returns which of the four inputs won."""
    count, height, width, channels = x.shape
    blocks = x.reshape(count, height // 2, 2, width // 2, 2, channels)
    blocks = blocks.transpose(0, 1, 3, 5, 2, 4).reshape(count, height // 2, width // 2, channels, 4)
    winner = blocks.argmax(axis=-1)[..., None]
    return np.take_along_axis(blocks, winner, axis=-1)[..., 0], winner


def pool_gradient(dy: np.ndarray, winner: np.ndarray) -> np.ndarray:
    count, height, width, channels = dy.shape
    blocks = np.zeros((*dy.shape, 4), np.float32)
    np.put_along_axis(blocks, winner, dy[..., None], axis=-1)
    blocks = blocks.reshape(count, height, width, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(count, height * 2, width * 2, channels)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def forward(w: Weights, images: np.ndarray):
    """Probabilities [N,10], and what the backward pass needs."""
    x = images.transpose(0, 2, 3, 1) * np.float32(1 / 16)
    a1, p1 = conv(x, w["conv1.weight"], w["conv1.bias"])
    r1 = np.maximum(a1, 0)
    a2, p2 = conv(r1, w["conv2.weight"], w["conv2.bias"])
    m2, win2 = pool(np.maximum(a2, 0))
    a3, p3 = conv(m2, w["conv3.weight"], w["conv3.bias"])
    m3, win3 = pool(np.maximum(a3, 0))
    flat = m3.transpose(0, 3, 1, 2).reshape(len(images), -1)
    hidden = np.maximum(flat @ w["hidden.weight"].T + w["hidden.bias"], 0)
    probabilities = softmax(hidden @ w["output.weight"].T + w["output.bias"])
    return probabilities, (a1, p1, a2, p2, win2, a3, p3, m3.shape, win3, flat, hidden)


def gradients(w: Weights, images: np.ndarray, targets: np.ndarray) -> Weights:
    """Gradients of the mean cross-entropy against the target distributions."""
    probabilities, (a1, p1, a2, p2, win2, a3, p3, shape3, win3, flat, hidden) = forward(w, images)
    g: Weights = {}
    dlogits = (probabilities - targets) / np.float32(len(images))
    g["output.weight"], g["output.bias"] = dlogits.T @ hidden, dlogits.sum(axis=0)
    dhidden = (dlogits @ w["output.weight"]) * (hidden > 0)
    g["hidden.weight"], g["hidden.bias"] = dhidden.T @ flat, dhidden.sum(axis=0)
    count, height, width, channels = shape3
    dm3 = (dhidden @ w["hidden.weight"]).reshape(count, channels, height, width)
    da3 = pool_gradient(dm3.transpose(0, 2, 3, 1), win3) * (a3 > 0)
    dm2, g["conv3.weight"], g["conv3.bias"] = conv_gradients(da3, p3, w["conv3.weight"])
    da2 = pool_gradient(dm2, win2) * (a2 > 0)
    dr1, g["conv2.weight"], g["conv2.bias"] = conv_gradients(da2, p2, w["conv2.weight"])
    _, g["conv1.weight"], g["conv1.bias"] = conv_gradients(
        dr1 * (a1 > 0), p1, w["conv1.weight"], need_dx=False
    )
    return g


def check_gradients() -> None:
    """Compare the hand-written gradients with finite differences, in float64."""
    rng = np.random.default_rng(SEED)
    w = {name: value.astype(np.float64) for name, value in initial_weights(rng).items()}
    images = rng.uniform(0, 16, (4, 1, 8, 8))
    targets = np.eye(10)[[1, 3, 5, 7]]

    def loss() -> float:
        return float(-(targets * np.log(forward(w, images)[0])).sum(axis=1).mean())

    step = 1e-6
    for name, gradient in gradients(w, images, targets).items():
        index = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        kept = w[name][index]
        w[name][index] = kept + step
        above = loss()
        w[name][index] = kept - step
        below = loss()
        w[name][index] = kept
        if not np.isclose((above - below) / (2 * step), gradient[index], rtol=1e-3):
            raise SystemExit(f"the gradient of {name} is wrong")


# --- training ---------------------------------------------------------------


def accuracy(w: Weights, images: np.ndarray, labels: np.ndarray) -> float:
    return float((forward(w, images)[0].argmax(axis=1) == labels).mean())


def cross_entropy(w: Weights, images: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(forward(w, images)[0][np.arange(len(labels)), labels]).mean())


def train(w: Weights, splits, epochs: int, rate: float, seed: int) -> Weights:
    """Adam with a cosine schedule; returns the averaged weights of the best validation epoch."""
    images, labels = splits["train"]
    targets = np.eye(10, dtype=np.float32)[labels]
    targets = targets * np.float32(1 - LABEL_SMOOTHING) + np.float32(LABEL_SMOOTHING / 10)
    rng = np.random.default_rng(seed)
    w = {name: value.copy() for name, value in w.items()}
    average = {name: value.copy() for name, value in w.items()}
    mean = {name: np.zeros_like(value) for name, value in w.items()}
    square = {name: np.zeros_like(value) for name, value in w.items()}
    steps_per_epoch = -(-len(images) // BATCH)
    steps = epochs * steps_per_epoch
    step = 0
    best, best_loss = average, np.inf
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(images))
        for start in range(0, len(images), BATCH):
            chosen = order[start : start + BATCH]
            g = gradients(w, augment(images[chosen], rng), targets[chosen])
            step += 1
            now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            correction = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for name in w:
                mean[name] += np.float32(0.1) * (g[name] - mean[name])
                square[name] += np.float32(0.001) * (g[name] ** 2 - square[name])
                update = mean[name] / (np.sqrt(square[name]) + np.float32(1e-8))
                w[name] -= np.float32(now * correction) * update
                average[name] += np.float32(1 - AVERAGING) * (w[name] - average[name])
        loss = cross_entropy(average, *splits["validation"])
        if loss < best_loss:
            best, best_loss = {name: value.copy() for name, value in average.items()}, loss
        if epoch % 10 == 0 or epoch == epochs:
            right = accuracy(average, *splits["validation"])
            print(f"epoch {epoch:3d}  validation loss {loss:.4f}  accuracy {right:.4f}", flush=True)
    return best


# --- ONNX -------------------------------------------------------------------


def to_onnx(w: Weights, revision: int, seed: int, heldout_accuracy: float, heldout_images: int):
    """The graph; every revision has the same layout, so only weights and a few digits differ."""
    constants = {"scale": np.float32(1 / 16), **w}
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    halve = {"kernel_shape": [2, 2], "strides": [2, 2]}
    node = helper.make_node
    nodes = [
        node("Mul", ["image", "scale"], ["scaled"], "scaled"),
        node("Conv", ["scaled", "conv1.weight", "conv1.bias"], ["conv1"], "conv1", **same),
        node("Relu", ["conv1"], ["relu1"], "relu1"),
        node("Conv", ["relu1", "conv2.weight", "conv2.bias"], ["conv2"], "conv2", **same),
        node("Relu", ["conv2"], ["relu2"], "relu2"),
        node("MaxPool", ["relu2"], ["pool2"], "pool2", **halve),
        node("Conv", ["pool2", "conv3.weight", "conv3.bias"], ["conv3"], "conv3", **same),
        node("Relu", ["conv3"], ["relu3"], "relu3"),
        node("MaxPool", ["relu3"], ["pool3"], "pool3", **halve),
        node("Flatten", ["pool3"], ["flat"], "flat", axis=1),
        node("Gemm", ["flat", "hidden.weight", "hidden.bias"], ["hidden"], "hidden", transB=1),
        node("Relu", ["hidden"], ["relu4"], "relu4"),
        node("Gemm", ["relu4", "output.weight", "output.bias"], ["logits"], "output", transB=1),
        node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
        node("ArgMax", ["probabilities"], ["label"], "argmax", axis=1, keepdims=0),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "digits",
        [value("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [
            value("probabilities", TensorProto.FLOAT, ["batch", 10]),
            value("label", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
        doc_string="image: grey values 0..16; probabilities: one per digit; label: the likeliest.",
    )
    model = helper.make_model(
        graph,
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
        producer_name="flotilla-digits-train",
        producer_version="1.0.0",
        model_version=revision,
        doc_string="Recognises one handwritten digit in an 8x8 grey image.",
    )
    helper.set_model_props(
        model,
        {
            "dataset": "UCI Optical Recognition of Handwritten Digits (scikit-learn load_digits)",
            "license": "CC-BY-4.0 (data)",
            "heldout_images": str(heldout_images),
            "heldout_accuracy": f"{heldout_accuracy:.4f}",
            "seed": str(seed),
            "revision": str(revision),
        },
    )
    return model


def weights_of(path: Path) -> Weights:
    arrays = {t.name: numpy_helper.to_array(t).copy() for t in onnx.load(path).graph.initializer}
    return {name: array for name, array in arrays.items() if name != "scale"}


def check_export(path: Path, w: Weights, images: np.ndarray) -> ort.InferenceSession:
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (images, images[:1]):
        own = forward(w, batch)[0]
        probabilities, label = session.run(["probabilities", "label"], {"image": batch})
        difference = float(np.abs(own - probabilities).max())
        if difference > 1e-5 or not np.array_equal(own.argmax(axis=1), label):
            raise SystemExit(f"onnxruntime disagrees with the trained network by {difference}")
    return session


# --- golden vectors and fixtures --------------------------------------------


def numbers(array: np.ndarray) -> list:
    """JSON numbers with the fewest digits that read back the same, whole ones as integers."""
    flat = array.ravel()
    if np.issubdtype(array.dtype, np.integer) or np.array_equal(flat, flat.round()):
        return [int(v) for v in flat]
    return [float(str(v)) for v in flat]


def tensor(name: str, datatype: str, array: np.ndarray) -> dict:
    head = {"name": name, "shape": list(array.shape), "datatype": datatype}
    return {**head, "data": numbers(array)}


def request(images: np.ndarray) -> dict:
    return {"inputs": [tensor("image", "FP32", images)]}


def images_of(body: dict) -> np.ndarray:
    given = body["inputs"][0]
    return np.array(given["data"], np.float32).reshape(given["shape"])


def response(session: ort.InferenceSession, images: np.ndarray) -> dict:
    probabilities, label = session.run(["probabilities", "label"], {"image": images})
    return {
        "outputs": [tensor("probabilities", "FP32", probabilities), tensor("label", "INT64", label)]
    }


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def write_list(path: Path, rows: list) -> None:
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    path.write_text(f"[\n{lines}\n]\n")


def first_of_each(labels: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """For each class the first held-out image that the model recognises."""
    right = probabilities.argmax(axis=1) == labels
    return [int(np.flatnonzero(right & (labels == digit))[0]) for digit in range(10)]


def golden_inputs(images: np.ndarray, probabilities: np.ndarray, firsts: list[int]):
    """Four named inputs; the least certain one shows errors that sure answers hide."""
    chosen = {
        "three": [firsts[3]],
        "eight": [firsts[8]],
        "least-certain": [int(probabilities.max(axis=1).argmin())],
        "batch-of-three": [firsts[0], firsts[4], firsts[9]],
    }
    return [{"name": name, "request": request(images[rows])} for name, rows in chosen.items()]


def write_golden(path: Path, session: ort.InferenceSession, vectors: list[dict]) -> None:
    rows = []
    for vector in vectors:
        images = images_of(vector["request"])
        top = np.sort(session.run(["probabilities"], {"image": images})[0], axis=1)
        if (top[:, -1] - top[:, -2]).min() < 0.05:
            raise SystemExit(f"{vector['name']}: too close, its label could differ elsewhere")
        row = {"name": vector["name"], "request": vector["request"]}
        rows.append({**row, "response": response(session, images)})
    write_list(path, rows)


def write_fixtures(heldout: tuple[np.ndarray, np.ndarray], firsts: list[int]) -> None:
    images, labels = heldout
    FIXTURES.mkdir(exist_ok=True)
    one = images[firsts[3]][None]
    write_json(FIXTURES / "digit.json", request(one))
    write_json(FIXTURES / "digits-10.json", request(images[firsts]))
    (FIXTURES / "digit.bin").write_bytes(one.astype("<f4").tobytes())
    write_json(
        FIXTURES / "expected.json",
        {"digit.json": [3], "digit.bin": [3], "digits-10.json": list(range(10))},
    )
    sample = np.sort(np.concatenate([np.flatnonzero(labels == d)[:10] for d in range(10)]))
    rows = [{"label": int(labels[i]), "image": numbers(images[i])} for i in sample]
    write_list(FIXTURES / "heldout.json", rows)


def check_fixtures(session: ort.InferenceSession) -> None:
    """Every fixture, read back from its file, must get its expected label."""
    expected = json.loads((FIXTURES / "expected.json").read_text())
    for name, labels in expected.items():
        path = FIXTURES / name
        if path.suffix == ".bin":
            images = np.frombuffer(path.read_bytes(), "<f4").reshape(1, 1, 8, 8)
        else:
            images = images_of(json.loads(path.read_text()))
        label = session.run(["label"], {"image": images})[0]
        if label.tolist() != labels:
            raise SystemExit(f"{name}: expected {labels}, the model says {label.tolist()}")
    rows = json.loads((FIXTURES / "heldout.json").read_text())
    images = np.array([row["image"] for row in rows], np.float32).reshape(-1, 1, 8, 8)
    label = session.run(["label"], {"image": images})[0]
    right = sum(int(a == row["label"]) for a, row in zip(label, rows, strict=True))
    print(f"heldout.json: {right} of {len(rows)} right")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the digits model.")
    parser.add_argument(
        "--fine-tune", action="store_true", help="continue from model.onnx, write model-v2.onnx"
    )
    fine_tune = parser.parse_args().fine_tune

    started = time.monotonic()
    check_gradients()
    splits = load_splits()
    if fine_tune:
        revision, seed, suffix = 2, SEED + 1, "-v2"
        w = train(weights_of(ROOT / "model.onnx"), splits, epochs=12, rate=1e-3, seed=seed)
    else:
        revision, seed, suffix = 1, SEED, ""
        w = train(initial_weights(np.random.default_rng(seed)), splits, 100, rate=3e-3, seed=seed)

    images, labels = splits["heldout"]
    reached = accuracy(w, images, labels)
    right = round(reached * len(labels))
    print(f"held-out accuracy {reached:.4f} ({right} of {len(labels)})")
    if reached < MINIMUM_ACCURACY:
        raise SystemExit(f"held-out accuracy is below {MINIMUM_ACCURACY}")

    path = ROOT / f"model{suffix}.onnx"
    model = to_onnx(w, revision, seed, reached, len(labels))
    path.write_bytes(model.SerializeToString(deterministic=True))
    session = check_export(path, w, images)
    if fine_tune:
        # The same questions as the first version, so that only the answers differ.
        vectors = json.loads((ROOT / "golden.json").read_text())
    else:
        probabilities = session.run(["probabilities"], {"image": images})[0]
        firsts = first_of_each(labels, probabilities)
        vectors = golden_inputs(images, probabilities, firsts)
        write_fixtures(splits["heldout"], firsts)
    write_golden(ROOT / f"golden{suffix}.json", session, vectors)
    check_fixtures(session)
    print(f"wrote {path.name}, {path.stat().st_size} bytes, in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
