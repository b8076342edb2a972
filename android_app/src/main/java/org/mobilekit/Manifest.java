package org.mobilekit;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The part of `bundle.json` that an app needs. */
final class Manifest {
    /** Float kernels of two processors differ by rounding only; the kit has the same limit. */
    private static final double FLOAT_SQNR_DB = 40;

    final String model;
    final String labels;
    final long[] shape;
    final Preprocess preprocess;
    final String goldenInput;
    final Map<String, String> golden = new HashMap<>();
    final List<Artifact> artifacts = new ArrayList<>();
    private final Map<String, Entry> files = new HashMap<>();

    /** One model file. */
    static final class Artifact {
        final String format;
        final String file;
        final String quantize;

        /** Least SQNR in dB of its answers against the workstation's; null asks for equality. */
        final Double floor;

        Artifact(JSONObject json) throws JSONException {
            format = json.getString("format");
            file = json.getString("file");
            quantize = json.getString("quantize");
            floor = floor(quantize, json.getJSONArray("parity"));
        }
    }

    /** Size and hash of a file. */
    static final class Entry {
        final long size;
        final String sha256;

        Entry(JSONObject json) throws JSONException {
            size = json.getLong("size");
            sha256 = json.getString("sha256");
            if (!sha256.matches("[0-9a-f]{64}")) { // it becomes the name of a file
                throw new JSONException("“" + sha256 + "” is no SHA-256");
            }
        }
    }

    Manifest(JSONObject json) throws JSONException, KitException {
        model = json.getJSONObject("recipe").getString("model");
        labels = json.isNull("labels") ? null : json.getString("labels");
        JSONArray sides = json.getJSONObject("input").getJSONArray("shape");
        shape = new long[sides.length()];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = sides.getLong(i);
        }
        preprocess = preprocess(json.getJSONObject("preprocessing"));
        JSONObject answers = json.getJSONObject("golden");
        goldenInput = answers.getString("input");
        JSONObject outputs = answers.getJSONObject("outputs");
        for (Iterator<String> names = outputs.keys(); names.hasNext(); ) {
            String format = names.next();
            golden.put(format, outputs.getString(format));
        }
        JSONArray models = json.getJSONArray("artifacts");
        for (int i = 0; i < models.length(); i++) {
            artifacts.add(new Artifact(models.getJSONObject(i)));
        }
        JSONObject entries = json.getJSONObject("files");
        for (Iterator<String> names = entries.keys(); names.hasNext(); ) {
            String path = names.next();
            files.put(inside(path), new Entry(entries.getJSONObject(path)));
        }
    }

    Artifact artifact(String format) throws KitException {
        List<String> have = new ArrayList<>();
        for (Artifact artifact : artifacts) {
            if (artifact.format.equals(format)) {
                return artifact;
            }
            have.add(artifact.format);
        }
        throw new KitException("The bundle has no " + format + " file; it has "
                + String.join(", ", have));
    }

    /** Path of the model file of a format, or null. */
    String modelPath(String format) {
        for (Artifact artifact : artifacts) {
            if (artifact.format.equals(format)) {
                return artifact.file;
            }
        }
        return null;
    }

    Entry entry(String path) throws KitException {
        Entry entry = files.get(path);
        if (entry == null) {
            throw new KitException("bundle.json does not list " + path);
        }
        return entry;
    }

    private static String inside(String path) throws KitException {
        if (path.startsWith("/") || ("/" + path + "/").contains("/../")) {
            throw new KitException("The bundle lists a file outside of itself: " + path);
        }
        return path;
    }

    private static Preprocess preprocess(JSONObject json) throws JSONException, KitException {
        String how = json.getString("interpolation") + " " + json.getString("color") + " "
                + json.getString("layout");
        if (!how.equals("bilinear-antialias RGB NCHW")) {
            throw new KitException("This app cannot prepare pictures like this: " + how);
        }
        return new Preprocess(json.getInt("resize"), json.getInt("crop"),
                floats(json.getJSONArray("mean")), floats(json.getJSONArray("std")));
    }

    private static float[] floats(JSONArray json) throws JSONException {
        float[] values = new float[json.length()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) json.getDouble(i);
        }
        return values;
    }

    private static Double floor(String quantize, JSONArray parity) throws JSONException {
        if (quantize.equals("none")) {
            return FLOAT_SQNR_DB;
        }
        for (int i = 0; i < parity.length(); i++) {
            JSONObject comparison = parity.getJSONObject(i);
            JSONObject limits = comparison.getJSONObject("thresholds");
            if (comparison.getString("against").equals("quantized graph")
                    && limits.has("sqnr_db")) {
                return limits.getDouble("sqnr_db");
            }
        }
        return null;
    }
}
