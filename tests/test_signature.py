"""Signatures, and samples as runners read and write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kit import signature
from kit.signature import DTYPES, Samples, Signature, TensorSpec, describe, join, stack

_SPECS = st.lists(
    st.builds(
        TensorSpec,
        name=st.uuids().map(str),
        shape=st.lists(st.integers(1, 4), max_size=4).map(tuple),
        dtype=st.sampled_from(DTYPES),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


@given(_SPECS, st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_samples_round_trip_through_bytes(specs, count, seed):
    rng = np.random.default_rng(seed)
    arrays = tuple(
        rng.integers(0, 2, (count, *spec.sample_shape)).astype(spec.dtype) for spec in specs
    )
    samples = Samples(specs, arrays)
    content = samples.pack()
    assert len(content) == count * sum(spec.size for spec in specs)
    again = signature.unpack(specs, content)
    for one, other in zip(arrays, again.arrays, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for spec, value in zip(specs, samples[0], strict=True):
        assert value.shape == spec.shape
    rows = [samples[index] for index in range(count)]
    assert join(specs, rows).pack() == content


@given(_SPECS)
def test_dtypes_and_shapes_round_trip_through_text(specs):
    result = signature.parse_specs(signature.format_specs(specs))
    assert [(s.dtype, s.shape) for s in result] == [(s.dtype, s.shape) for s in specs]


def test_bytes_are_ordered_by_inference():
    specs = (TensorSpec(name="a", shape=(1, 2)), TensorSpec(name="b", shape=(1,), dtype="uint8"))
    arrays = (np.array([[1, 2], [3, 4]], np.float32), np.array([7, 9], np.uint8))
    one, two = np.array([1, 2], "<f4").tobytes(), np.array([3, 4], "<f4").tobytes()
    assert Samples(specs, arrays).pack() == one + b"\7" + two + b"\x09"


@pytest.mark.parametrize(
    "text",
    ["", "1,3", "float64:1", "float32:1,0", "float32:1,,2", "float32:-1", "float32:1;", "bool:1e3",
     ";".join(["int64:1"] * 33), "float32:" + ",".join(["1"] * 9), "float32:99999,99999"],
)  # fmt: skip
def test_an_invalid_description_of_tensors_is_refused(text):
    with pytest.raises(ValueError, match=r".") as caught:
        signature.parse_specs(text)
    assert "\n" not in str(caught.value)


def test_bytes_of_a_wrong_number_of_inferences_are_refused():
    with pytest.raises(ValueError, match="10 bytes are not a multiple of 4"):
        signature.unpack((TensorSpec(name="x", shape=()),), bytes(10))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((1, 2), np.float64), "x is float64, not one of float32"),
        (np.zeros((1, 0), np.float32), "x is empty"),
        (np.zeros((1,) * 9, np.float32), "shape"),
    ],
)
def test_an_unsupported_array_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        describe("x", value)


def test_duplicate_tensor_names_are_refused():
    spec = TensorSpec(name="x", shape=(1,))
    with pytest.raises(ValidationError, match="two tensors have the same name"):
        Signature(inputs=(spec, spec), outputs=(spec,))


def test_samples_are_taken_by_index():
    samples = stack("x", np.arange(6, dtype=np.float32).reshape(3, 2))
    assert samples.specs[0].shape == (1, 2)
    assert samples.take([2, 0]).arrays[0].tolist() == [[4, 5], [0, 1]]
    assert samples.are_finite
    assert not stack("x", np.array([[np.nan]], np.float32)).are_finite
