"""Check the sizes of a recipe whose inputs vary on the float model, before anything is lowered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit import size_checks
from kit.network import export_program
from kit.pipeline.build_state import Work
from kit.quantize.examples import from_samples
from kit.tasks.interface import GoldenSet
from kit.varying import BATCH

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule


def check_sizes(work: Work, model: nn.Module, folded: GraphModule, golden: GoldenSet) -> None:
    """Run the float model at the smallest and largest sizes, and write probes for the files.

    Nothing is done if only the batch varies, which each file is checked with by itself.

    Args:
        work: the build; it receives the probes.
        model: the float model.
        folded: its graph.
        golden: inputs of the recipe's sizes, and the float model's answers.

    Raises:
        BuildError: the network does not take all sizes, or its graph has fixed one.
    """
    from kit.quantize.exporting import translate_errors

    varying = work.recipe.varying
    if all(one.name == BATCH for one in varying):
        return
    work.progress("running the float model at the smallest and largest sizes")
    text = work.inputs.text
    from_end = text is not None and text.tokenization.pad_side == "left"
    names = [spec.name for spec in golden.answers.specs]
    probes = size_checks.make_probes(model, golden.inputs, names, varying, from_end)
    size_checks.check_folded(folded, probes)
    natural = from_samples(golden.inputs, work.inputs.at_once)
    with translate_errors(model, varying):
        export_program(folded, natural.first(), varying)
    size_checks.save_probes(probes, work.shared)
    work.probes = tuple(probe.record for probe in probes)
