"""The networks of the published table and of its code samples, and small ones of their kinds.

`kit build networks.py:NAME` calls them. MobileNetV2 and ResNet50 are torchvision's, by name.
"""

import os
from pathlib import Path

import torch
from torch import nn

FOLDER = "KIT_EXAMPLE_BERT"  # names the folder of a BERT: config.json and model.safetensors


class Sentence(nn.Module):
    """BERT with the mean of its tokens, of length one: how Sentence Transformers embed a text."""

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        tokens = self.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        return nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1))


def bert() -> nn.Module:
    """BERT out of a folder, such as all-MiniLM-L6-v2."""
    from transformers import AutoModel

    folder = Path(os.environ[FOLDER])
    return Sentence(AutoModel.from_pretrained(folder, local_files_only=True)).eval()


def small_bert() -> nn.Module:
    """BERT of two narrow layers with random weights."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "max_position_embeddings": 16}
    config = BertConfig(vocab_size=64, num_hidden_layers=2, num_attention_heads=2, **sizes)
    return Sentence(BertModel(config, add_pooling_layer=False)).eval()


class Words(nn.Module):
    """A word model as in PyTorch's example: embedding, LSTM, decoder; [1, T] to [1, T, words].

    Args:
        words: of the vocabulary.
        width: of the embedding and of the two layers of LSTM.
    """

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, 2, batch_first=True)
        self.decoder = nn.Linear(width, words)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.lstm(self.embedding(ids))[0])


def words() -> nn.Module:
    """The size of the example's defaults: 200 wide; 10 000 words, as in the Penn Treebank."""
    torch.manual_seed(0)
    return Words(10_000, 200).eval()


def small_words() -> nn.Module:
    """The same of 64 words."""
    torch.manual_seed(0)
    return Words(64, 16).eval()


def small_resnet() -> nn.Module:
    """ResNet with one bottleneck in each stage."""
    from torchvision.models.resnet import Bottleneck, ResNet

    torch.manual_seed(0)
    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10, width_per_group=8).eval()


def small_mobilenet() -> nn.Module:
    """MobileNetV2 of three inverted residuals."""
    from torchvision.models import MobileNetV2

    torch.manual_seed(0)
    blocks = [[1, 16, 1, 1], [2, 16, 2, 2]]
    return MobileNetV2(
        num_classes=10, width_mult=0.25, inverted_residual_setting=blocks, dropout=0.0
    ).eval()


class Remembering(nn.Module):
    """The sample of the chapter on TorchScript: a branch on values, and a list as state."""

    history: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.history = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)
        if bool(x.sum() > 0):
            y = y + 1
        self.history.append(y)
        total = torch.zeros_like(y)
        for earlier in self.history:
            total = total + earlier
        return total
