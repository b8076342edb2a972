package org.mobilekit.bench;

import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.util.Log;
import android.view.WindowManager;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.mobilekit.Contract;

/**
 * Runs one measurement without a visible window, then finishes. `kit app bench` starts it with the
 * extras that `contract.json` lists; the manifest requires a permission that adb's shell holds.
 *
 * <p>Always writes a result file: for invalid extras it contains the error.
 */
public final class BenchActivity extends Activity {
    private static final AtomicBoolean BUSY = new AtomicBoolean();

    private BenchRecord record;
    private Thread worker;

    @Override
    protected void onCreate(android.os.Bundle state) {
        super.onCreate(state);
        if (state != null) { // recreated by Android: do not measure again
            finish();
            return;
        }
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        Map<String, Object> extras = extras(getIntent());
        record = new BenchRecord(BenchOptions.idOf(extras), getPackageName(), version());
        worker = new Thread(() -> {
            measure(extras, new Storage(getFilesDir()));
            runOnUiThread(this::finish);
        }, "bench");
        worker.start();
    }

    /** Background processes run on the small cores: kit warns about the measurement. */
    @Override
    protected void onStop() {
        super.onStop();
        if (worker != null && worker.isAlive()) {
            record.leftForeground = true;
        }
    }

    Thread worker() {
        return worker;
    }

    private void measure(Map<String, Object> extras, Storage storage) {
        boolean acquired = BUSY.compareAndSet(false, true);
        try {
            record.before = DeviceState.read(this);
            if (!acquired) {
                throw new StageException("usage", "another measurement is running");
            }
            storage.delete(record.id);
            if (!Contract.BENCH_ACTION.equals(getIntent().getAction())) {
                throw new StageException("usage", "the action must be " + Contract.BENCH_ACTION);
            }
            BenchOptions options = BenchOptions.from(extras);
            record.options(options.values());
            new BenchJob(this, options, record, storage).run();
        } catch (StageException e) {
            reportError(e);
        } catch (RuntimeException | OutOfMemoryError e) { // unexpected: report it
            reportError(new StageException("run", e));
        } finally {
            if (acquired) {
                BUSY.set(false);
            }
        }
        record.after = DeviceState.read(this);
        save(storage);
    }

    private void reportError(StageException error) {
        Log.e(Contract.LOG_TAG, record.id + ": " + error.stage + ": " + error.getMessage(), error);
        record.error(error);
    }

    private void save(Storage storage) {
        try {
            storage.write(storage.result(record.id), record::write);
            Log.i(Contract.LOG_TAG, record.id + ": done");
        } catch (IOException e) {
            record.replaceWith(new StageException("output", e)); // without samples, so smaller
            saveError(storage, e);
        }
    }

    private void saveError(Storage storage, IOException error) {
        Log.e(Contract.LOG_TAG, record.id + ": output: " + error.getMessage(), error);
        try {
            storage.write(storage.result(record.id), record::write);
        } catch (IOException e) { // only logcat is left
            Log.e(Contract.LOG_TAG, record.id + ": output: " + e.getMessage(), e);
        }
    }

    private static Map<String, Object> extras(Intent intent) {
        Map<String, Object> extras = new HashMap<>();
        try {
            android.os.Bundle bundle = intent.getExtras();
            if (bundle != null) {
                for (String name : bundle.keySet()) {
                    extras.put(String.valueOf(name), getUntyped(bundle, name));
                }
            }
        } catch (RuntimeException e) { // an extra of a class that this app lacks
            extras.put("unreadable extra", e.getClass().getSimpleName());
        }
        return extras;
    }

    @SuppressWarnings("deprecation") // typed getters hide wrong types
    private static Object getUntyped(android.os.Bundle bundle, String name) {
        return bundle.get(name);
    }

    private String version() {
        try {
            return getPackageManager().getPackageInfo(getPackageName(), 0).versionName;
        } catch (PackageManager.NameNotFoundException e) {
            throw new AssertionError("the app's own package is missing", e);
        }
    }
}
