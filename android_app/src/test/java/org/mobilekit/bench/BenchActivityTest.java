package org.mobilekit.bench;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.mobilekit.bench.BenchOptionsTest.intent;

import android.content.Context;
import android.content.Intent;
import android.os.Looper;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeSet;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.mobilekit.Contract;
import org.mobilekit.Digest;
import org.mobilekit.Samples;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.annotation.Config;

/** Runs the benchmark as adb's shell starts it, with real models if there are samples. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
public final class BenchActivityTest {
    private final Context context = RuntimeEnvironment.getApplication();

    /** Starts the activity, waits for it, and returns the parsed result. */
    private JSONObject measure(Intent intent, String id) throws Exception {
        BenchActivity activity =
                Robolectric.buildActivity(BenchActivity.class, intent).setup().get();
        activity.worker().join(60_000);
        Shadows.shadowOf(Looper.getMainLooper()).idle();
        assertTrue(activity.isFinishing());
        return result(id);
    }

    private JSONObject result(String id) throws Exception {
        File file = new Storage(context.getFilesDir()).result(id);
        return new JSONObject(
                new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8));
    }

    private static List<String> kinds(JSONObject result) throws Exception {
        List<String> kinds = new ArrayList<>();
        JSONArray events = result.getJSONArray("events");
        for (int i = 0; i < events.length(); i++) {
            kinds.add(events.getJSONObject(i).getString("event"));
        }
        return kinds;
    }

    private static TreeSet<String> keys(JSONObject json) {
        TreeSet<String> keys = new TreeSet<>();
        for (Iterator<String> names = json.keys(); names.hasNext(); ) {
            keys.add(names.next());
        }
        return keys;
    }

    private String errorOf(Map<String, Object> extras, String id, String stage) throws Exception {
        JSONObject result = measure(intent(extras), id);
        assertEquals("error", result.getString("status"));
        JSONArray events = result.getJSONArray("events");
        JSONObject error = events.getJSONObject(events.length() - 1);
        assertEquals("error", error.getString("event"));
        assertEquals(error.toString(), stage, error.getString("at"));
        return error.getString("msg");
    }

    @Test
    public void aMeasurementWritesAllSamplesAndOutputs() throws Exception {
        Samples.push(context.getFilesDir(), "pushed");
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("bundle", "pushed");
        JSONObject result = measure(intent(extras), "run-1");
        assertEquals(result.toString(), "ok", result.getString("status"));
        assertEquals("[start, load, first, warm, iter, mem, out, end]", kinds(result).toString());
        JSONArray events = result.getJSONArray("events");
        assertEquals(Contract.PROTOCOL, events.getJSONObject(0).getInt("protocol"));
        assertEquals("app",
                events.getJSONObject(0).getJSONObject("versions").getString("runner"));
        assertEquals(5, events.getJSONObject(4).getJSONArray("ns").length());
        assertEquals(5, events.getJSONObject(7).getInt("count"));
        assertEquals(2, events.getJSONObject(3).getInt("count"));
        byte[] answer = Files.readAllBytes(
                new Storage(context.getFilesDir()).answer("run-1").toPath());
        assertEquals(4000, answer.length);
        assertEquals(Digest.sha256(answer), result.getJSONObject("answer").getString("sha256"));
        assertEquals("float32:1,1000", events.getJSONObject(6).getString("tensors"));
        save(result, "bench", answer);
    }

    @Test
    public void measuresModelsWithoutPictureInput() throws Exception {
        Samples.pushTensors(context.getFilesDir(), "pushed");
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("bundle", "pushed");
        JSONObject result = measure(intent(extras), "run-1");
        assertEquals(result.toString(), "ok", result.getString("status"));
        assertEquals("float32:1,4;int64:1,4;bool:1,4;float16:2,3;uint8:3;int32:",
                result.getJSONArray("events").getJSONObject(6).getString("tensors"));
        byte[] answer = Files.readAllBytes(
                new Storage(context.getFilesDir()).answer("run-1").toPath());
        assertEquals(4 * 4 + 4 * 8 + 4 + 6 * 2 + 3 + 4, answer.length);
        save(result, "tensors", answer);
    }

    @Test
    public void unsupportedTypesAreNamed() throws Exception {
        Path manifest = Samples.pushTensors(context.getFilesDir(), "pushed").toPath()
                .resolve("bundle.json");
        String text = new String(Files.readAllBytes(manifest), StandardCharsets.UTF_8);
        JSONObject json = new JSONObject(text);
        JSONObject golden = json.getJSONObject("golden").getJSONObject("outputs");
        golden.put("lite-fp32", golden.get("onnx-fp32"));
        JSONObject onnx = json.getJSONArray("artifacts").getJSONObject(0);
        json.getJSONArray("artifacts").put(new JSONObject(onnx.toString()).put("format", "lite"));
        Files.write(manifest, json.toString().getBytes(StandardCharsets.UTF_8));
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("bundle", "pushed");
        extras.put("artifact", "lite");
        assertEquals("The lite runtime for Android does not support tensors of bool, the type of"
                + " “mask”", errorOf(extras, "run-1", "load"));
    }

    /** Saves a result for kit's tests, which read it like one from a phone. */
    private static void save(JSONObject result, String name, byte[] answer) throws Exception {
        File folder = new File(System.getProperty("kit.results"));
        assertTrue(folder.isDirectory() || folder.mkdirs());
        Files.write(new File(folder, name + ".json").toPath(),
                result.toString().getBytes(StandardCharsets.UTF_8));
        Files.write(new File(folder, name + Contract.ANSWER_SUFFIX).toPath(), answer);
    }

    @Test
    public void theResultHasTheKeysOfTheContract() throws Exception {
        JSONObject contract = new JSONObject(new String(Files.readAllBytes(
                Samples.app().resolve("contract.json")), StandardCharsets.UTF_8));
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("artifact", "none");
        JSONObject result = measure(intent(extras), "run-1");
        assertEquals(set(contract.getJSONArray("result_keys")), keys(result));
        JSONObject device = result.getJSONObject("device");
        JSONObject before = device.getJSONObject("before");
        assertEquals(set(contract.getJSONArray("device_keys")), keys(before));
        assertEquals(keys(before), keys(device.getJSONObject("after")));
    }

    private static TreeSet<String> set(JSONArray names) throws Exception {
        TreeSet<String> set = new TreeSet<>();
        for (int i = 0; i < names.length(); i++) {
            set.add(names.getString(i));
        }
        return set;
    }

    @Test
    public void invalidExtrasAreReportedInTheResult() throws Exception {
        Map<String, Object> invalid = new HashMap<>();
        invalid.put("iters", 1_000_000_000);
        invalid.put("threads", -2);
        invalid.put("warmup_seconds", "soon");
        invalid.put("bundle", "../sample");
        for (Map.Entry<String, Object> entry : invalid.entrySet()) {
            Map<String, Object> extras = BenchOptionsTest.valid();
            extras.put(entry.getKey(), entry.getValue());
            assertTrue(errorOf(extras, "run-1", "usage").startsWith(entry.getKey()));
        }
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("id", "../../x");
        assertTrue(errorOf(extras, Contract.NAMELESS, "usage").startsWith("id is '../../x'"));
        assertFalse(new File(context.getFilesDir(), "../x.json").exists());
        assertTrue(errorOf(new HashMap<>(), Contract.NAMELESS, "usage").contains("missing"));
    }

    @Test
    public void anotherContractIsRejected() throws Exception {
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("contract", 99);
        assertTrue(errorOf(extras, "run-1", "usage").contains("build and install the app"));
    }

    @Test
    public void anotherActionIsRejected() throws Exception {
        Intent intent = intent(BenchOptionsTest.valid()).setAction(Intent.ACTION_VIEW);
        JSONObject result = measure(intent, "run-1");
        assertTrue(result.toString(), result.toString().contains("the action must be"));
    }

    @Test
    public void missingBundlesAndArtifactsAreNamed() throws Exception {
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("bundle", "absent");
        assertTrue(errorOf(extras, "run-1", "load").contains("absent"));
        Samples.push(context.getFilesDir(), "pushed");
        extras.put("bundle", "pushed");
        extras.put("artifact", "tflite");
        assertTrue(errorOf(extras, "run-1", "input").contains("tflite"));
        extras.put("artifact", "lite"); // the native library is for phones only
        assertFalse(errorOf(extras, "run-1", "load").isEmpty());
    }

    @Test
    public void aDamagedModelIsRejected() throws Exception {
        File bundle = Samples.push(context.getFilesDir(), "pushed");
        Samples.damage(new File(bundle, "model-int8.onnx"));
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("bundle", "pushed");
        assertTrue(errorOf(extras, "run-1", "load").contains("altered"));
    }

    @Test
    public void freeSpaceIsCheckedBeforeUnpacking() throws Exception {
        Samples.push(context.getFilesDir(), "pushed");
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("bundle", "pushed");
        Storage full = new Storage(context.getFilesDir()) {
            @Override
            long free() {
                return 1 << 20;
            }
        };
        BenchRecord record = new BenchRecord("run-1", "p", "1");
        StageException e = org.junit.Assert.assertThrows(StageException.class, () ->
                new BenchJob(context, BenchOptions.from(extras), record, full).run());
        assertEquals("load", e.stage);
        assertTrue(e.getMessage(), e.getMessage().contains("1 MB are free"));
    }

    @Test
    public void oldResultsAreDeletedFirst() throws Exception {
        Storage storage = new Storage(context.getFilesDir());
        storage.write(storage.answer("run-1"), out -> out.write(1));
        Map<String, Object> extras = BenchOptionsTest.valid();
        extras.put("bundle", "absent");
        errorOf(extras, "run-1", "load");
        assertFalse(storage.answer("run-1").exists());
    }

    @Test
    public void aRecreatedActivityDoesNotMeasureAgain() throws Exception {
        Intent intent = intent(BenchOptionsTest.valid());
        BenchActivity activity = Robolectric.buildActivity(BenchActivity.class, intent)
                .create(new android.os.Bundle()).get();
        assertTrue(activity.isFinishing());
        assertEquals(null, activity.worker());
        assertFalse(new Storage(context.getFilesDir()).result("run-1").exists());
    }

    /** Starts it with 200 random intents: each writes a readable result, none crashes. */
    @Test
    public void randomExtrasDoNotCrash() throws Exception {
        Random random = new Random(20);
        Object[] values = {
            null, 0, -1, 1, Integer.MAX_VALUE, Integer.MIN_VALUE, 1L, 0.5f, Float.NaN, true, "",
            "onnx", "../..", "sample", "\uD800", new int[] {1}, new String(new char[5000])
        };
        String[] names = {
            "contract", "id", "bundle", "artifact", "threads", "warmup", "warmup_seconds", "iters",
            "min_seconds", "max_seconds", "", "other", "\u0000"
        };
        for (int i = 0; i < 200; i++) {
            Map<String, Object> extras = BenchOptionsTest.valid();
            extras.put("bundle", "absent");
            for (int k = random.nextInt(4); k >= 0; k--) {
                extras.put(names[random.nextInt(names.length)],
                        values[random.nextInt(values.length)]);
            }
            JSONObject result = measure(intent(extras), BenchOptions.idOf(extras));
            String last = kinds(result).get(kinds(result).size() - 1);
            assertEquals(result.getString("status").equals("ok") ? "end" : "error", last);
        }
    }
}
