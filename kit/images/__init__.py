"""Pictures: folders, zips and CSV lists of them, decoding and preprocessing.

Importing this package imports nothing heavier than numpy.
"""

from kit.images.preprocess import batch, decode, to_array
from kit.images.sets import Picture, PictureSet, digest, open_set, sample, set_digest

__all__ = [
    "Picture",
    "PictureSet",
    "batch",
    "decode",
    "digest",
    "open_set",
    "sample",
    "set_digest",
    "to_array",
]
