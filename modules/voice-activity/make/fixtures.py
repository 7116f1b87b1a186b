"""Write fixtures/ and golden.json from the recordings that pocketsphinx ships with its tests.

    pip install numpy==2.4.6 onnxruntime==1.32.0
    pip download --no-deps --no-binary pocketsphinx pocketsphinx==5.1.1 && tar xzf pocketsphinx-5.1.1.tar.gz
    python modules/voice-activity/make/fixtures.py pocketsphinx-5.1.1/test/data/librivox

`two-sentences.wav` is one sentence, 1.5 seconds of the room that the first was read in, and another
sentence. Where words begin and end comes from the alignment beside the recordings, not from the model.
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime as ort

ROOT = Path(__file__).resolve().parent.parent
RATE = 16_000
PREFIX = "sense_and_sensibility_01_austen_64kb-"
FRAME, OVERLAP = 512, 64


def recording(folder: Path, number: str) -> np.ndarray:
    with wave.open(str(folder / f"{PREFIX}{number}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def words(folder: Path, number: str, offset: float) -> dict:
    aligned = json.loads((folder / f"{PREFIX}{number}.json").read_text())
    spoken = [word for word in aligned["w"] if not word["t"].startswith("<")]
    last = spoken[-1]
    return {
        "text": aligned["t"],
        "start": round(offset + spoken[0]["b"], 3),
        "end": round(offset + last["b"] + last["d"], 3),
    }


def likelihoods(samples: np.ndarray) -> list[float]:
    session = ort.InferenceSession(str(ROOT / "model.onnx"))
    state, before, out = np.zeros((2, 1, 128), np.float32), np.zeros(OVERLAP, np.float32), []
    for at in range(0, len(samples) - FRAME + 1, FRAME):
        frame = np.concatenate([before, samples[at : at + FRAME].astype(np.float32) / 32_768])
        output, state = session.run(None, {"input": frame[None], "state": state, "sr": np.array(RATE, np.int64)})
        before = frame[-OVERLAP:]
        out.append(float(output[0, 0]))
    return out


def main() -> None:
    folder = Path(sys.argv[1])
    first, second = recording(folder, "0880"), recording(folder, "0930")
    room = np.resize(first[: int(0.15 * RATE)], int(1.5 * RATE))
    sound = np.concatenate([first, room, second])
    with wave.open(str(ROOT / "fixtures/two-sentences.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.astype("<i2").tobytes())
    offset = (len(first) + len(room)) / RATE
    spoken = [words(folder, "0880", 0), words(folder, "0930", offset)]
    (ROOT / "fixtures/two-sentences.json").write_text(json.dumps(spoken, indent=2) + "\n")

    vectors = []
    for name, samples in (("speech-begins", first[:12_000]), ("room", room[:8_000])):
        out = likelihoods(samples)
        audio = {"name": "audio", "datatype": "INT16", "shape": [len(samples)], "data": samples.tolist()}
        answer = {"name": "likelihood", "datatype": "FP32", "shape": [len(out)], "data": out}
        vectors.append({"name": name, "request": {"inputs": [audio]}, "response": {"outputs": [answer]}})
    (ROOT / "golden.json").write_text("[\n" + ",\n".join(json.dumps(one) for one in vectors) + "\n]\n")


if __name__ == "__main__":
    main()
