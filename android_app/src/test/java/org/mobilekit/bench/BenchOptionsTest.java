package org.mobilekit.bench;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.content.Intent;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import java.util.TreeSet;
import org.json.JSONObject;
import org.junit.Test;
import org.mobilekit.Contract;
import org.mobilekit.Samples;

/** Valid extras are accepted, and others rejected with a message. */
public final class BenchOptionsTest {
    static Map<String, Object> valid() {
        Map<String, Object> extras = new HashMap<>();
        extras.put("contract", Contract.VERSION);
        extras.put("id", "run-1");
        extras.put("bundle", "sample");
        extras.put("artifact", "onnx");
        extras.put("threads", 1);
        extras.put("warmup", 2);
        extras.put("warmup_seconds", 0.0f);
        extras.put("iters", 5);
        extras.put("min_seconds", 0);
        extras.put("max_seconds", 20f);
        return extras;
    }

    private static String errorOf(String name, Object value) {
        Map<String, Object> extras = valid();
        extras.put(name, value);
        StageException e = assertThrows(name + "=" + value, StageException.class,
                () -> BenchOptions.from(extras));
        assertEquals("usage", e.stage);
        assertTrue(e.getMessage(), e.getMessage().contains(name));
        return e.getMessage();
    }

    /** Returns what adb's shell sends with these extras. */
    static Intent intent(Map<String, Object> extras) {
        Intent intent = new Intent(Contract.BENCH_ACTION);
        extras.forEach((name, value) -> put(intent, name, value));
        return intent;
    }

    private static void put(Intent intent, String name, Object value) {
        if (value instanceof Integer) {
            intent.putExtra(name, (Integer) value);
        } else if (value instanceof Float) {
            intent.putExtra(name, (Float) value);
        } else if (value instanceof Long) {
            intent.putExtra(name, (Long) value);
        } else if (value instanceof Boolean) {
            intent.putExtra(name, (Boolean) value);
        } else if (value instanceof int[]) {
            intent.putExtra(name, (int[]) value);
        } else {
            intent.putExtra(name, (String) value);
        }
    }

    @Test
    public void validOptionsAreAccepted() throws Exception {
        BenchOptions options = BenchOptions.from(valid());
        assertEquals("run-1", options.id);
        assertEquals(5, options.plan.iters);
        assertEquals(20_000_000_000L, options.plan.maxNs);
        assertEquals(valid(), options.values());
        assertThrows(UnsupportedOperationException.class,
                () -> options.values().put("iters", 6));
    }

    @Test
    public void everyExtraIsRequiredAndTyped() {
        for (BenchOptions.Extra extra : BenchOptions.EXTRAS) {
            errorOf(extra.name, null);
            errorOf(extra.name, new int[] {1});
            errorOf(extra.name, true);
            if (extra.type.equals("name")) {
                errorOf(extra.name, 7);
                continue;
            }
            errorOf(extra.name, "7");
            if (extra.min > 0 || !extra.name.equals("contract")) {
                errorOf(extra.name, (int) Math.floor(extra.min) - 1);
            }
        }
    }

    @Test
    public void rangesAreEnforced() {
        assertTrue(errorOf("iters", 0).contains("from 1 to 1000000"));
        errorOf("iters", 1_000_000_000);
        errorOf("threads", -1);
        errorOf("threads", 65);
        errorOf("warmup_seconds", Float.NaN);
        errorOf("max_seconds", Float.POSITIVE_INFINITY);
        errorOf("max_seconds", 0f);
        errorOf("min_seconds", -0.5f);
        errorOf("warmup", 1f);
    }

    @Test
    public void namesCannotLeaveTheirFolder() {
        for (String name : new String[] {
            "", "..", "../x", "a/b", "/etc/passwd", "a\u0000b", "ä", " a", ".hidden", "a\n",
            new String(new char[97]).replace('\0', 'a')
        }) {
            errorOf("bundle", name);
            errorOf("id", name);
            Map<String, Object> extras = valid();
            extras.put("id", name);
            assertEquals(Contract.NAMELESS, BenchOptions.idOf(extras));
        }
    }

    @Test
    public void anotherContractIsReportedFirst() {
        Map<String, Object> extras = new HashMap<>();
        extras.put("contract", Contract.VERSION + 1);
        extras.put("option of the future", 1);
        StageException e =
                assertThrows(StageException.class, () -> BenchOptions.from(extras));
        assertTrue(e.getMessage(), e.getMessage().contains("kit uses contract "
                + (Contract.VERSION + 1)));
    }

    @Test
    public void unknownExtrasAreRejected() {
        assertTrue(errorOf("warmups", 3).contains("unknown extra"));
    }

    @Test
    public void theExtrasMatchTheContract() throws Exception {
        JSONObject extras = new JSONObject(new String(Files.readAllBytes(
                Samples.app().resolve("contract.json")), StandardCharsets.UTF_8))
                .getJSONObject("extras");
        TreeSet<String> names = new TreeSet<>();
        for (Iterator<String> keys = extras.keys(); keys.hasNext(); ) {
            names.add(keys.next());
        }
        for (BenchOptions.Extra extra : BenchOptions.EXTRAS) {
            assertTrue(extra.name, names.remove(extra.name));
            JSONObject expected = extras.getJSONObject(extra.name);
            assertEquals(extra.type, expected.getString("type"));
            assertEquals(extra.min, expected.optDouble("min", 0), 0);
            assertEquals(extra.max, expected.optDouble("max", 0), 0);
        }
        assertTrue(names.toString(), names.isEmpty());
    }
}
