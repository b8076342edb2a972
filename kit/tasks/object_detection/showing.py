"""Boxes of an answer, in words and drawn on the picture."""

from __future__ import annotations

import io
from collections.abc import Mapping

from kit.images.preprocess import to_pixels
from kit.images.resizing import Placement, find_placement
from kit.signature import Samples
from kit.tasks.answers import AnswerContext, PictureSample, ShownAnswer
from kit.tasks.image_segmentation.showing import choose_colours
from kit.tasks.object_detection.boxes import Boxes, count_matches, find_boxes
from kit.tasks.object_detection.tally import place_boxes

DRAWN = ""  # there is one kind of picture
_LINE = 2  # pixels


def show_boxes(answer: Samples, context: AnswerContext) -> ShownAnswer:
    """Return the most probable boxes, with corners in pixels of the picture.

    Those below the record's `shown_score` are counted in a note only.
    """
    detected, place = _find(answer, context), _find_place(context)
    shown = detected.above(_shown_score(context))
    placed = shown if place is None else place_boxes(shown, place)
    boxes, lines = [], []
    columns = (placed.corners, placed.scores, placed.classes)
    for corners, score, label in zip(*(column.tolist() for column in columns), strict=True):
        name = _name(label, context)
        box = [round(value, 2) for value in corners]
        boxes.append({"index": label, "label": name, "probability": score, "box": box})
        where = ", ".join(f"{value:.0f}" for value in corners)
        lines.append(f"{100 * score:5.1f} %  {name}  {where}")
    del lines[context.top :]
    if len(boxes) > context.top:
        lines.append(f"{len(boxes) - context.top} more")
    record: dict[str, object] = {"boxes": boxes, "pixels": "picture" if place else "input"}
    if not boxes:
        lines.append(f"no box of {100 * _shown_score(context):g} % or more")
    if context.reference is None:
        return ShownAnswer(tuple(lines), record)
    right = _find(context.reference, context).above(_shown_score(context))
    matches, total = count_matches(right, shown), len(right)
    lines.append(f"{matches} of {total} boxes of float")
    return ShownAnswer(tuple(lines), {**record, "matches": matches, "float_boxes": total})


def draw_boxes(answer: Samples, sample: Samples, context: AnswerContext) -> Mapping[str, bytes]:
    """Return the prepared picture with the boxes that `show_boxes` has, as PNG."""
    from PIL import Image, ImageDraw

    preprocessing = context.inputs.preprocessing
    assert preprocessing is not None  # tasks of pictures have it
    image = Image.fromarray(to_pixels(sample.arrays[0][0], preprocessing))
    draw, colours = ImageDraw.Draw(image), choose_colours()
    detected = _find(answer, context).above(_shown_score(context))
    rows = list(
        zip(detected.corners.tolist(), detected.scores, detected.classes.tolist(), strict=True)
    )
    for corners, score, label in reversed(rows):  # the most probable is on top
        colour = tuple(map(int, colours[1 + label % (len(colours) - 1)]))
        draw.rectangle(corners, outline=colour, width=_LINE)
        text = f"{_name(label, context)} {100 * score:.0f} %"
        place = (corners[0] + _LINE, corners[1] + _LINE)
        draw.rectangle(draw.textbbox(place, text), fill=colour)
        draw.text(place, text, fill="white" if sum(colour) < 3 * 128 else "black")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {DRAWN: buffer.getvalue()}


def _find(answer: Samples, context: AnswerContext) -> Boxes:
    outputs, preprocessing = context.inputs.detection, context.inputs.preprocessing
    assert outputs is not None  # of a detector
    assert preprocessing is not None
    return find_boxes(answer[0], outputs, preprocessing.sides)


def _find_place(context: AnswerContext) -> Placement | None:
    """Return where the picture is in the input; None if its size is not known."""
    preprocessing = context.inputs.preprocessing
    if preprocessing is None or not isinstance(context.sample, PictureSample):
        return None
    return find_placement(context.sample.size, preprocessing, "the picture")


def _shown_score(context: AnswerContext) -> float:
    assert context.inputs.detection is not None  # of a detector
    return context.inputs.detection.record.shown_score


def _name(label: int, context: AnswerContext) -> str:
    names = context.inputs.labels
    return names[label] if names else f"#{label}"
