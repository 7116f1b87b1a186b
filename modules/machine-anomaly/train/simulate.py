"""Windows of a simulated motor: 1,024 samples of acceleration at 3,200 Hz, and two temperatures.

Nothing here was measured. The signal is what textbooks say of a motor on a fan: a shaft that turns
at about 24.5 Hz and its first harmonics (imbalance and misalignment), a little mains hum, broadband
noise that grows with the load, and a sensor with a resolution of 4 mg. Faults add what they are known
to add: imbalance a larger first harmonic, a worn bearing a train of short ringing impacts at the
rate at which balls pass a damage of the outer race, friction a temperature that rises.
"""

from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 3200
SAMPLES = 1024
LOADS = ("idle", "half", "full")
STRENGTH = {"idle": 0.6, "half": 1.0, "full": 1.5}
FAULTS = ("imbalance", "bearing", "overheating")


@dataclass(frozen=True)
class Window:
    load: str
    vibration: np.ndarray  # g
    temperature: float  # degrees Celsius, at the housing
    ambient: float


def window(rng: np.random.Generator, fault: str | None = None, severity: float = 1.0) -> Window:
    load = LOADS[rng.integers(len(LOADS))]
    strength = STRENGTH[load]
    time = np.arange(SAMPLES) / SAMPLE_RATE
    shaft = rng.normal(24.5, 0.15)

    first, second, third = 0.20, 0.07, 0.04
    if fault == "imbalance":
        first *= 1 + 1.5 * severity
    signal = np.zeros(SAMPLES)
    for harmonic, amplitude in ((1, first), (2, second), (3, third)):
        amplitude *= strength * rng.normal(1, 0.06)
        signal += amplitude * np.sin(2 * np.pi * harmonic * shaft * time + rng.uniform(0, 2 * np.pi))
    signal += 0.02 * np.sin(2 * np.pi * 100 * time + rng.uniform(0, 2 * np.pi))
    signal += rng.normal(0, 0.05 * strength, SAMPLES)
    if fault == "bearing":
        signal += impacts(rng, time, rate=3.58 * shaft, height=0.55 * severity * strength)

    rise = 14 + 12 * (strength - 0.6) + rng.normal(0, 1.2)
    if fault == "overheating":
        rise += 12 * severity
    ambient = rng.uniform(12, 32)
    return Window(load, np.round(signal / 0.004) * 0.004, round(ambient + rise, 1), round(ambient, 1))


def impacts(rng: np.random.Generator, time: np.ndarray, rate: float, height: float) -> np.ndarray:
    """Each rings at about 1,150 Hz and is over after some milliseconds."""
    signal = np.zeros_like(time)
    at = rng.uniform(0, 1 / rate)
    while at < time[-1]:
        since = np.clip(time - at, 0, None)
        ringing = np.exp(-since / 0.0015) * np.sin(2 * np.pi * 1150 * since)
        signal += rng.normal(1, 0.2) * height * np.where(time >= at, ringing, 0)
        at += rng.normal(1, 0.015) / rate
    return signal


def features(window: Window) -> dict[str, float]:
    """As features.ts computes them on the device; the golden vectors hold the two against each other."""
    moving = window.vibration - window.vibration.mean()
    rms = float(np.sqrt((moving**2).mean()))
    return {
        "rms": rms,
        "crest": float(np.abs(moving).max() / rms),
        "kurtosis": float((moving**4).mean() / rms**4),
        "roughness": float(np.sqrt((np.diff(moving) ** 2).mean()) / rms),
        "rise": window.temperature - window.ambient,
    }
