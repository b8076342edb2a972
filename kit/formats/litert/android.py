"""The app's runtime: the newest archive of TensorFlow Lite that Maven Central has.

Later ones, with LiteRT's name and its classes in the same packages, are in Google's repository.
"""

from __future__ import annotations

from kit.formats.runtimes import AndroidRuntime, MavenArtifact

_GROUP, _VERSION = "org.tensorflow", "2.16.1"

ANDROID_RUNTIME = AndroidRuntime(
    MavenArtifact(_GROUP, "tensorflow-lite", _VERSION, "aar"),
    marker="org/tensorflow/lite/NativeInterpreterWrapper.class",
    beside=(MavenArtifact(_GROUP, "tensorflow-lite-api", _VERSION, "aar"),),
    versions=(3, 3),
)
