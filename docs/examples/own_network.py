"""Your own network from training to a report, from Python and without a network connection.

    python docs/examples/own_network.py out/stripes

It trains three convolutions to tell stripes from checks, in seconds, on pictures that it draws.
Replace `Stripes` by your network, and `draw_pictures` by pictures of yours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

SIDE = 32
NAMES = ("checks", "columns", "rows")


class Stripes(nn.Module):
    """A small classifier of pictures: [N, 3, 32, 32] to [N, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*block(3, 8), *block(8, 16), *block(16, 32))
        self.classifier = nn.Linear(32, len(NAMES))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(pictures).mean((2, 3)))


def block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU6()


def make() -> nn.Module:
    """What `kit build own_network.py:make` calls; --weights fills it."""
    return Stripes()


def main(folder: Path) -> None:
    import kit
    from kit.bench.plan import get_preset
    from kit.report.write import write as write_report

    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_pictures(folder / "pictures", 40)
    torch.save(train(pictures).state_dict(), folder / "weights.pth")
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")

    recipe = kit.make_recipe(
        f"{Path(__file__).resolve()}:make",
        weights=str(folder / "weights.pth"),
        labels=str(folder / "labels.txt"),
        resolution=SIDE,
        formats=["onnx"],
        precisions=["fp32", "int8"],
        calibrate=str(pictures),
    )
    bundle = kit.build(recipe, folder / "bundle")
    accuracy = kit.evaluate(bundle, pictures)
    for row in accuracy.rows:
        sqnr = "equal" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB"
        print(f"{row.name}: top-1 {row.top1:.1%} of {row.images} pictures, {sqnr}")
    latency = kit.measure(bundle, plan=get_preset("quick"))
    for run in latency.runs:
        samples = sorted(run.processes[0].samples_ns)
        print(f"{run.name}: about {samples[len(samples) // 2] / 1e6:.3f} ms in one process")
    print(write_report([accuracy, latency], folder / "report").html)


def draw_pictures(folder: Path, each: int) -> Path:
    """Write `each` pictures of every class to a folder of its name."""
    from PIL import Image

    generator = torch.Generator().manual_seed(0)
    at = torch.arange(SIDE)
    for name in NAMES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            width = int(torch.randint(2, 6, (1,), generator=generator))
            rows, columns = (at // width % 2)[:, None], (at // width % 2)[None]
            grid = {"rows": rows + 0 * columns, "columns": columns + 0 * rows}
            pattern = grid.get(name, (rows + columns) % 2)[..., None]
            first = torch.rand(3, generator=generator)
            noise = 0.1 * torch.randn((SIDE, SIDE, 3), generator=generator)
            picture = torch.where(pattern == 1, first, (first + 0.5) % 1) + noise
            pixels = (255 * picture.clamp(0, 1)).to(torch.uint8).numpy()
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
    return folder


def train(folder: Path, steps: int = 150) -> nn.Module:
    """Fit the network to the pictures, prepared as the bundle will prepare them."""
    import numpy as np
    from PIL import Image

    torch.manual_seed(0)
    files = sorted(folder.rglob("*.png"))
    labels = torch.tensor([NAMES.index(file.parent.name) for file in files])
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    inputs = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    network = Stripes().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(steps):
        batch = torch.randint(len(files), (32,))
        loss = nn.functional.cross_entropy(network(inputs[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/stripes"))
