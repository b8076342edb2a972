"""Notices: notes, hints, warnings and refusals about results, as a code, a severity and values.

Results store notices, not sentences. The text is made where it is shown, from the code's entry in
`kit.notice_catalogue`, so that notices of several runs can be merged by their values and read by
programs. An unknown code, of a newer kit, is kept and shown with its values.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Sequence
from typing import Annotated, TypeVar

from pydantic import Field, model_validator

from kit.documents import Record, Text
from kit.notice_catalogue import CATALOGUE, TEXT
from kit.notice_values import Severity, Value

About = TypeVar("About")


class Notice(Record):
    """One notice.

    Attributes:
        code: key in `CATALOGUE`.
        severity: see `SEVERITIES`.
        values: by the names in the code's entry.
    """

    code: str = Field(pattern="^[a-z0-9-]+(?:\\.[a-z0-9-]+)?$", max_length=100)
    severity: Severity
    values: Annotated[dict[Text, Value], Field(max_length=20)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_entry(self) -> Notice:
        entry = CATALOGUE.get(self.code)
        if entry is None:
            return self
        if self.values.keys() != entry.values.keys():
            raise ValueError(f"{self.code} has the values {', '.join(entry.values) or 'none'}")
        wrong = [n for n, k in entry.values.items() if not isinstance(self.values[n], k.types)]
        if wrong:
            name = wrong[0]
            raise ValueError(f"{name} of {self.code} is no {entry.values[name].name}")
        return self


def make_notice(code: str, **values: Value) -> Notice:
    """Return a notice with a code of the catalogue.

    Raises:
        KeyError: the catalogue has no such code.
        ValidationError: the values are not those of the code.
    """
    return Notice(code=code, severity=CATALOGUE[code].severity, values=values)


def read_text(text: str) -> Notice:
    """Return a notice for a sentence of an old result or manifest, which stored no codes."""
    return make_notice(TEXT, text=text.replace("\0", "")[:10_000])


def merge_notices(
    notices: Iterable[tuple[Notice, About]],
) -> list[tuple[list[Notice], list[About]]]:
    """Group notices that `render` writes as one sentence, with their subjects.

    Notices of one code are in one group unless they differ in a value that cannot be merged.

    Args:
        notices: each with its subject, such as a row of a result.

    Returns:
        Groups of notices and their subjects, in the order of their first notice.
    """
    groups: dict[str, tuple[list[Notice], list[About]]] = {}
    for notice, about in notices:
        group, abouts = groups.setdefault(_key(notice), ([], []))
        group.append(notice)
        abouts.append(about)
    return list(groups.values())


def _key(notice: Notice) -> str:
    entry = CATALOGUE.get(notice.code)
    kinds = entry.values if entry else {}
    apart = {
        name: value
        for name, value in notice.values.items()
        if name not in kinds or kinds[name].merge == "equal"
    }
    return json.dumps([notice.code, notice.severity, apart], sort_keys=True)


def fill(template: str, notices: Sequence[Notice]) -> str:
    """Fill a template with the merged values of notices of one code.

    Args:
        template: with names of values of the code, such as ``{cores}``.
        notices: a group of `merge_notices`, of a code of the catalogue.
    """
    kinds = CATALOGUE[notices[0].code].values
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    written = {name: kinds[name].write([n.values[name] for n in notices]) for name in names}
    return template.format_map(written)


def render(notices: Notice | Sequence[Notice], hint: bool = True) -> str:
    """Return a notice, or a group of `merge_notices`, as one sentence without a full stop.

    Args:
        notices: of one code.
        hint: append the hint, after a colon.
    """
    group = [notices] if isinstance(notices, Notice) else notices
    entry = CATALOGUE.get(group[0].code)
    if entry is None:  # of a newer kit
        values = ", ".join(f"{name} {value}" for name, value in group[0].values.items())
        return f"{group[0].code}: {values}" if values else group[0].code
    text = fill(entry.merged_text if len(group) > 1 and entry.merged_text else entry.text, group)
    return f"{text}: {fill(entry.hint, group)}" if hint and entry.hint else text


def as_json(notice: Notice) -> dict[str, object]:
    """Return a notice and its text, for ``--json``."""
    return {**notice.model_dump(mode="json"), "text": render(notice)}
