"""Write fixtures/pictures/: held-out digits as pictures, to be dropped in the folder that the module watches.

    pip install numpy==2.4.6 onnxruntime==1.32.0 pillow==13.0.0
    python modules/digits/train/pictures.py

Black ink on white paper, 64x64, PNG and one JPEG. The model must name each after it was made 8x8 again, as
the route of module.yaml does.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "fixtures/pictures"
FILES = {"two.png": 2, "three.jpg": 3, "seven.png": 7}


def main() -> None:
    request = json.loads((ROOT / "fixtures/digits-10.json").read_text())
    digits = np.array(request["inputs"][0]["data"], np.float32).reshape(10, 8, 8)
    session = ort.InferenceSession(str(ROOT / "model.onnx"))
    PICTURES.mkdir(exist_ok=True)
    for name, digit in FILES.items():
        grey = np.round(255 - digits[digit] * 255 / 16).astype(np.uint8)
        Image.fromarray(grey).resize((64, 64), Image.Resampling.BICUBIC).save(PICTURES / name, quality=90)
        small = Image.open(PICTURES / name).convert("L").resize((8, 8), Image.Resampling.BILINEAR)
        ink = 16 - np.asarray(small, np.float32) * 16 / 255
        [label] = session.run(["label"], {"image": ink[None, None]})[0]
        if label != digit:
            raise SystemExit(f"{name}: the model says {label}")
    (PICTURES / "expected.json").write_text(json.dumps(FILES) + "\n")


if __name__ == "__main__":
    main()
