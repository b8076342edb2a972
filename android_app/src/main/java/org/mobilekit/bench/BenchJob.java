package org.mobilekit.bench;

import android.content.Context;
import android.os.Build;
import android.os.Process;
import android.system.Os;
import android.system.OsConstants;
import android.util.Log;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import org.json.JSONException;
import org.json.JSONObject;
import org.mobilekit.Bundle;
import org.mobilekit.Contract;
import org.mobilekit.Digest;
import org.mobilekit.Model;
import org.mobilekit.ModelRuntime;
import org.mobilekit.Runtimes;
import org.mobilekit.Tensor;

/**
 * One measurement in the app, with the stages, events and plan of kit's runners.
 *
 * <p>Runs on a single thread. If a stage fails, the record keeps the events before it.
 */
final class BenchJob {
    /** Required free space in addition to the unpacked model, for the result. */
    private static final long SPARE_BYTES = 8L << 20;

    private final Context context;
    private final BenchOptions options;
    private final BenchRecord record;
    private final Storage storage;
    private String format; // of the artifact

    BenchJob(Context context, BenchOptions options, BenchRecord record, Storage storage) {
        this.context = context;
        this.options = options;
        this.record = record;
        this.storage = storage;
    }

    /** Runs the measurement. */
    void run() throws StageException {
        Bundle bundle = stage("load", () -> Bundle.open(context, options.bundle));
        record.bundleHash = bundle.hash;
        List<Tensor> inputs = stage("input", () -> bundle.firstInputs(options.artifact));
        File model = stage("load", () -> unpackModel(bundle));
        record.modelSha256 = stage("load", () -> bundle.modelSha256(options.artifact));
        format = stage("load", () -> bundle.format(options.artifact));
        ModelRuntime runtime = stage("load", () -> Runtimes.create(format));
        try {
            stage("load", () -> {
                Runtimes.check(runtime, format, bundle);
                return null;
            });
            measure(runtime, model, inputs);
        } finally {
            runtime.close();
        }
    }

    private File unpackModel(Bundle bundle) throws Exception {
        long needed = bundle.modelSize(options.artifact) + SPARE_BYTES;
        long free = storage.free();
        if (free < needed) {
            throw new IOException((needed >> 20) + " MB of free space are required, but "
                    + (free >> 20) + " MB are free");
        }
        return bundle.modelFile(options.artifact, Model.folder(context));
    }

    private void measure(ModelRuntime runtime, File model, List<Tensor> inputs)
            throws StageException {
        Integer actualThreads = stage("load", () -> runtime.prepare(options.threads));
        record.event(start(runtime, actualThreads));
        Long baseRss = Proc.resetPeak();
        long startNs = System.nanoTime();
        stage("load", () -> {
            runtime.load(model);
            return null;
        });
        record.event("load", "ns", System.nanoTime() - startNs);
        stage("input", () -> {
            runtime.inputs(inputs);
            return null;
        });
        Sampler sampler = new Sampler(options.plan, System::nanoTime);
        long cpu = stage("run", () -> sample(runtime, sampler));
        record.samples(sampler.samples());
        record.event("mem", "peak_rss", Proc.peak(), "base_rss", baseRss, "os_threads",
                Proc.threads());
        List<Tensor> answers = stage("output", () -> write(runtime.outputs()));
        record.event("out", "path", storage.answer(options.id).getPath(),
                "tensors", Tensor.describe(answers));
        record.event("end", "count", sampler.samples().length, "cpu_ns", cpu);
    }

    private long sample(ModelRuntime runtime, Sampler sampler) throws Exception {
        sampler.warmUp(runtime::run);
        record.event("first", "ns", sampler.firstNs);
        record.event("warm", "count", sampler.warmupCount, "ns", sampler.warmupNs);
        System.gc(); // collect now, not between samples
        Log.i(Contract.LOG_TAG, options.id + ": warm after " + sampler.warmupCount + " runs");
        long startMs = Process.getElapsedCpuTime();
        sampler.measure(runtime::run,
                count -> Log.i(Contract.LOG_TAG, options.id + ": " + count + " samples"));
        return (Process.getElapsedCpuTime() - startMs) * 1_000_000L;
    }

    /** Writes the concatenated bytes of all outputs, like kit's runners. */
    private List<Tensor> write(List<Tensor> answers) throws IOException {
        ByteArrayOutputStream raw = new ByteArrayOutputStream();
        for (Tensor answer : answers) {
            byte[] bytes = new byte[answer.data().remaining()];
            answer.data().get(bytes);
            raw.write(bytes);
        }
        storage.write(storage.answer(options.id), raw::writeTo);
        record.answer(storage.answer(options.id).getName(), Digest.sha256(raw.toByteArray()));
        return answers;
    }

    private Map<String, Object> start(ModelRuntime runtime, Integer actualThreads) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("event", "start");
        event.put("protocol", Contract.PROTOCOL);
        event.put("pid", Process.myPid());
        event.put("threads", options.threads);
        event.put("obeyed", actualThreads);
        event.put("versions", versions(runtime));
        event.put("cpus", Proc.cpus());
        long page = Os.sysconf(OsConstants._SC_PAGESIZE);
        event.put("page", page > 0 ? page : null);
        event.put("clock", "CLOCK_MONOTONIC"); // the clock of System.nanoTime on Android
        return event;
    }

    private Map<String, Object> versions(ModelRuntime runtime) {
        Map<String, Object> versions = new LinkedHashMap<>();
        versions.put("runner", "app");
        versions.put("app", record.appVersion);
        versions.put("android", Build.VERSION.RELEASE);
        JSONObject packed = packedRuntimes().optJSONObject(format);
        String name = packed == null ? format : packed.optString("name", format);
        String reported = runtime.version();
        String recorded = packed == null ? "" : packed.optString("version");
        versions.put(name, reported != null ? reported : recorded);
        return versions;
    }

    /** Reads the runtimes that kit recorded in the app; empty if Gradle built the app. */
    private JSONObject packedRuntimes() {
        try (InputStream in = context.getAssets().open(Contract.ASSET_RUNTIMES);
                Scanner text = new Scanner(in, "UTF-8").useDelimiter("\\A")) {
            return new JSONObject(text.hasNext() ? text.next() : "{}");
        } catch (IOException | JSONException e) {
            return new JSONObject();
        }
    }

    private interface Step<T> {
        T run() throws Exception;
    }

    /** Runs a step and maps every failure, including errors of runtimes, to its stage. */
    private static <T> T stage(String name, Step<T> step) throws StageException {
        try {
            return step.run();
        } catch (Exception | LinkageError | OutOfMemoryError e) {
            throw new StageException(name, e);
        }
    }
}
