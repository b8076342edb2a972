package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;

import android.app.Activity;
import android.content.Context;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Bundle;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.json.JSONObject;
import org.junit.After;
import org.junit.Before;
import org.mobilekit.Samples;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;

/** Base class of the demo tests, with real models, pictures and resources. */
abstract class DemoTest {
    final Context context = RuntimeEnvironment.getApplication();
    ActivityController<DemoActivity> controller;

    @Before
    public void needsSamples() {
        Samples.folder();
    }

    @After
    public void close() {
        if (controller != null) {
            controller.destroy();
        }
    }

    DemoActivity start(Bundle state) throws Exception {
        controller = Robolectric.buildActivity(DemoActivity.class);
        controller.create(state).start();
        controller.resume().visible().windowFocusChanged(true);
        return settled();
    }

    DemoActivity settled() throws Exception {
        Screens.settle(controller.get().session());
        return controller.get();
    }

    static String text(Activity activity, int id) {
        return ((TextView) activity.findViewById(id)).getText().toString();
    }

    static boolean shown(Activity activity, int id) {
        return activity.findViewById(id).getVisibility() == View.VISIBLE;
    }

    static View answer(Activity activity, int rank) {
        return ((ViewGroup) activity.findViewById(R.id.answers)).getChildAt(rank);
    }

    static String label(Activity activity, int rank) {
        return ((TextView) answer(activity, rank).findViewById(R.id.label)).getText().toString();
    }

    /** Asserts that the screen shows the workstation's answer for the app's picture. */
    static void assertAnswersAsTheWorkstation(DemoActivity activity) throws Exception {
        JSONObject expected = expected();
        if (expected.getBoolean("clear")) {
            assertEquals(expected.getString("label"), label(activity, 0));
        }
        assertEquals(expected.getDouble("probability"),
                activity.session().answers.get(0).probability, 0.02);
    }

    private static JSONObject expected() throws Exception {
        Path file = Samples.folder().resolve("expected.json");
        return new JSONObject(new String(Files.readAllBytes(file), StandardCharsets.UTF_8));
    }

    /** Registers a picture of one color for a content URI. */
    void picture(String uri, int color) throws Exception {
        Bitmap bitmap = Bitmap.createBitmap(120, 100, Bitmap.Config.ARGB_8888);
        bitmap.eraseColor(color);
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        bitmap.compress(Bitmap.CompressFormat.PNG, 100, png);
        stream(uri, png.toByteArray());
    }

    void stream(String uri, byte[] data) {
        Shadows.shadowOf(context.getContentResolver()).registerInputStreamSupplier(
                Uri.parse(uri), () -> new ByteArrayInputStream(data));
    }
}
