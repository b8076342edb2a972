"""Explanations of the plots and numbers, for all kinds of pages."""

from __future__ import annotations

CAPTIONS = {
    "size": "Circles are int8, triangles fp16, squares fp32; a line joins the files of one "
    "format. Whiskers are the 95 % interval of the difference to the reference on the same "
    "pictures.",
    "latency": "Every dot is one inference, further right is slower. Within a row time runs "
    "downwards, one band per fresh process. The upright line is the median, the grey band "
    "behind it its 95 % interval.",
    "pairs": "Medians from zero with their 95 % interval. Orange, where it is there, is "
    "the eager PyTorch model that the bundle was made from.",
}

READING = (
    ("Median", "half of all inferences were faster. It ignores single hiccups; p90 and p99 show "
     "them. From fewer than 100 samples p99 is hardly more than the slowest one."),
    ("95 % interval", "of the median, from how far the fresh processes of a row are apart: what "
     "more such processes would change, not what another day, a warmer chip or other load would. "
     "Fewer than 3 processes have none, and are called neither faster nor slower."),
    ("2× faster", "half the time. Rows of one measurement are compared round by round, each "
     "process with its neighbour, in quiet moments: by the time that one in fifty of their "
     "samples beats, as other work on the machine only adds time. Other rows are compared by "
     "their medians. Where the interval includes 1×, the difference is not known; no "
     "difference means that all of the interval is within ±5 %."),
    ("Own fp32", "the same model in the same format and runtime without quantization. Eager "
     "fp32 is the float model run by PyTorch in Python."),
    ("Drop", "reference top-1 minus own top-1, in percentage points, on the same pictures. The "
     "± is the 95 % interval: scores can differ only where answers differ."),
    ("Agreement", "share of pictures with the first answer of the float reference. It tells "
     "methods apart on fewer pictures than top-1 does."),
    ("SQNR", "power of the reference's logits over the power of the error, in dB. 6 dB more is "
     "half the error; equal means that no bit differs."),
    ("Parity", "the file, run by its own runtime, against the graph it was lowered from, on the "
     "golden pictures in the bundle. It finds broken lowering, not a loss by quantization."),
    ("Load and first", "opening the file, and the first inference, in a fresh process; medians "
     "over the processes. Neither is among the samples."),
    ("MB", "1,000,000 bytes. Peak memory is of the whole runner process, measured apart."),
)  # fmt: skip
