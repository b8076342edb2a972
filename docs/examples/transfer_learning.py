"""Transfer learning from trained features to categories of one's own, then int8.

    python docs/examples/transfer_learning.py out/shades

A network that has learned direction and width of stripes keeps its layers and gets a new
classifier for other categories. It is built twice: with static quantization, and with
quantization-aware training. All of it is drawn and learned here, in seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

SIDE = 32
OLD, NEW = ("fine-columns", "fine-rows", "broad-columns", "broad-rows"), ("narrow", "wide", "plain")
WIDTHS = {"fine": 3, "broad": 5, "narrow": 2, "wide": 6, "plain": SIDE}  # pixels of a stripe


class Network(nn.Module):
    """Features that are kept, and a classifier that is replaced: [N, 3, 32, 32] to [N, classes]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 12), (12, 16), (16, 32)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(32, classes)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(pictures).mean((2, 3)))


def make() -> nn.Module:
    """What `kit build transfer_learning.py:make` calls; --weights fills it."""
    return Network(len(NEW))


def main(folder: Path) -> None:
    import kit

    source = fit(Network(len(OLD)), draw_stripes(folder / "old", OLD, 30), OLD)
    network = Network(len(NEW))
    network.features.load_state_dict(source.features.state_dict())
    for parameter in network.features.parameters():
        parameter.requires_grad_(False)
    pictures = draw_stripes(folder / "new", NEW, 40)
    torch.save(fit(network, pictures, NEW).state_dict(), folder / "weights.pth")
    (folder / "labels.txt").write_text("\n".join(NEW) + "\n", encoding="utf-8")
    for method, training in (("static", {}), ("qat", {"train": str(pictures), "train_steps": 4})):
        recipe = kit.make_recipe(
            f"{Path(__file__).resolve()}:make",
            weights=str(folder / "weights.pth"),
            labels=str(folder / "labels.txt"),
            resolution=SIDE,
            quantize=method,
            formats=["onnx"],
            calibrate=str(pictures),
            **training,
        )
        bundle = kit.build(recipe, folder / method)
        row = kit.evaluate(bundle, pictures).rows[-1]
        print(f"{method}: top-1 {row.top1:.1%} of {row.images} pictures, {row.sqnr_db:.1f} dB")


def draw_stripes(folder: Path, names: tuple[str, ...], each: int) -> Path:
    """Write `each` pictures of every category to a folder of its name."""
    from PIL import Image

    generator = torch.Generator().manual_seed(len(names))
    at = torch.arange(SIDE)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            kind, _, direction = name.partition("-")
            stripes = (at // WIDTHS[kind] % 2)[None].expand(SIDE, SIDE)
            turned = direction == "rows" or (not direction and number % 2)
            pattern = (stripes.T if turned else stripes)[..., None]
            first = torch.rand(3, generator=generator)
            noise = 0.05 * torch.randn((SIDE, SIDE, 3), generator=generator)
            picture = torch.where(pattern == 1, first, (first + 0.5) % 1) + noise
            pixels = (255 * picture.clamp(0, 1)).to(torch.uint8).numpy()
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
    return folder


def fit(network: Network, folder: Path, names: tuple[str, ...], steps: int = 150) -> Network:
    """Train what is not frozen, on pictures as the bundle will prepare them."""
    import numpy as np
    from PIL import Image

    torch.manual_seed(0)
    files = sorted(folder.rglob("*.png"))
    labels = torch.tensor([names.index(file.parent.name) for file in files])
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    inputs = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.train(len(learned) == len(list(network.parameters())))  # frozen statistics stay
    optimizer = torch.optim.Adam(learned, lr=2e-2)
    for _ in range(steps):
        batch = torch.randint(len(files), (32,))
        loss = nn.functional.cross_entropy(network(inputs[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/shades"))
