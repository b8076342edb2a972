"""Label files of users: parsed names and refused files."""

from __future__ import annotations

import json

import pytest

from kit.images.label_file import parse_names

NAMES = ("cat", "dog", "sea lion")


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\nsea lion\n",
        "cat\r\ndog\r\nsea lion\r\n\r\n",
        "0:cat\n1:dog\n2:sea lion\n",
        "0 cat\n1 dog\n2 sea lion\n",
        "0\tcat\n1\tdog\n2\tsea lion",
        "0,cat\n1,dog\n2,sea lion",
        "0: cat\n1: dog\n2: sea lion",
        "cat,0\ndog,1\nsea lion,2",
        "2 sea lion\n0 cat\n1 dog\n",
        "n02121808 cat\nn02084071 dog\nn02077923 sea lion",
        '"cat"\n"dog"\n"sea lion"',
        json.dumps(NAMES),
        json.dumps(NAMES, indent=1),
        json.dumps({"1": "dog", "0": "cat", "2": "sea lion"}),
        json.dumps({"dog": 1, "cat": 0, "sea lion": 2}, indent=1),
        json.dumps({str(i): [f"n0{i}", name] for i, name in enumerate(NAMES)}),
        json.dumps({"model_type": "x", "id2label": {str(i): n for i, n in enumerate(NAMES)}}),
        "{0: 'cat',\n 1: 'dog',\n 2: 'sea lion'}",
        "['cat', 'dog', 'sea lion'];",
        "path: ../data\nnc: 3\nnames:\n  0: cat\n  1: dog\n  2: sea lion\n",
        "names: ['cat', 'dog', 'sea lion']\n",
        "train: x\nnames:\n- cat\n- dog\n- sea lion\n",
        "index,label\n0,cat\n1,dog\n2,sea lion\n",
        "name;id\ncat;0\ndog;1\nsea lion;2\n",
        "# classes\ncat\ndog\nsea lion\n",
    ],
)
def test_names_are_in_the_order_of_the_outputs(text):
    """Numbers and code became part of the names, and the order of lines that of the outputs."""
    assert parse_names(text) == NAMES


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x0c", "\x1e"])
def test_what_only_unicode_takes_for_the_end_of_a_line_does_not_end_a_name(separator):
    """There was one name more, and each that followed stood for another output."""
    assert parse_names(f"cat\nbig{separator}dog\nsea lion") == ("cat", "big dog", "sea lion")


@pytest.mark.parametrize("text", ["0\n1\n2", "7 of 9\nborg\n", "a,b\nc,d", "{x}y\nb"])
def test_other_numbers_belong_to_the_names(text):
    assert parse_names(text) == tuple(text.rstrip().split("\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 cat\n2 dog", "numbers its 2 lines from 1 to 2, and the outputs are 0 to 1"),
        ("0 cat\n0 dog", "numbers its 2 lines from 0 to 0"),
        ("{0: 'cat',\n 1: f('dog')}", "looks like code or JSON, and is no JSON"),
        ("item {\n id: 1\n name: 'cat'\n}\n", "is a label map of TensorFlow"),
        ("names: [cat, dog", "looks like YAML, and is no YAML"),
        ("path: x\nnames: 3\n", "holds no list of names"),
        ("names:\n  1: cat\n  2: dog\n", "numbers its 2 lines from 1 to 2"),
        ('{"a": "b"}', "holds no list of names"),
        ('{"a": [1]}', "holds no list of names"),
        ("[1, 2]", "holds no list of names"),
        ('["a", ""]', "holds no list of names"),
        ("[" * 100 + "]" * 100, "holds no list of names"),
        ("[" * 9000 + "]" * 9000, "is no JSON"),
        ("{}", "holds no list of names"),
        ("", "names nothing in line 1"),
        ("a\n\nb", "names nothing in line 2"),
    ],
)
def test_what_is_no_list_of_names_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_names(text)
