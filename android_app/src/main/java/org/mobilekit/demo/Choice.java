package org.mobilekit.demo;

import android.os.Bundle;
import java.util.Objects;

/** The user's selection, saved when the system ends the process. Immutable. */
final class Choice {
    /** The picture in the app's assets. */
    static final String BUNDLED_PICTURE = "own";

    final String bundle;
    final String artifact;
    final int threads;

    /** {@link #BUNDLED_PICTURE} or a content URI. */
    final String picture;

    Choice(String bundle, String artifact, int threads, String picture) {
        this.bundle = bundle;
        this.artifact = artifact;
        this.threads = threads;
        this.picture = picture;
    }

    /** Returns the initial choice; null names select the app's defaults. */
    static Choice initial() {
        return new Choice(null, null, 1, BUNDLED_PICTURE);
    }

    static Choice from(Bundle state) {
        return new Choice(state.getString("bundle"), state.getString("artifact"),
                Math.max(state.getInt("threads", 1), 1),
                state.getString("picture", BUNDLED_PICTURE));
    }

    void save(Bundle state) {
        state.putString("bundle", bundle);
        state.putString("artifact", artifact);
        state.putInt("threads", threads);
        state.putString("picture", picture);
    }

    Choice withBundle(String name) {
        return new Choice(name, artifact, threads, picture);
    }

    Choice withArtifact(String name) {
        return new Choice(bundle, name, threads, picture);
    }

    Choice withThreads(int number) {
        return new Choice(bundle, artifact, number, picture);
    }

    Choice withPicture(String source) {
        return new Choice(bundle, artifact, threads, source);
    }

    /** Whether both choices use the same loaded model. */
    boolean sameModel(Choice other) {
        return threads == other.threads && Objects.equals(bundle, other.bundle)
                && Objects.equals(artifact, other.artifact);
    }
}
