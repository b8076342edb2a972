"""Qconfigs in words: what `--explain` shows is what the bundle records."""

from __future__ import annotations

from kit.quantize.options import Options

FLOAT = {"activations": "float32", "weights": "float32"}

OBSERVERS = {
    "search": "percentile 99.99, scaled by its effect on the answers (search)",
    "percentile": "percentile 99.99, clips 0.01 % of the values at each end",
    "mse": "minimum squared error of rounding and clipping (mse)",
    "histogram": "torch's histogram search (histogram)",
    "minmax": "minimum and maximum (minmax)",
    "moving-average": "moving average of minimum and maximum (moving-average)",
}

_TYPES = {
    "torch-ao": ("quint8", "qint8"),
    "pt2e-s8": ("int8", "int8"),
    "pt2e-u8": ("uint8", "int8"),
}


def describe_static(flow: str, options: Options) -> dict[str, str]:
    """Return the static qconfig of a flow, by tensor kind."""
    activation, weight = _TYPES[flow]
    if options.activation_bits == 16:
        activation = activation.replace("8", "16")
    observer = "PerChannelMinMaxObserver"
    if options.granularity == "per-tensor":
        observer = "MinMaxObserver"
    scheme = "symmetric" if activation == "int16" else "affine"
    return {
        **_who(flow),
        "activations": f"{activation} per-tensor {scheme}, {OBSERVERS[options.observer]}",
        "weights": f"{weight} {options.granularity} symmetric, {observer}",
        "output": f"{activation} per-tensor {scheme}, minmax, range x {options.output_margin:g}",
    }


def describe_dynamic(flow: str, options: Options) -> dict[str, str]:
    """Return the dynamic qconfig of a flow, by tensor kind."""
    activation, weight = _TYPES[flow]
    layers = "Linear, LSTM and GRU" if flow == "torch-ao" else "Linear"
    who = {"tool": "onnxruntime quantize_dynamic"} if flow == "pt2e-u8" else _who(flow)
    return {
        **who,
        "activations": f"{activation} per-tensor affine, from each input, {layers} only",
        "weights": f"{weight} {options.granularity} symmetric",
    }


def describe_weights(flow: str, options: Options) -> dict[str, str]:
    """Return the configuration of weight-only quantization, by tensor kind."""
    if options.weight_bits == 4:
        as_come = "int8 per row, from each input of an int4 layer; float32 elsewhere"
        return {
            "weights": "int4 in groups of 32, symmetric, bfloat16 scales; Linear only",
            "activations": "float32" if flow == "pt2e-u8" else as_come,
        }
    return {"weights": f"int8 {options.granularity} symmetric", "activations": "float32"}


def _who(flow: str) -> dict[str, str]:
    return {"engine": "qnnpack"} if flow == "torch-ao" else {"quantizer": "XNNPACKQuantizer"}
