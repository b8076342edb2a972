package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Color;
import android.net.Uri;
import android.provider.MediaStore;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.Shadows;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadows.ShadowActivity;

/** Tests pictures that users choose or take. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-420dpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class DemoPictureTest extends DemoTest {
    @Test
    public void aChosenPictureIsClassified() throws Exception {
        picture("content://pictures/blue", Color.BLUE);
        DemoActivity activity = start(null);
        List<Double> before = probabilities(activity);
        Fingers.tap(activity, R.id.choose);
        ShadowActivity shadow = Shadows.shadowOf(activity);
        Intent intent = shadow.getNextStartedActivityForResult().intent;
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, intent.getAction());
        assertEquals("image/*", intent.getType());
        shadow.receiveResult(intent, Activity.RESULT_OK,
                new Intent().setData(Uri.parse("content://pictures/blue")));
        settled();
        assertEquals(Color.BLUE, activity.session().picture.getPixel(5, 5));
        assertFalse(shown(activity, R.id.credit));
        assertNotEquals(before, probabilities(activity));
    }

    private static List<Double> probabilities(DemoActivity activity) {
        return activity.session().answers.stream().map(answer -> answer.probability)
                .collect(Collectors.toList());
    }

    @Test
    public void picturesAreScaledForDisplay() {
        Bitmap strip = Bitmap.createBitmap(20_000, 3, Bitmap.Config.ARGB_8888);
        Bitmap scaled = DemoPictures.scaleForDisplay(strip);
        assertEquals(2048, scaled.getWidth());
        assertEquals(1, scaled.getHeight());
        Bitmap small = Bitmap.createBitmap(2048, 10, Bitmap.Config.ARGB_8888);
        assertEquals(small, DemoPictures.scaleForDisplay(small));
    }

    @Test
    public void aFileThatIsNotAPictureIsReported() throws Exception {
        stream("content://pictures/text", "no picture".getBytes(StandardCharsets.UTF_8));
        DemoActivity activity = start(null);
        activity.session().choose(
                activity.session().choice.withPicture("content://pictures/text"));
        settled();
        assertTrue(text(activity, R.id.problem).contains("not a picture"));
        activity.session().choose(activity.session().choice.withPicture(Choice.BUNDLED_PICTURE));
        settled();
        assertFalse(shown(activity, R.id.problem));
        assertAnswersAsTheWorkstation(activity);
    }

    @Test
    public void theButtonIsHiddenWithoutACamera() throws Exception {
        assertFalse(shown(start(null), R.id.camera));
    }

    @Test
    public void theCamerasPictureIsReadFromItsFile() throws Exception {
        Screens.installCamera(context);
        DemoActivity activity = start(null);
        assertTrue(shown(activity, R.id.camera));
        Fingers.tap(activity, R.id.camera);
        Intent intent = Shadows.shadowOf(activity).getNextStartedActivityForResult().intent;
        Uri target = intent.getParcelableExtra(MediaStore.EXTRA_OUTPUT, Uri.class);
        assertEquals(CameraFile.uri(context), target);
        Bitmap green = Bitmap.createBitmap(64, 48, Bitmap.Config.ARGB_8888);
        green.eraseColor(Color.GREEN);
        Robolectric.setupContentProvider(CameraFile.class, CameraFile.uri(context).getAuthority());
        try (OutputStream out = context.getContentResolver().openOutputStream(target, "w")) {
            green.compress(Bitmap.CompressFormat.PNG, 100, out);
        }
        Shadows.shadowOf(activity).receiveResult(intent, Activity.RESULT_OK, null);
        settled();
        assertEquals(Color.GREEN, activity.session().picture.getPixel(5, 5));
    }
}
