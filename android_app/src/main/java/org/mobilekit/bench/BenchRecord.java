package org.mobilekit.bench;

import android.os.Build;
import android.util.JsonWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.mobilekit.Contract;

/** The result of a measurement: events of the runner protocol, and the device state. */
final class BenchRecord {
    final String id;
    final String application;
    final String appVersion;
    String bundleHash;
    String modelSha256;
    Map<String, Object> before;
    Map<String, Object> after;
    volatile boolean leftForeground;
    private Map<String, Object> options;
    private Map<String, Object> answer;
    private boolean failed;
    private final List<Map<String, Object>> events = new ArrayList<>();

    BenchRecord(String id, String application, String appVersion) {
        this.id = id;
        this.application = application;
        this.appVersion = appVersion;
    }

    void options(Map<String, Object> options) {
        this.options = options;
    }

    void event(Map<String, Object> event) {
        events.add(event);
    }

    /** Adds an event; {@code fields} alternates names and values. */
    void event(String kind, Object... fields) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("event", kind);
        for (int i = 0; i < fields.length; i += 2) {
            event.put((String) fields[i], fields[i + 1]);
        }
        events.add(event);
    }

    void samples(long[] ns) {
        event("iter", "ns", ns);
    }

    void answer(String file, String sha256) {
        answer = new LinkedHashMap<>();
        answer.put("file", file);
        answer.put("sha256", sha256);
    }

    void error(StageException e) {
        failed = true;
        event("error", "at", e.stage, "msg", e.getMessage());
    }

    /** Replaces all events with an error, because the full result cannot be written. */
    void replaceWith(StageException e) {
        events.clear();
        answer = null;
        error(e);
    }

    void write(OutputStream out) throws IOException {
        JsonWriter json = new JsonWriter(new OutputStreamWriter(out, StandardCharsets.UTF_8));
        writeValue(json, content());
        json.flush();
    }

    private Map<String, Object> content() {
        Map<String, Object> content = new LinkedHashMap<>();
        content.put("contract", Contract.VERSION);
        content.put("result_schema", Contract.RESULT_SCHEMA);
        content.put("id", id);
        content.put("status", failed ? "error" : "ok");
        content.put("app_version", appVersion);
        content.put("package", application);
        content.put("bundle_hash", bundleHash);
        content.put("model_sha256", modelSha256);
        content.put("options", options);
        content.put("events", events);
        content.put("answer", answer);
        content.put("device", device());
        return content;
    }

    private Map<String, Object> device() {
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("maker", Build.MANUFACTURER);
        facts.put("model", Build.MODEL);
        facts.put("android", Build.VERSION.RELEASE);
        facts.put("api", Build.VERSION.SDK_INT);
        facts.put("abis", Arrays.asList(Build.SUPPORTED_ABIS));
        facts.put("cores", Runtime.getRuntime().availableProcessors());
        Map<String, Object> device = new LinkedHashMap<>();
        device.put("facts", facts);
        device.put("before", before);
        device.put("after", after);
        device.put("left_foreground", leftForeground);
        return device;
    }

    private static void writeValue(JsonWriter json, Object value) throws IOException {
        if (value instanceof Map) {
            json.beginObject();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                json.name((String) entry.getKey());
                writeValue(json, entry.getValue());
            }
            json.endObject();
        } else if (value instanceof List) {
            json.beginArray();
            for (Object item : (List<?>) value) {
                writeValue(json, item);
            }
            json.endArray();
        } else if (value instanceof long[]) {
            json.beginArray();
            for (long item : (long[]) value) {
                json.value(item);
            }
            json.endArray();
        } else if (value instanceof Number) {
            json.value((Number) value);
        } else if (value instanceof Boolean) {
            json.value((Boolean) value);
        } else {
            json.value((String) value);
        }
    }
}
