"""Pictures: folders, zips and CSV lists of them, decoding and preprocessing.

Importing this package imports nothing heavier than numpy.
"""

from kit.images.preprocess import decode, make_batch, to_array
from kit.images.sets import (
    Picture,
    PictureSet,
    hash_picture,
    hash_pictures,
    open_set,
    sample_pictures,
)

__all__ = [
    "Picture",
    "PictureSet",
    "decode",
    "hash_picture",
    "hash_pictures",
    "make_batch",
    "open_set",
    "sample_pictures",
    "to_array",
]
