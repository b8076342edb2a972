"""Networks for the text tasks, a tokenizer and sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

FILE = str(Path(__file__))
WORDS = ("good", "fine", "great", "bad", "poor", "awful", "a", "the", "film", "plot", "is", "was")
WIDTH = 32


class Attention(nn.Module):
    """Handwritten attention over unmasked tokens."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x, hidden):
        n, tokens, _ = x.shape
        parts = self.qkv(x).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        weights = query @ key.transpose(-1, -2) / (WIDTH / self.heads) ** 0.5
        weights = (weights - 1e4 * hidden[:, None, None, :]).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(n, tokens, WIDTH))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.up, self.down = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH)

    def forward(self, x, hidden):
        x = x + self.attention(self.first(x), hidden)
        return x + self.down(torch.nn.functional.gelu(self.up(self.second(x))))


class Sentence(nn.Module):
    """The mean of the tokens after two blocks: an embedding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places = nn.Embedding(16, WIDTH), nn.Embedding(64, WIDTH)
        self.blocks = nn.ModuleList([Block(), Block()])

    def encode(self, input_ids, attention_mask):
        mask = attention_mask.float()
        x = self.words(input_ids) + self.places.weight[: input_ids.shape[1]]
        for block in self.blocks:
            x = block(x, 1 - mask)
        return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def forward(self, input_ids, attention_mask):
        return self.encode(input_ids, attention_mask)


class Opinion(Sentence):
    """Two classes in a dict-like object, as Hugging Face's models return them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(WIDTH, 2)
        with torch.no_grad():
            self.head.weight.mul_(8)

    def forward(self, input_ids, attention_mask, labels=None):
        logits = self.head(self.encode(input_ids, attention_mask))
        return {"logits": logits}


class Short(nn.Module):
    """Attention and little else, which is lowered in a few seconds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places = nn.Embedding(16, WIDTH), nn.Embedding(64, WIDTH)
        self.attention, self.head = Attention(), nn.Linear(WIDTH, 2)

    def forward(self, input_ids, attention_mask):
        x = self.words(input_ids) + self.places.weight[: input_ids.shape[1]]
        x = x + self.attention(x, 1 - attention_mask.float())
        return 8 * self.head(x.mean(1))


class Encoder(nn.Module):
    """torch's own transformer, without a mask."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(16, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 64, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 2)
        with torch.no_grad():
            self.head.weight.mul_(8)

    def forward(self, input_ids):
        return self.head(self.layers(self.words(input_ids)).mean(1))


class Masked(Encoder):
    """torch's own transformer, with its own kind of mask."""

    def forward(self, input_ids, attention_mask):
        x = self.layers(self.words(input_ids), src_key_padding_mask=attention_mask == 0)
        return self.head(x.mean(1))


class Tokens(Encoder):
    """A vector of each token."""

    def forward(self, input_ids):
        return self.words(input_ids)


class Unknown(Encoder):
    def forward(self, x):
        return super().forward(x)


def write_tokenizer(path: Path) -> Path:
    """Write a tokenizer of a few words, in the format of the package tokenizers."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS)
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))
    return path


def draw_sentences(count: int, seed: int = 0) -> list[str]:
    """Return sentences of 3 to 12 words, all different."""
    rng = np.random.default_rng(seed)
    sentences: dict[str, None] = {}
    while len(sentences) < count:
        sentences[" ".join(rng.choice(WORDS, rng.integers(3, 13)))] = None
    return list(sentences)
