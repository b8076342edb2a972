package org.mobilekit.bench;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.content.ComponentName;
import android.content.Context;
import android.content.Intent;
import android.content.pm.ActivityInfo;
import android.content.pm.ApplicationInfo;
import android.content.pm.ComponentInfo;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.mobilekit.Contract;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.annotation.Config;

/** Only adb's shell may start the benchmark, and other apps reach nothing but the demo. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
public final class ExportedComponentsTest {
    private final Context context = RuntimeEnvironment.getApplication();

    @Test
    public void otherAppsCannotStartTheBenchmark() throws Exception {
        PackageInfo other = new PackageInfo();
        other.packageName = "com.example.ordinary";
        other.applicationInfo = new ApplicationInfo();
        other.applicationInfo.packageName = other.packageName;
        Shadows.shadowOf(context.getPackageManager()).installPackage(other);
        PackageManager manager = context.getPackageManager();
        Intent start = new Intent(Contract.BENCH_ACTION)
                .setComponent(new ComponentName(context, BenchActivity.class));
        ActivityInfo activity = manager.resolveActivity(start, 0).activityInfo;
        assertTrue(activity.exported);
        assertEquals(Contract.BENCH_PERMISSION, activity.permission);
        assertEquals(PackageManager.PERMISSION_DENIED,
                manager.checkPermission(activity.permission, other.packageName));
        assertEquals(PackageManager.PERMISSION_DENIED,
                manager.checkPermission(activity.permission, context.getPackageName()));
    }

    @Test
    public void nothingElseIsExported() throws Exception {
        PackageInfo own = context.getPackageManager().getPackageInfo(context.getPackageName(),
                PackageManager.GET_ACTIVITIES | PackageManager.GET_PROVIDERS
                        | PackageManager.GET_SERVICES | PackageManager.GET_RECEIVERS);
        List<String> exported = new ArrayList<>();
        for (ComponentInfo[] kind : new ComponentInfo[][] {
            own.activities, own.providers, own.services, own.receivers}) {
            for (ComponentInfo component : kind == null ? new ComponentInfo[0] : kind) {
                if (component.exported && component.name.startsWith("org.mobilekit.")) {
                    exported.add(component.name.substring(component.name.lastIndexOf('.') + 1));
                }
            }
        }
        Collections.sort(exported);
        assertEquals("[BenchActivity, DemoActivity]", exported.toString());
        assertFalse(own.providers[0].exported);
    }
}
