"""What a format is: `Format`, and the parts of it that are optional.

`tests/test_formats.py` checks every registered format against this interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from kit.artifact_key import ArtifactKey, PrecisionName
from kit.errors import MissingTool, UnknownName
from kit.formats.model_card import ModelCard
from kit.formats.profiler import Profiler
from kit.formats.properties import Description, EndOfLife, Flow, Thresholds, VersionRange
from kit.formats.runtimes import AndroidRuntime, NativeRunner
from kit.formats.structure import ModelStructure
from kit.signature import Samples, Tensors, describe, join
from kit.varying import Varying

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


# What a runtime gives is of its own type: a session reads only what its own call returned.
Output = Any


class Session(Protocol):
    """A loaded model."""

    def bind(self, inputs: Tensors) -> Callable[[], Output]:
        """Return a call that runs one inference on the inputs, in the signature's order.

        Everything that is not inference (conversion, checks) happens here, so that
        timing the call times the runtime.
        """

    def read(self, output: Output) -> Tensors:
        """Return the outputs in what the call returned."""


class Backend(ABC):
    """A variant of a format: a delegate in place of its own kernels, or another layout of inputs.

    Attributes:
        name: of the backend, in lower case letters, digits and underscores.
        summary: for `kit list`.
        flow: the representation of a quantized model that `export` takes.
        precisions: members of `kit.precisions` that it has files of.
        refusals: why it has none of others, where the precision's own `refusal` does not say it.
        aliases: other words for it, in lower case, which messages suggest it for.
        suffix: of its files, where that is not the format's; see `Format.suffix`.
        runs_here: whether `Format.load` runs its files. Those of other backends are lowered and
            described; a build compares their graphs only.
        thresholds: of a backend that rounds elsewhere than the format's own kernels, so that it
            is not `Format.exact`; None if the format's hold.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    flow: ClassVar[Flow]
    precisions: ClassVar[tuple[PrecisionName, ...]] = ("fp32", "int8")
    refusals: ClassVar[Mapping[PrecisionName, str]] = MappingProxyType({})
    aliases: ClassVar[tuple[str, ...]] = ()
    suffix: ClassVar[str | None] = None
    runs_here: ClassVar[bool] = True
    thresholds: ClassVar[Thresholds | None] = None

    @abstractmethod
    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Write a model file for this backend; see `Format.export`."""


class Format(ABC):
    """A file format and the runtime that runs it.

    Attributes:
        name: of the format; that of its folder or entry point.
        suffix: of the model file, with the dot; no two formats share one. A format may write a
            folder of that name instead, which all methods take then.
        summary: for `kit list`.
        flow: the representation of a quantized model that `export` takes.
        precisions: that `export` writes.
        backends: optional ones, which replace the format's own kernels.
        aliases: other words for the format, in lower case, such as its suffix and former names;
            messages suggest it for them, and nothing takes them.
        runtime: name of the distribution that runs the file here.
        packages: distributions whose versions shape the file, for the build cache.
        extra: extra of kit's that installs them; empty where kit itself needs them.
        exact: the runtime gives the graph's own answers bit for bit.
        thresholds: of the runtime against the graph that was lowered.
        lowering_cost: how long `export` takes compared with other formats; the longest
            start first.
        imports: modules that `export` needs and that are slow to import. They start no threads
            and compute nothing then: a build imports them in a process that forks.
        reads: file versions that the runtime supports; None for all.
        native: backend of the native runner; a format without one uses Python's runner.
        android: runtime of the app; the app does not support a format without one.
        profiler: None if operators cannot be timed.
        ended: set if upstream no longer develops the format.
        runs_here: see `Backend.runs_here`; about the format's own kernels.
        varies: whether `export_varying` writes files whose inputs have varying sizes, with the
            format's own kernels.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    summary: ClassVar[str]
    flow: ClassVar[Flow]
    precisions: ClassVar[tuple[PrecisionName, ...]] = ("fp32", "int8")
    refusals: ClassVar[Mapping[PrecisionName, str]] = MappingProxyType({})
    backends: ClassVar[tuple[Backend, ...]] = ()
    aliases: ClassVar[tuple[str, ...]] = ()
    runtime: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    extra: ClassVar[str] = ""
    exact: ClassVar[bool]
    thresholds: ClassVar[Thresholds]
    lowering_cost: ClassVar[float] = 1.0
    imports: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[VersionRange | None] = None
    native: ClassVar[NativeRunner | None] = None
    android: ClassVar[AndroidRuntime | None] = None
    profiler: ClassVar[Profiler | None] = None
    ended: ClassVar[EndOfLife | None] = None
    runs_here: ClassVar[bool] = True
    varies: ClassVar[bool] = False

    def name_file(self, key: ArtifactKey) -> str:
        """Return the name of a model file in a bundle.

        Raises:
            UnknownName: the format has no such backend.
        """
        return key.name_file(self.find_backend(key.backend).suffix or self.suffix)

    def list_suffixes(self) -> tuple[str, ...]:
        """Return the suffixes of the format's files, its own first."""
        others = (backend.suffix for backend in self.backends)
        return tuple(dict.fromkeys((self.suffix, *filter(None, others))))

    def list_aliases(self) -> dict[str, str]:
        """Return the other words for the format and its backends, and what each stands for."""
        aliases = dict.fromkeys((self.suffix.lstrip("."), *self.aliases), self.name)
        for backend in self.backends:
            target = f"{self.name}/{backend.name}"
            aliases |= dict.fromkeys((backend.name, *backend.aliases), target)
        return aliases

    def find_backend(self, name: str | None) -> Backend | Format:
        """Return the exporter of a backend: the format itself for None.

        Raises:
            UnknownName: the format has no such backend.
        """
        if name is None:
            return self
        for backend in self.backends:
            if backend.name == name:
                return backend
        if not self.backends:
            raise UnknownName(f"{self.name} has no backend {name!r}", f"use --format {self.name}")
        raise UnknownName.among(f"backend of {self.name}", name, [b.name for b in self.backends])

    def find_thresholds(self, name: str | None) -> Thresholds | None:
        """Return the thresholds of a backend's files, None if they must be exact.

        Raises:
            UnknownName: the format has no such backend.
        """
        own = self.find_backend(name).thresholds
        if name is not None and own is not None:
            return own
        return None if self.exact else self.thresholds

    def check_packages(self) -> None:
        """Check that the packages are installed, before anything that takes long.

        Raises:
            MissingTool: one is not; the hint says how to install it.
        """
        for package in self.packages:
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError as exc:
                extra = f"'mobile-deployment-kit[{self.extra}]'" if self.extra else package
                raise MissingTool(
                    f"{package} is not installed, which {self.name} needs", f"pip install {extra}"
                ) from exc

    @abstractmethod
    def export(self, model: GraphModule, example: tuple[Tensor, ...], path: Path) -> None:
        """Write a model file.

        Args:
            model: float, or quantized in the representation `flow`.
            example: one inference's inputs.
            path: of the file.

        Raises:
            BuildError: the format does not support a part of the model.
        """

    def export_varying(
        self, model: GraphModule, example: tuple[Tensor, ...], varying: Varying, path: Path
    ) -> None:
        """Write a model file that takes all sizes of varying dimensions; see `export`.

        Only called where `varies` is set. The file is run at the smallest and largest sizes
        afterwards.
        """
        raise NotImplementedError(self.name)

    def annotate(self, path: Path, card: ModelCard) -> None:  # noqa: B027 - few formats can
        """Write what an app must know about the model into its file, if the format has a place.

        Args:
            path: of a file that `export` wrote.
            card: labels, preprocessing, and names.
        """

    @abstractmethod
    def describe(self, path: Path) -> Description:
        """Return the description of a model file.

        Raises:
            BundleError: it is not a file of this format, or it is damaged.
        """

    def read_structure(self, path: Path) -> ModelStructure | None:
        """Return metadata, graphs and nodes of a model file; None if nothing reads them.

        Raises:
            BundleError: it is not a file of this format, or it is damaged.
        """
        return None

    def recognizes(self, path: Path) -> bool:
        """Return whether a file's content is of this format, whatever its name is.

        It reads little of the file, loads nothing, and is False for one that cannot be read.
        """
        return False

    @abstractmethod
    def load(self, path: Path, threads: int) -> Session:
        """Load a model file, to run on `threads` threads of this process.

        Raises:
            BundleError: the runtime refuses the file.
            RunError: the runtime cannot use that many threads.
        """

    def load_float(self, path: Path, threads: int) -> Session | None:
        """Load a file to compute its Q/DQ nodes in float, free of fused kernels.

        None if the runtime cannot do that.
        """
        return None

    @abstractmethod
    def read_version(self) -> str:
        """Return the version of the runtime that `load` uses."""

    def prepare(self, threads: int) -> int | None:
        """Import the runtime and set its threads, before anything is timed.

        Returns:
            Number of threads that the runtime reports; None if it has no such query.
        """
        return None

    def check(self, path: Path) -> None:  # noqa: B027 - formats need not override it
        """Check a file once, as `load` would; runners call it before they start timing.

        Raises:
            BundleError: the file is damaged.
        """


def predict(session: Session, samples: Samples) -> Samples:
    """Return the outputs for samples, one inference each; outputs are named by position.

    Raises:
        ValueError: an output has an unsupported dtype.
    """
    rows = [session.read(session.bind(samples[i])()) for i in range(len(samples))]
    specs = tuple(describe(str(number), value) for number, value in enumerate(rows[0]))
    return join(specs, rows)
