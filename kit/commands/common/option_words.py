"""Option names of other tools, each with kit's option.

Only errors about the command line import this module. A name is compared as it is typed, without
the value after ``=``; for a command that the table does not list, click's own error is printed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

import click

from kit.commands.common.groups import WORDS
from kit.errors import UsageError

_FILE_OF = "--format FILE with a file of the bundle, such as onnx-{}"
_READERS = "eval bench predict show verify"
_BUILDS = "build run"
_SIZED = "build run analyze cost"
_MEASURES = "bench/app bench"
_PICTURES = "--images DIR_OR_ZIP"
_DEVICE = "`kit predict` or `kit bench` with --device compares answers on a device"

# Option names; the commands, those of groups after a slash; and advice.
_TABLE: Mapping[str, Mapping[str, str]] = {
    "--int8 --i8 --uint8": {_BUILDS: "--precision int8", _READERS: _FILE_OF.format("int8")},
    "--fp16 --half --float16": {_BUILDS: "--precision fp16", _READERS: _FILE_OF.format("fp16")},
    "--fp32 --float --float32": {_BUILDS: "--precision fp32", _READERS: _FILE_OF.format("fp32")},
    "--int4": {_BUILDS: "--precision int4-weights"},
    "--dtype --type --bits": {_BUILDS: "--precision NAME"},
    "--quantization --quant --quantise --quant-mode --method": {_BUILDS: "--quantize METHOD"},
    "--qat": {_BUILDS: "--quantize qat"},
    "--ptq": {_BUILDS: "--quantize static"},
    "--target --export --backend --to --export-format --include --framework": {
        _BUILDS: "--format NAME",
        "bench eval predict show verify": "--format NAME",
    },
    "--data --dataset --data-dir --data-path --dataset-path --data_dir --val --val-data --source": {
        "eval run analyze": _PICTURES,
        "build": "--calibrate DIR_OR_ZIP; `kit eval` takes --images",
    },
    "--calibration --calib --calibration-data --calib-data --calibration-dataset": {
        "build analyze": "--calibrate DIR_OR_ZIP",
        "run": _PICTURES,
    },
    "--images --pictures": {"build": "--calibrate DIR_OR_ZIP; `kit eval` takes --images"},
    "--calibrate": {"run": "--images DIR_OR_ZIP; some of its pictures calibrate"},
    "--imgsz --img-size --img --size --input-size --input-shape --shape --input_shape": {
        _SIZED: "--input SIDE, such as --input 224"
    },
    "--image-size": {"cost": "--input SIDE, such as --input 224"},
    "--epochs --steps --num-epochs --iterations --iters": {"build": "--train-steps N"},
    "--lr": {"build": "--learning-rate RATE"},
    "--batch-size --batch_size --bs": {
        "build": "--train-batch N, or --dynamic batch=1..N for the files",
        "eval": "--batch N",
    },
    "--batch": {"build": "--train-batch N, or --dynamic batch=1..N for the files"},
    "--checkpoint --ckpt --pretrained --state-dict": {"build run analyze": "--weights FILE"},
    "--classes --names --class-names --label-file": {"build run eval analyze": "--labels FILE"},
    "--warmup --warm-up --warmup-runs --warmup-iterations --warmup_runs": {
        _MEASURES: "each process warms up by default; --official warms up for longer"
    },
    "--iterations --iters --runs --num-runs --num_runs --loops --count --samples --repeat": {
        _MEASURES: "--repeats N for more processes, or --official for more samples of each"
    },
    "--num-threads --nthreads --num_threads --cores": {_MEASURES: "--threads N"},
    "--profiling --enable-profiling --enable_op_profiling --op-profiling": {"bench": "--profile"},
    "--num-images --max-images --num-samples --max-samples": {"eval": "--limit N"},
    "--topk --top-k": {"predict": "--top N"},
    "--serial --phone --adb": {
        "bench predict run doctor devices clean/app bench/app install/app run": "--device SERIAL",
        "verify eval": _DEVICE,
    },
    "--device": {"verify eval": _DEVICE, "build": "after the build, use `kit bench` with --device"},
    "--out --out-dir --output-dir --output_dir --outdir --dest --save": {
        "run build eval verify bench report analyze/app bench/app build/app test": "-o PATH"
    },
}
# What an extra argument may be, by command.
_EXTRA: Mapping[str, str] = {
    "eval": "--images {}",
    "run": "--images {}",
    "analyze": "--images {}",
    "build": "--weights {}, or --calibrate {} for pictures",
}


def list_advice() -> Iterator[tuple[str, str, str]]:
    """Yield command, word and advice of the table."""
    for words, advices in _TABLE.items():
        for commands, advice in advices.items():
            plain, *nested = commands.split("/")
            for command in (*plain.split(), *nested):
                yield from ((command, word, advice) for word in words.split())


def explain(exc: click.UsageError) -> UsageError | None:
    """Return an error whose hint names kit's option for a word; None if the word is unknown."""
    if exc.ctx is None:
        return None
    path = exc.ctx.command_path
    command = path.partition(" ")[2]
    if isinstance(exc, click.NoSuchOption):
        known = {(where, word): advice for where, word, advice in list_advice()}
        advice = known.get((command, exc.option_name))
        if advice is None:
            return None
        hint = f"use {advice}" if advice.startswith("-") else advice
        return UsageError(f"{path} has no option {exc.option_name}", hint)
    return _explain_extra(exc.ctx, command, path)


def _explain_extra(context: click.Context, command: str, path: str) -> UsageError | None:
    words = context.meta.get(WORDS, [])
    if command not in _EXTRA:
        return None
    try:
        _, rest, _ = context.command.make_parser(context).parse_args(list(words))
    except click.UsageError:
        return None
    if not rest:
        return None
    (first, *_) = (one for one in context.command.params if isinstance(one, click.Argument))
    word = shlex.quote(rest[0])
    option = _EXTRA[command].partition(" ")[0]
    advice = "leave it out" if option in words else f"use {_EXTRA[command].format(word, word)}"
    takes = f"{path} takes one {first.make_metavar(context).strip('[]')}"
    return UsageError(f"{takes}, and {word} is an extra argument", advice)
