#!/usr/bin/env python3
"""From ImageNet to ten categories of your own: fine-tune, then PTQ and QAT, one table.

    scripts/transfer.py CIFAR.zip

CIFAR.zip holds train/CATEGORY/*.jpg and test/CATEGORY/*.jpg. MobileNetV2 at 96 pixels is
fine-tuned on 4000 pictures; 64 of them calibrate, QAT trains with 640 of them; 1000 test
pictures are evaluated. The same file is the model that
`kit build scripts/transfer.py:network` takes.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
SIDE = 96
CATEGORIES = 10
FROZEN = 4  # blocks, down to maps of 24x24
SEED = 0


def network() -> nn.Module:
    """Return MobileNetV2 with ten outputs; `kit build --weights` fills it."""
    import torchvision

    model: nn.Module = torchvision.models.mobilenet_v2(weights=None, num_classes=CATEGORIES)
    return model


def main() -> int:
    """Run the example."""
    arguments = _arguments()
    folder = arguments.output
    for part, count in (("train", arguments.pictures), ("test", arguments.test)):
        _extract(arguments.pictures_zip, part, count, folder)
    names = sorted(p.name for p in (folder / "train").iterdir())
    labels = folder / "labels.txt"
    labels.write_text("\n".join(names) + "\n", encoding="utf-8")
    weights = folder / "network.pt"
    if not weights.exists():
        _fine_tune(folder / "train", weights, arguments.epochs)
    common = ["--weights", weights, "--input", f"3x{SIDE}x{SIDE}", "--labels", labels]
    common += ["--calibrate", folder / "train", "--calibration-images", "64"]
    model = f"{ROOT / 'scripts' / 'transfer.py'}:network"
    for method, also in (("static", []), ("qat", ["--train", folder / "train"])):
        bundle = folder / method
        _kit("build", model, "--quantize", method, *also, *common, "-o", bundle)
        _kit("eval", bundle, "--images", folder / "test")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures_zip", type=Path, metavar="CIFAR.zip")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/transfer"))
    parser.add_argument("--pictures", type=int, default=4000, help="to train with (4000)")
    parser.add_argument("--test", type=int, default=1000, help="to evaluate (1000)")
    parser.add_argument("--epochs", type=int, default=6, help="over the pictures (6)")
    return parser.parse_args()


def _extract(archive: Path, part: str, count: int, folder: Path) -> None:
    """Write the same number of pictures of each category below `folder`/`part`."""
    members: dict[str, list[str]] = {}
    with zipfile.ZipFile(archive) as file:
        for name in sorted(file.namelist()):
            path = PurePosixPath(name)
            if len(path.parts) == 3 and path.parts[0] == part and path.suffix == ".jpg":
                members.setdefault(path.parts[1], []).append(name)
        for category, names in members.items():
            target = folder / part / PurePosixPath(category).name
            target.mkdir(parents=True, exist_ok=True)
            for name in random.Random(SEED).sample(names, count // len(members)):
                (target / PurePosixPath(name).name).write_bytes(file.read(name))


def _fine_tune(folder: Path, weights: Path, epochs: int) -> None:
    """Train from the ImageNet weights, all but the first blocks; write the state dict."""
    import torch
    from rich.progress import track
    from torch.nn import functional

    torch.manual_seed(SEED)
    model = network()
    _take_over(model)
    trained = _freeze_first(model.train())
    images, labels = _pictures(folder)
    batches = len(images) // 32
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=epochs * batches)
    model.to(memory_format=torch.channels_last)  # a third less time on a CPU
    for _ in track(range(epochs), description="fine-tuning"):
        for chosen in torch.randperm(len(images))[: 32 * batches].view(batches, 32):
            augmented = _augmented(images[chosen])
            loss = functional.cross_entropy(model(augmented), labels[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    from kit.files import atomic

    with atomic.replace_file(weights) as file:
        torch.save(model.state_dict(), file)


def _take_over(model: nn.Module) -> None:
    """Load the official ImageNet weights of everything but the classifier."""
    from kit.models import mobilenet_v2, weights

    state = weights.read_state(weights.fetch_official(mobilenet_v2.FAMILY.spec.weights).path)
    model.load_state_dict({k: v for k, v in state.items() if "classifier" not in k}, strict=False)


def _freeze_first(model: nn.Module) -> list[nn.Parameter]:
    """Freeze the blocks of the large maps; return the parameters to train.

    They see edges and colours, which any categories share, and cost a third of the time.
    """
    first: Any = model.get_submodule("features")[:FROZEN]
    first.eval().requires_grad_(False)
    return [p for p in model.parameters() if p.requires_grad]


def _pictures(folder: Path) -> tuple[Tensor, Tensor]:
    """Return pictures [N, 3, 96, 96], normalized, and labels [N]."""
    import numpy as np
    import torch

    from kit.images import make_batch, open_set
    from kit.manifest.preprocessing import Preprocessing
    from kit.models.interface import IMAGENET_MEAN, IMAGENET_STD

    names = sorted(p.name for p in folder.iterdir())
    listed: Any = list(open_set(folder, None, names))
    resize = round(SIDE * 256 / 224)
    pre = Preprocessing(resize=resize, crop=SIDE, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    labels = torch.tensor([picture.label for picture in listed])
    return torch.from_numpy(np.ascontiguousarray(make_batch(listed, pre))), labels


def _augmented(images: Tensor) -> Tensor:
    """Mirror half of the pictures and shift all of them."""
    import torch

    mirrored = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)
    shifts = torch.randint(-8, 9, (2,)).tolist()
    return mirrored.roll(shifts, (2, 3))


def _kit(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "kit", *map(str, arguments)], check=True, cwd=ROOT)


def _use_the_environment() -> None:
    """Restart in the repository's own environment, if there is one and this is another."""
    python = ROOT / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        os.execv(python, [str(python), __file__, *sys.argv[1:]])


if __name__ == "__main__":
    _use_the_environment()
    sys.exit(main())
