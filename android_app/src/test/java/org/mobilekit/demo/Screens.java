package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.content.Context;
import android.content.Intent;
import android.content.pm.ActivityInfo;
import android.content.pm.ResolveInfo;
import android.graphics.Bitmap;
import android.os.Handler;
import android.os.Looper;
import android.provider.MediaStore;
import android.view.PixelCopy;
import android.view.View;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;
import org.robolectric.Shadows;

/** Takes screenshots. */
final class Screens {
    private Screens() {}

    /** Waits until a session has no pending work. */
    static void settle(DemoSession session) throws InterruptedException {
        for (int i = 0; i < 6000 && session.pending > 0; i++) {
            Thread.sleep(10);
            Shadows.shadowOf(Looper.getMainLooper()).idle();
        }
        assertEquals("still working after a minute", 0, session.pending);
        Shadows.shadowOf(Looper.getMainLooper()).idle();
    }

    /** Registers a camera app. */
    static void installCamera(Context context) {
        ResolveInfo camera = new ResolveInfo();
        camera.activityInfo = new ActivityInfo();
        camera.activityInfo.packageName = "camera";
        camera.activityInfo.name = "camera.Camera";
        Shadows.shadowOf(context.getPackageManager()).addResolveInfoForIntent(
                new Intent(MediaStore.ACTION_IMAGE_CAPTURE), camera);
    }

    /** Takes a screenshot, writes it to NAME.png in the screenshot folder and returns it. */
    static Bitmap photograph(Activity activity, String name) throws Exception {
        Bitmap bitmap = pixels(activity);
        write(bitmap, name);
        return bitmap;
    }

    /** Takes a screenshot. */
    static Bitmap pixels(Activity activity) {
        View view = activity.getWindow().getDecorView();
        Bitmap bitmap =
                Bitmap.createBitmap(view.getWidth(), view.getHeight(), Bitmap.Config.ARGB_8888);
        AtomicInteger result = new AtomicInteger(-1);
        PixelCopy.request(activity.getWindow(), bitmap, result::set,
                new Handler(Looper.getMainLooper()));
        Shadows.shadowOf(Looper.getMainLooper()).idle();
        assertEquals(PixelCopy.SUCCESS, result.get());
        return bitmap;
    }

    static void write(Bitmap bitmap, String name) throws IOException {
        File folder = new File(System.getProperty("kit.screenshots"));
        assertTrue(folder.isDirectory() || folder.mkdirs());
        try (FileOutputStream out = new FileOutputStream(new File(folder, name + ".png"))) {
            assertTrue(bitmap.compress(Bitmap.CompressFormat.PNG, 100, out));
        }
    }
}
