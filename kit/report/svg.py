"""Convert Matplotlib's SVG for pages: smaller, with CSS colours and a description.

Colours become CSS variables, text uses the page's font, numbers lose digits that no
screen shows, and ids are made unique to the page or dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from kit.report import palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif"

_NAMESPACE = re.compile(r"^\{[^}]*\}")
_DOT = re.compile(r"M (\S+) (\S+) L \1 \2(?: (?=M)|$)")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_FONT_FAMILY = re.compile(r"font-family: [^;\"]*;? ?")
_NEUTRAL_TURN = re.compile(r"^rotate\(-0 .*\)$")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True)
class Drawing:
    """A plot with an alternative text.

    Attributes:
        key: unique in the page; also the file's stem.
        title: what it shows.
        description: its numbers in words.
        inline: SVG for an HTML page, which must define the colours.
        file: a complete SVG document, including its colours.
    """

    key: str
    title: str
    description: str
    inline: str
    file: str


def render_picture(figure: Figure, key: str, title: str, description: str) -> Drawing:
    """Render a figure that was drawn in the palette's placeholder colours."""
    root = ElementTree.fromstring(_render(figure))  # noqa: S314 - Matplotlib's own output
    _simplify(root)
    _rename_ids(root, key)
    _describe(root, key, title, description)
    inline = ElementTree.tostring(root, encoding="unicode")
    root.set("xmlns", "http://www.w3.org/2000/svg")
    style = ElementTree.Element("style")
    style.text = f"{palette.format_css('svg')}svg{{background:var(--card);font-family:{FONT}}}"
    root.insert(2, style)
    return Drawing(key, title, description, inline, ElementTree.tostring(root, encoding="unicode"))


def _render(figure: Figure) -> str:
    import io

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    return buffer.getvalue()


def _simplify(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        parent.tag = _NAMESPACE.sub("", parent.tag)
        parent.text = parent.text if parent.tag == "text" else None
        parent.tail = None
        for child in list(parent):
            if _NAMESPACE.sub("", child.tag) in ("style", "metadata"):
                parent.remove(child)
        parent.attrib = {
            _NAMESPACE.sub("", name): _value(value)
            for name, value in parent.attrib.items()
            if not _NEUTRAL_TURN.match(value)
        }


def _value(value: str) -> str:
    for name, placeholder in palette.PLACEHOLDER_COLOURS.items():
        value = value.replace(placeholder, f"var(--{name})")
    value = _LONG_NUMBER.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
    # A dot is a line to its own start; `h0` is shorter, and most of a plot is dots.
    return _DOT.sub(r"M\1 \2h0", _FONT_FAMILY.sub("", " ".join(value.split())))


def _rename_ids(root: ElementTree.Element, key: str) -> None:
    used: set[str] = set()
    for element in root.iter():
        used.update(m for value in element.attrib.values() for m in _REFERENCE.findall(value))
        if element.get("href", "").startswith("#"):
            used.add(element.attrib["href"][1:])
    names = {old: f"{key}-{index}" for index, old in enumerate(sorted(used))}
    for element in root.iter():
        _rename(element, names)


def _rename(element: ElementTree.Element, names: dict[str, str]) -> None:
    old = element.attrib.pop("id", None)
    if old in names:
        element.set("id", names[old])
    for attribute, value in element.attrib.items():
        if attribute == "href" and value[1:] in names:
            element.set("href", f"#{names[value[1:]]}")
        elif "url(#" in value:
            element.set(attribute, _REFERENCE.sub(lambda m: f"url(#{names[m[1]]})", value))


def _describe(root: ElementTree.Element, key: str, title: str, description: str) -> None:
    root.attrib.pop("version", None)
    width, height = root.attrib["viewBox"].split()[2:]
    root.attrib.update(width=width, height=height, role="img")
    root.set("aria-labelledby", f"{key}-title {key}-desc")
    for index, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(tag, id=f"{key}-{tag}")
        element.text = words
        root.insert(index, element)
