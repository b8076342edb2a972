"""A segmentation network from training to masks, without a network connection.

    python docs/examples/segmentation.py out/shapes

It learns to find discs and squares in pictures that it draws, in seconds. Replace `Shapes` by your
network, and the folders `pictures` and `masks` by yours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

SIDE = 64
NAMES = ("background", "disc", "square")
COLOURS = torch.tensor(
    [[0.2, 0.5, 0.2], [0.6, 0.1, 0.1], [0.1, 0.1, 0.6]]
)  # of each, at its darkest


class Shapes(nn.Module):
    """A class of each pixel: [N, 3, 64, 64] to logits [N, 3, 32, 32]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 16, 2), (16, 16, 1), (16, 24, 2), (24, 24, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU6()]
        self.encoder = nn.Sequential(*layers)
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(24, len(NAMES), 3, 1, 1)
        )

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(pictures))


def make() -> nn.Module:
    """What `kit build segmentation.py:make` calls; --weights fills it."""
    return Shapes()


def main(folder: Path) -> None:
    import kit

    pictures, masks = draw_shapes(folder, 60)
    torch.save(train(pictures, masks).state_dict(), folder / "weights.pth")
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    recipe = kit.make_recipe(
        f"{Path(__file__).resolve()}:make",
        task="image-segmentation",
        weights=str(folder / "weights.pth"),
        labels=str(folder / "labels.txt"),
        resolution=SIDE,
        formats=["onnx"],
        precisions=["fp32", "int8"],
        calibrate=str(pictures),
    )
    bundle = kit.build(recipe, folder / "bundle")
    for row in kit.evaluate(bundle, pictures, masks).rows:
        numbers = ", ".join(f"{metric.name} {metric.value:.1f}" for metric in row.metrics)
        print(f"{row.name}: {numbers}, {row.images} pictures")
    print(f"kit predict {bundle.path} {pictures} --save {folder / 'answers'}/")


def draw_shapes(folder: Path, count: int) -> tuple[Path, Path]:
    """Write pictures of discs and squares, and masks whose pixels are the indices of `NAMES`."""
    from PIL import Image

    pictures, masks = folder / "pictures", folder / "masks"
    for path in (pictures, masks):
        path.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    at = torch.arange(SIDE, dtype=torch.float32)
    for number in range(count):
        mask = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
        for kind in (1, 2):
            x, y = (torch.rand(2, generator=generator) * 40 + 12).tolist()
            radius = 6 + 6 * torch.rand(1, generator=generator).item()
            dx, dy = (at - x).abs()[None], (at - y).abs()[:, None]
            far = torch.maximum(dx, dy) if kind == 2 else (dx**2 + dy**2).sqrt()
            mask[far <= radius] = kind
        colours = COLOURS + 0.3 * torch.rand(3, 3, generator=generator)
        noise = 0.05 * torch.randn((SIDE, SIDE, 3), generator=generator)
        pixels = (255 * (colours[mask.long()] + noise).clamp(0, 1)).to(torch.uint8)
        Image.fromarray(pixels.numpy()).save(pictures / f"{number:03}.png")
        Image.fromarray(mask.numpy()).save(masks / f"{number:03}.png")
    return pictures, masks


def train(pictures: Path, masks: Path, steps: int = 80) -> nn.Module:
    """Fit the network to the masks, with pictures as the bundle will prepare them."""
    import numpy as np
    from PIL import Image

    torch.manual_seed(0)
    files = sorted(pictures.glob("*.png"))
    pixels = torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))
    marked = [np.asarray(Image.open(masks / file.name)) for file in files]
    wanted = torch.from_numpy(np.stack(marked)).long()[:, ::2, ::2]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    inputs = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    network = Shapes().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    weight = torch.tensor([1.0, 4.0, 4.0])  # most pixels are background
    for _ in range(steps):
        batch = torch.randint(len(files), (12,))
        loss = nn.functional.cross_entropy(network(inputs[batch]), wanted[batch], weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/shapes"))
