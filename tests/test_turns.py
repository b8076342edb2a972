"""The order of processes."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest

from kit.bench import turns


def orders(names: str, count: int) -> list[str]:
    return ["".join(one) for one in islice(turns.order_rounds(names), count)]


def test_the_first_two_rounds_are_forward_and_backward() -> None:
    assert orders("CAB", 2) == ["CAB", "BAC"]
    assert orders("A", 3) == ["A"] * 3
    assert orders("", 2) == ["", ""]


@pytest.mark.parametrize("names", ["AB", "ABC", "ABCD"])
def test_every_second_round_is_reversed_and_the_first_target_is_drawn(names) -> None:
    result = orders(names, 200)
    assert all(back == there[::-1] for there, back in zip(result[::2], result[1::2], strict=True))
    assert all(sorted(one) == sorted(names) for one in result)
    begins = [there[0] for there in result[::2]]
    for name in names:  # each about as often, and not in turn
        assert abs(begins.count(name) - 100 / len(names)) <= 15
    again = sum(one == other for one, other in pairwise(begins))
    assert 0 < again < 99


def test_the_draw_is_deterministic() -> None:
    assert orders("ABC", 50) == orders("ABC", 50)
