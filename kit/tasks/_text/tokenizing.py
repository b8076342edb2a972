"""Tokenizers of Hugging Face's package tokenizers: texts to arrays of int64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from kit.calibration import TextInputs
from kit.errors import MissingTool, SampleError
from kit.manifest.preprocessing import Tokenization
from kit.signature import Samples, TensorSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Names of inputs, as Hugging Face's models have them, and the attribute of an encoding.
INPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
_PADDINGS = ("[PAD]", "<pad>", "<|padding|>", "<|pad|>")
_HINT = "give the tokenizer.json that the package tokenizers saved beside the model's weights"


def open_tokenizer(content: bytes, source: str) -> Tokenizer:
    """Return a tokenizer that neither cuts nor pads.

    Args:
        content: of its file.
        source: for messages.

    Raises:
        MissingTool: the package tokenizers is not installed.
        SampleError: the content is no tokenizer.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as exc:
        raise MissingTool(
            "tokenizers is not installed, which tasks of text need",
            "pip install 'mobile-deployment-kit[text]'",
        ) from exc
    try:
        return Tokenizer.from_buffer(content)
    except Exception as exc:  # it raises no class of its own
        raise SampleError(f"{source} is no tokenizer: {exc}", _HINT) from exc


def describe_tokenizer(tokenizer: Tokenizer, tokens: int) -> Tokenization:
    """Return how texts are padded: as the file says, else with its token for padding, or 0.

    Args:
        tokenizer: from `open_tokenizer`.
        tokens: length of every text.
    """
    padding = tokenizer.padding or {}
    known = (tokenizer.token_to_id(text) for text in _PADDINGS)
    pad_token = next((number for number in known if number is not None), 0)
    side: Literal["left", "right"] = "left" if padding.get("direction") == "left" else "right"
    return Tokenization(
        tokens=tokens,
        pad_id=padding.get("pad_id", pad_token),
        pad_type=padding.get("pad_type_id", 0),
        pad_side=side,
    )


class TextEncoder:
    """Turns texts into a model's inputs."""

    def __init__(self, text: TextInputs, specs: tuple[TensorSpec, ...], source: str) -> None:
        """Open the tokenizer.

        Args:
            text: the tokenizer, and how it pads.
            specs: of the inputs, whose names are in `INPUTS`.
            source: for messages.

        Raises:
            MissingTool: the package tokenizers is not installed.
            SampleError: it is no tokenizer.
        """
        how = text.tokenization
        self._specs = specs
        self._tokenizer = open_tokenizer(text.tokenizer, source)
        self._tokenizer.enable_truncation(how.tokens)
        self._tokenizer.enable_padding(
            direction=how.pad_side, pad_id=how.pad_id, pad_type_id=how.pad_type, length=how.tokens
        )

    def encode(self, texts: Sequence[str]) -> Samples:
        """Return the inputs, each int64 [N, tokens].

        Raises:
            SampleError: the tokenizer fails on a text.
        """
        try:  # one by one: a batch would start threads, which a process that forks must not have
            encodings = [self._tokenizer.encode(text) for text in texts]
        except Exception as exc:
            raise SampleError(f"the tokenizer fails: {exc}", _HINT) from exc
        columns = (
            np.array([getattr(one, INPUTS[spec.name]) for one in encodings], np.int64)
            for spec in self._specs
        )
        return Samples(self._specs, tuple(columns))
