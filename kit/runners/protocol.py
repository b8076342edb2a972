"""The protocol of runners in Python, C++ and Java: options in, JSON lines out.

A runner is started with the options of `Request` and prints one JSON object a line on
stdout, in this order; times are nanoseconds of a monotonic clock, sizes are bytes:

    {"event": "start", "protocol": 4, "pid", "threads", "obeyed", "versions", "cpus",
     "page", "clock"}
    {"event": "load", "ns"}             reading the model; the runtime is loaded already
    {"event": "first", "ns"}            the first inference
    {"event": "warm", "count", "ns"}    the warm-up, all of it
    {"event": "iter", "ns": [...]}      raw samples, flushed about every two seconds
    {"event": "mem", "peak_rss", "base_rss", "os_threads"}
    {"event": "out", "path", "tensors"} the answers to all inputs, raw; `tensors` are dtypes and
                                        shapes of the outputs, as in `--inputs`
    {"event": "profile", "path", "kind"}  only with `--profile FILE`
    {"event": "end", "count", "cpu_ns"}
    {"event": "error", "at", "msg"}     instead of all events that would follow

`threads` is the requested number and `obeyed` the number that the runtime reports it uses, null
if it has no such query. `cpus` is the affinity mask of the process in hexadecimal, read back
from the kernel; `page` the size of a memory page; `clock` the clock of the samples. `versions`
are of the runner and the runtime, not of the file's exporter. Each event ends with `"crc"`, the
CRC-32 of the text before its comma, so that corrupted numbers are detected; an event without it
is refused. Events come in the order above, and each but `iter` once. Other lines are noise of
the runtime. Readers ignore unknown keys; a changed meaning of a key, or a new option, requires a
new protocol number.

Readers limit a runner's output to what its request can cause (`kit.runners.transcript`): a
runner may be any program on any device.

History:
    1  the Python runner
    2  options `--cpus` and `--profile`, exit codes 7 and 8, the event ``profile``; cores, page
       size and clock in ``start``. The first version of the native runner.
    3  the option `--rows`: number of inputs in the file of `--in`; the first is measured, all
       are answered
    4  the option `--inputs` instead of `--shape`: several inputs of any dtype; `tensors` in
       ``out``
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kit.documents import name_fault
from kit.errors import RunError
from kit.results.schema import MAX_BYTES, MAX_COUNT, MAX_NS, Many

VERSION = 4
_MAX_EVENT = 64 << 10  # characters of an event, except samples

_Ns = Annotated[int, Field(ge=0, le=MAX_NS)]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Bytes = Annotated[int, Field(ge=0, le=MAX_BYTES)]
_Word = Annotated[str, Field(max_length=200)]


class Exit(IntEnum):
    """Exit codes of a runner: 0, or the number of the failed stage."""

    OK = 0
    USAGE = 2
    LOAD = 3
    INPUT = 4
    RUN = 5
    OUTPUT = 6
    AFFINITY = 7
    PROFILE = 8


@dataclass(frozen=True)
class Request:
    """The options of a runner; paths are those of the device.

    Attributes:
        format: member of `kit.formats`, or ``reference``.
        input: file with the values of `rows` inferences, see `kit.signature.Samples.pack`; the
            first is measured.
        inputs: dtype and shape of each input, see `kit.signature.format_specs`.
        warmup: minimum number of inferences before the first sample; `warmup_seconds` is their
            minimum duration.
        iters: minimum number of samples; `min_seconds` is their minimum duration, and
            `max_seconds` overrides both.
        out: file for the answers to all inferences, each with all outputs, raw.
        cpus: mask of the cores to run on, in hexadecimal; empty keeps the affinity.
        profile: file for the times of single operators, empty for none. Profiling slows
            inference down: its samples are not used.
        rows: number of inputs in the file.
    """

    format: str
    model: str
    input: str
    inputs: str
    out: str
    warmup: int
    warmup_seconds: float
    iters: int
    min_seconds: float
    max_seconds: float
    threads: int
    cpus: str = ""
    profile: str = ""
    rows: int = 1

    def arguments(self) -> list[str]:
        """Return the command line after the runner's own name."""
        words: list[str] = []
        for item in fields(self):
            words += [name_option(item.name), str(getattr(self, item.name))]
        return words


def name_option(name: str) -> str:
    """Return the option of a field of `Request`."""
    return "--in" if name == "input" else "--" + name.replace("_", "-")


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Start(_Event):
    """The runtime is loaded and has its number of threads."""

    event: Literal["start"] = "start"
    protocol: int
    pid: _Count
    threads: _Count
    obeyed: _Count | None = None
    versions: Annotated[dict[_Word, _Word], Field(max_length=20)]
    cpus: str | None = Field(default=None, pattern="^[0-9a-f]+$", max_length=256)
    page: int | None = Field(default=None, gt=0, le=MAX_BYTES)
    clock: _Word | None = None


class Load(_Event):
    """The model file was read."""

    event: Literal["load"] = "load"
    ns: _Ns


class First(_Event):
    """The first inference."""

    event: Literal["first"] = "first"
    ns: _Ns


class Warm(_Event):
    """The whole warm-up."""

    event: Literal["warm"] = "warm"
    count: _Count
    ns: _Ns


class Iter(_Event):
    """Some samples."""

    event: Literal["iter"] = "iter"
    ns: Many[Annotated[int, Field(gt=0, le=MAX_NS)]]


class Mem(_Event):
    """Memory at the end: the peak since loading began, and the usage before."""

    event: Literal["mem"] = "mem"
    peak_rss: _Bytes | None
    base_rss: _Bytes | None = None
    os_threads: _Count | None = None


class Out(_Event):
    """The answer was written."""

    event: Literal["out"] = "out"
    path: str
    tensors: Annotated[str, Field(max_length=4000)]


class Profile(_Event):
    """The times of single operators were written; `kind` selects the parser of the file."""

    event: Literal["profile"] = "profile"
    path: str
    kind: _Word


class End(_Event):
    """Success."""

    event: Literal["end"] = "end"
    count: _Count
    cpu_ns: _Ns | None = None


class Error(_Event):
    """A failure in the stage `at`."""

    event: Literal["error"] = "error"
    at: str
    msg: str


Event = Start | Load | First | Warm | Iter | Mem | Out | Profile | End | Error
ORDER = ("start", "load", "first", "warm", "iter", "mem", "out", "profile", "end", "error")
_CRC = re.compile(r'(.*),"crc":([0-9]{1,10})\}', re.DOTALL)
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def dump(event: Event) -> str:
    """Return the line of an event, without a newline."""
    return seal(event.model_dump_json())


def seal(event: str) -> str:
    """Return the JSON object of an event with its checksum."""
    text = event.removesuffix("}")
    return f'{text},"crc":{zlib.crc32(text.encode())}}}'


def parse(line: str) -> Event | None:
    """Return the event of a line, None if it is noise.

    Raises:
        RunError: the event is invalid, its checksum is wrong or missing, or it is of another
            protocol version.
    """
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kind = raw.get("event") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in ORDER:
        return None
    if kind != "iter" and len(line) > _MAX_EVENT:
        raise RunError(
            f"the runner reports {kind!r} in more than {_MAX_EVENT >> 10} KiB",
            "use the runner that belongs to this kit; if you do, please report it",
        )
    _check_protocol(raw)
    match = _CRC.fullmatch(line.strip())
    if match is None:
        raise RunError(
            f"a line of the runner has no checksum: {line[:80]!r}",
            "use the runner that belongs to this kit; measure again if you do",
        )
    if zlib.crc32(match[1].encode(errors="surrogatepass")) != int(match[2]):
        raise RunError(
            f"a line of the runner was altered on its way: {line[:80]!r}",
            "measure again; check the device's cable and storage if it happens again",
        )
    try:
        return _ADAPTER.validate_python(raw)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise RunError(
            f"the runner reports something impossible: {kind}.{where}: {name_fault(first)}",
            "this is a bug in the runner: please report it",
        ) from exc


def _check_protocol(raw: dict[str, object]) -> None:
    version = raw.get("protocol")
    if raw["event"] == "start" and version != VERSION:
        raise RunError(
            f"the runner speaks protocol {version!r:.40}; this kit speaks {VERSION}",
            "use the runner that belongs to this kit",
        )
