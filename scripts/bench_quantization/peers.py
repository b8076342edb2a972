"""The table of peers; `scripts/peers/SCRIPT.py` implements each."""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import UnknownName, UsageError


@dataclass(frozen=True)
class Peer:
    """One row of the comparison.

    Attributes:
        name: what `--peers` takes.
        title: for the table.
        script: stem of the file in scripts/peers. A file `SCRIPT.txt` beside it pins the
            packages of an environment of its own; without one, it runs in the kit's.
    """

    name: str
    title: str
    script: str


PEERS = {
    peer.name: peer
    for peer in (
        Peer("onnxruntime", "ONNX Runtime quantize_static", "ort_static"),
        Peer("onnxruntime-per-channel", "ONNX Runtime, per_channel=True", "ort_static"),
        Peer("nncf", "NNCF quantize", "nncf_openvino"),
        Peer("ai-edge-quantizer", "ai-edge-quantizer static_wi8_ai8", "litert_wi8_ai8"),
        Peer("executorch", "ExecuTorch XNNPACKQuantizer", "executorch_xnnpack"),
    )
}


def choose(text: str | None) -> list[Peer]:
    """Return the peers of a comma-separated list, in the table's order; None takes all.

    Raises:
        UnknownName: there is no such peer; near matches are named.
        UsageError: the list is empty.
    """
    if text is None:
        return list(PEERS.values())
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in PEERS:
            raise UnknownName.among("peer", name, PEERS)
    if not names:
        raise UsageError("--peers names no peer", f"known: {', '.join(PEERS)}")
    return [peer for name, peer in PEERS.items() if name in names]
