"""A classifier of sentences from training to int8, without a network connection.

    python docs/examples/text.py out/opinions

It learns which words are praise, from sentences that it makes, in seconds. Needs the package
`tokenizers` (the extra `text`). Replace `Opinion`, the tokenizer and the sentences by yours.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch
from torch import nn

TOKENS = 12
NAMES = ("bad", "good")
WORDS = {
    "bad": ("bad", "poor", "awful", "dull", "weak"),
    "good": ("good", "fine", "great", "clever", "strong"),
}
UNKNOWN = "[UNK]"
OTHERS = ("the", "a", "film", "plot", "cast", "is", "was", "and", "very", "rather")


class Opinion(nn.Module):
    """The mean of the tokens' vectors, and two layers: [N, 12] to logits [N, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(32, 16)
        self.layers = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, len(NAMES)))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask.float()[..., None]
        return self.layers((self.words(input_ids) * mask).sum(1) / mask.sum(1))


def make() -> nn.Module:
    """What `kit build text.py:make` calls; --weights fills it."""
    return Opinion()


def main(folder: Path) -> None:
    import kit

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, sentences = write_tokenizer(folder), write_sentences(folder, 120)
    torch.save(train(tokenizer, sentences).state_dict(), folder / "weights.pth")
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    recipe = kit.make_recipe(
        f"{Path(__file__).resolve()}:make",
        task="text-classification",
        tokenizer=str(tokenizer),
        tokens=TOKENS,
        weights=str(folder / "weights.pth"),
        labels=str(folder / "labels.txt"),
        formats=["onnx"],
        quantize="dynamic",
        calibrate=str(sentences),
    )
    bundle = kit.build(recipe, folder / "bundle")
    for row in kit.evaluate(bundle, sentences).rows:
        sqnr = "equal" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB"
        print(f"{row.name}: top-1 {row.top1:.1%} of {row.images} sentences, {sqnr}")
    print(f'echo "a clever plot and a strong cast" | kit predict {bundle.path} -')


def write_tokenizer(folder: Path) -> Path:
    """Write a tokenizer with one token for each word; a model of yours comes with its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ("[PAD]", UNKNOWN, *OTHERS, *WORDS["bad"], *WORDS["good"])
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def write_sentences(folder: Path, count: int) -> Path:
    """Write lines of text and label."""
    chosen = random.Random(0)  # noqa: S311 - sentences, not secrets
    lines = ["text,label"]
    for number in range(count):
        name = NAMES[number % len(NAMES)]
        words = chosen.choices(OTHERS, k=6) + chosen.choices(WORDS[name], k=2)
        chosen.shuffle(words)
        lines.append(f"{' '.join(words)},{name}")
    (folder / "sentences.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "sentences.csv"


def train(tokenizer: Path, sentences: Path, steps: int = 150) -> nn.Module:
    """Fit the network to the sentences, as the bundle will tokenize them."""
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    reader = Tokenizer.from_file(str(tokenizer))
    reader.enable_padding(length=TOKENS)
    lines = [line.split(",") for line in sentences.read_text(encoding="utf-8").splitlines()[1:]]
    codes = [reader.encode(text) for text, _ in lines]
    inputs = torch.tensor([code.ids for code in codes])
    mask = torch.tensor([code.attention_mask for code in codes])
    labels = torch.tensor([NAMES.index(label) for _, label in lines])
    network = Opinion().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(network(inputs, mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/opinions"))
