package org.mobilekit.bench;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

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

/** The door: what passes it, and what it says to the rest. */
public final class BenchOptionsTest {
    static Map<String, Object> good() {
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

    private static String refused(String name, Object value) {
        Map<String, Object> extras = good();
        extras.put(name, value);
        StageException e = assertThrows(name + "=" + value, StageException.class,
                () -> BenchOptions.from(extras));
        assertEquals("usage", e.stage);
        assertTrue(e.getMessage(), e.getMessage().contains(name));
        return e.getMessage();
    }

    @Test
    public void goodOptionsPass() throws Exception {
        BenchOptions options = BenchOptions.from(good());
        assertEquals("run-1", options.id);
        assertEquals(5, options.plan.iters);
        assertEquals(20_000_000_000L, options.plan.mostNs);
        assertEquals(good(), options.values());
        assertThrows(UnsupportedOperationException.class,
                () -> options.values().put("iters", 6));
    }

    @Test
    public void everyExtraIsNeededAndOfItsType() {
        for (BenchOptions.Extra extra : BenchOptions.EXTRAS) {
            refused(extra.name, null);
            refused(extra.name, new int[] {1});
            refused(extra.name, true);
            if (extra.type.equals("name")) {
                refused(extra.name, 7);
                continue;
            }
            refused(extra.name, "7");
            if (extra.least > 0 || !extra.name.equals("contract")) {
                refused(extra.name, (int) Math.floor(extra.least) - 1);
            }
        }
    }

    @Test
    public void boundsHold() {
        assertTrue(refused("iters", 0).contains("from 1 to 1000000"));
        refused("iters", 1_000_000_000);
        refused("threads", -1);
        refused("threads", 65);
        refused("warmup_seconds", Float.NaN);
        refused("max_seconds", Float.POSITIVE_INFINITY);
        refused("max_seconds", 0f);
        refused("min_seconds", -0.5f);
        refused("warmup", 1f);
    }

    @Test
    public void namesStayInsideTheirFolder() {
        for (String name : new String[] {
            "", "..", "../x", "a/b", "/etc/passwd", "a\u0000b", "ä", " a", ".hidden", "a\n",
            new String(new char[97]).replace('\0', 'a')
        }) {
            refused("bundle", name);
            refused("id", name);
            Map<String, Object> extras = good();
            extras.put("id", name);
            assertEquals(Contract.NAMELESS, BenchOptions.idOf(extras));
        }
    }

    @Test
    public void anotherContractIsNamedFirst() {
        Map<String, Object> extras = new HashMap<>();
        extras.put("contract", Contract.VERSION + 1);
        extras.put("option of the future", 1);
        StageException e =
                assertThrows(StageException.class, () -> BenchOptions.from(extras));
        assertTrue(e.getMessage(), e.getMessage().contains("speaks contract "
                + (Contract.VERSION + 1)));
    }

    @Test
    public void unknownExtrasAreRefused() {
        assertTrue(refused("warmups", 3).contains("unknown extra"));
    }

    @Test
    public void theTableIsThatOfTheContract() throws Exception {
        JSONObject extras = new JSONObject(new String(Files.readAllBytes(
                Samples.app().resolve("contract.json")), StandardCharsets.UTF_8))
                .getJSONObject("extras");
        TreeSet<String> names = new TreeSet<>();
        for (Iterator<String> keys = extras.keys(); keys.hasNext(); ) {
            names.add(keys.next());
        }
        for (BenchOptions.Extra extra : BenchOptions.EXTRAS) {
            assertTrue(extra.name, names.remove(extra.name));
            JSONObject listed = extras.getJSONObject(extra.name);
            assertEquals(extra.type, listed.getString("type"));
            assertEquals(extra.least, listed.optDouble("least", 0), 0);
            assertEquals(extra.most, listed.optDouble("most", 0), 0);
        }
        assertTrue(names.toString(), names.isEmpty());
    }
}
