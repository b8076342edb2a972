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
 * Measures once, without a window of its own, and finishes. Started by `kit app bench` with the
 * extras that `contract.json` lists; the manifest lets nobody start it who lacks the permission
 * that adb's shell holds.
 *
 * <p>Whatever is asked, a result file comes: bad extras give one that says which and why.
 */
public final class BenchActivity extends Activity {
    private static final AtomicBoolean BUSY = new AtomicBoolean();

    private BenchRecord record;
    private Thread worker;

    @Override
    protected void onCreate(android.os.Bundle state) {
        super.onCreate(state);
        if (state != null) { // Android brings back what it ended; nobody asked to measure again
            finish();
            return;
        }
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        Map<String, Object> extras = extras(getIntent());
        record = new BenchRecord(BenchOptions.idOf(extras), getPackageName(), version());
        worker = new Thread(() -> {
            work(extras, new Storage(getFilesDir()));
            runOnUiThread(this::finish);
        }, "bench");
        worker.start();
    }

    /** Measured in the background, a process gets the small cores: the kit warns. */
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

    private void work(Map<String, Object> extras, Storage storage) {
        boolean mine = BUSY.compareAndSet(false, true);
        try {
            record.before = DeviceState.read(this);
            if (!mine) {
                throw new StageException("usage", "another measurement is running");
            }
            storage.forget(record.id);
            if (!Contract.BENCH_ACTION.equals(getIntent().getAction())) {
                throw new StageException("usage", "the action must be " + Contract.BENCH_ACTION);
            }
            BenchOptions options = BenchOptions.from(extras);
            record.options(options.values());
            new BenchJob(this, options, record, storage).run();
        } catch (StageException e) {
            fail(e);
        } catch (RuntimeException | OutOfMemoryError e) { // a fault of ours or the system's: told
            fail(new StageException("run", e));
        } finally {
            if (mine) {
                BUSY.set(false);
            }
        }
        record.after = DeviceState.read(this);
        save(storage);
    }

    private void fail(StageException fault) {
        Log.e(Contract.LOG_TAG, record.id + ": " + fault.stage + ": " + fault.getMessage(), fault);
        record.error(fault);
    }

    private void save(Storage storage) {
        try {
            storage.write(storage.result(record.id), record::write);
            Log.i(Contract.LOG_TAG, record.id + ": done");
        } catch (IOException e) {
            record.replaceBy(new StageException("output", e)); // a file without samples may fit
            saveFault(storage, e);
        }
    }

    private void saveFault(Storage storage, IOException fault) {
        Log.e(Contract.LOG_TAG, record.id + ": output: " + fault.getMessage(), fault);
        try {
            storage.write(storage.result(record.id), record::write);
        } catch (IOException e) { // not even that: logcat is all there is
            Log.e(Contract.LOG_TAG, record.id + ": output: " + e.getMessage(), e);
        }
    }

    private static Map<String, Object> extras(Intent intent) {
        Map<String, Object> extras = new HashMap<>();
        try {
            android.os.Bundle given = intent.getExtras();
            if (given != null) {
                for (String name : given.keySet()) {
                    extras.put(String.valueOf(name), raw(given, name));
                }
            }
        } catch (RuntimeException e) { // an object of a class that this app does not have
            extras.put("unreadable extra", e.getClass().getSimpleName());
        }
        return extras;
    }

    @SuppressWarnings("deprecation") // the typed getters hide that a type is wrong
    private static Object raw(android.os.Bundle given, String name) {
        return given.get(name);
    }

    private String version() {
        try {
            return getPackageManager().getPackageInfo(getPackageName(), 0).versionName;
        } catch (PackageManager.NameNotFoundException e) {
            throw new AssertionError("an app knows itself", e);
        }
    }
}
