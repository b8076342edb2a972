package org.mobilekit.bench;

import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;
import java.io.File;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.mobilekit.NewerApi;

/** Snapshot of the device state; values that the device does not report are null. */
final class DeviceState {
    private static final String[] THERMAL = {
        "none", "light", "moderate", "severe", "critical", "emergency", "shutdown"
    };

    private DeviceState() {}

    static Map<String, Object> read(Context context) {
        Map<String, Object> state = new LinkedHashMap<>();
        readBattery(context, state);
        PowerManager power = context.getSystemService(PowerManager.class);
        state.put("thermal_status",
                Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q ? thermal(power) : null);
        state.put("power_save", power.isPowerSaveMode());
        state.put("screen_on", power.isInteractive());
        state.put("cpu_mhz", clocks(new File("/sys/devices/system/cpu")));
        state.put("free_bytes", context.getFilesDir().getUsableSpace());
        return state;
    }

    private static void readBattery(Context context, Map<String, Object> state) {
        IntentFilter filter = new IntentFilter(Intent.ACTION_BATTERY_CHANGED);
        Intent battery = context.registerReceiver(null, filter); // the sticky broadcast
        Integer tenths = extra(battery, BatteryManager.EXTRA_TEMPERATURE);
        Integer level = extra(battery, BatteryManager.EXTRA_LEVEL);
        Integer scale = extra(battery, BatteryManager.EXTRA_SCALE);
        Integer plugged = extra(battery, BatteryManager.EXTRA_PLUGGED);
        state.put("battery_temperature_c", tenths == null ? null : tenths / 10.0);
        state.put("battery_level",
                level == null || scale == null || scale < 1 ? null : (double) level / scale);
        state.put("plugged", plugged == null ? null : plugged != 0);
    }

    private static Integer extra(Intent battery, String name) {
        return battery == null || !battery.hasExtra(name) ? null : battery.getIntExtra(name, 0);
    }

    @NewerApi(29)
    private static String thermal(PowerManager power) {
        int status = power.getCurrentThermalStatus();
        return status >= 0 && status < THERMAL.length ? THERMAL[status] : null;
    }

    /** Returns the clock of each core in MHz, or null if it is not readable. */
    static List<Integer> clocks(File folder) {
        List<Integer> clocks = new ArrayList<>();
        for (int core = 0; ; core++) {
            String khz = Proc.line(new File(folder, "cpu" + core + "/cpufreq/scaling_cur_freq"));
            if (khz == null || !khz.matches("[0-9]{1,9}")) {
                return clocks.isEmpty() ? null : clocks;
            }
            clocks.add(Integer.parseInt(khz) / 1000);
        }
    }
}
