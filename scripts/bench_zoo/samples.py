"""Calibration samples for the networks of the zoo; pictures are kit's own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench_zoo.models import ARRAYS, TEXTS, ZooModel

COUNT = 48  # of which 32 calibrate and the others are golden inputs
_DOCS = Path(__file__).parents[2] / "docs"


def write(model: ZooModel, folder: Path) -> Path | None:
    """Write the samples of a network; return the value of `--calibrate`, None for photos."""
    if model.samples == TEXTS:
        file = folder / "sentences.txt"
        file.write_text("\n".join(sentences(4 * COUNT)) + "\n", encoding="utf-8")
        return file
    if model.samples != ARRAYS:
        return None
    target = folder / "samples"
    target.mkdir(exist_ok=True)
    for index, arrays in enumerate(_ARRAYS[model.name](model)):
        np.savez(target / f"{index:03}.npz", **arrays)  # type: ignore[arg-type]
    return target


def sentences(count: int) -> list[str]:
    """Return English sentences of 30 to 200 letters, out of kit's own pages."""
    unique: dict[str, None] = {}
    for page in sorted(_DOCS.glob("*.md")):
        text = re.sub("```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for line in text.splitlines():
            if line.startswith(("|", "    ", "#", "!", "-", "<")):
                continue
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line).replace("`", "")
            parts = re.split(r"(?<=[.:?]) ", plain)
            unique |= dict.fromkeys(p.strip() for p in parts if 30 <= len(p.strip()) <= 200)
    step = max(1, len(unique) // count)
    return list(unique)[::step][:count]


def _words(model: ZooModel) -> list[dict[str, np.ndarray]]:
    from bench_zoo.networks import VOCABULARY

    rng = np.random.default_rng(0)
    return [{"ids": rng.integers(0, VOCABULARY, (1, 32))} for _ in range(COUNT)]


def _crops(model: ZooModel) -> list[dict[str, np.ndarray]]:
    """Return crops of the sample photos, in the form that MTCNN and SSD expect."""
    from bench_zoo.networks import pictures

    name = "picture" if model.name == "ssdlite" else "x"
    return [{name: row[None].numpy()} for row in pictures(COUNT, model.size, seed=0)]


def _sounds(model: ZooModel) -> list[dict[str, np.ndarray]]:
    """Return frames of synthetic vowels, noise and silence, each with the state before it."""
    import torch

    from bench_zoo.networks import silero_vad

    network, rng = silero_vad(), np.random.default_rng(0)
    time = np.arange(COUNT * 512) / 16_000
    pitch = np.cumsum(120 + 30 * np.sin(2 * np.pi * 1.5 * time)) / 16_000
    voice = sum(
        np.exp(-((k * 130 - f) ** 2) / 2e5) * np.sin(2 * np.pi * k * pitch)
        for k in range(1, 25)
        for f in (600, 1200, 2500)
    )
    loud = np.clip(np.sin(2 * np.pi * 2.2 * time), 0, None) ** 0.5
    sound = 0.08 * voice * loud + 0.003 * rng.standard_normal(len(time))
    padded = np.concatenate([np.zeros(64), sound]).astype(np.float32)
    h = c = torch.zeros(1, 128)
    frames = []
    for index in range(COUNT):
        x = padded[index * 512 : index * 512 + 576][None]
        frames.append({"x": x, "h": h.numpy(), "c": c.numpy()})
        with torch.no_grad():
            _, h, c = network(torch.from_numpy(x), h, c)
    return frames


_ARRAYS = {
    "lstm": _words,
    "gru": _words,
    "ssdlite": _crops,
    "mtcnn_pnet": _crops,
    "mtcnn_rnet": _crops,
    "mtcnn_onet": _crops,
    "silero_vad": _sounds,
}
