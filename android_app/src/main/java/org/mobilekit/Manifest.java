package org.mobilekit;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The part of `bundle.json` that an app needs. */
final class Manifest {
    /** Float kernels of two processors differ by rounding only; the kit has the same limit. */
    private static final double FLOAT_SQNR_DB = 40;

    /** Tensors on one side of a model; the kit has the same limit. */
    private static final int MAX_TENSORS = 32;

    /** The only task before schema 3. */
    private static final String CLASSIFICATION = "image-classification";

    private static final String LOGITS = "logits";
    private static final String PROBABILITIES = "probabilities";

    final String model;
    final String labels;
    final String task;

    /** Whether a classifier ends with a softmax; older bundles do not say it. */
    final boolean probabilities;
    final List<TensorSpec> inputs;
    final List<TensorSpec> outputs;

    /** From a picture to the first input; null for a model that takes none. */
    final Preprocess preprocess;

    /** One file per input. */
    final List<String> goldenInputs;

    /** One file per output, by the name of the artifact, or by its format before schema 4. */
    private final Map<String, List<String>> golden = new HashMap<>();
    final List<Artifact> artifacts = new ArrayList<>();
    private final Map<String, Entry> files = new HashMap<>();

    /** One model file. */
    static final class Artifact {
        /** What tells it from the bundle's other files, such as {@code onnx-int8}. */
        final String name;
        final String format;
        final String precision;
        final String file;
        final String quantize;

        /** Least SQNR in dB of its answers against the workstation's; null asks for equality. */
        final Double floor;

        Artifact(JSONObject json) throws JSONException {
            format = json.getString("format");
            file = json.getString("file");
            quantize = json.getString("quantize");
            // Before schema 4 a bundle had one file of each format.
            precision = json.optString("precision", quantize.equals("none") ? "fp32" : "int8");
            String backend = json.isNull("backend") ? "" : json.getString("backend") + "-";
            name = format + "-" + backend + precision;
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
        boolean old = json.getInt("schema_version") < 3; // which knew classifiers of pictures only
        task = old ? CLASSIFICATION : json.getString("task");
        probabilities = probabilities(json);
        JSONObject signature = old ? signature(json) : json.getJSONObject("signature");
        inputs = specs(signature.getJSONArray("inputs"));
        outputs = specs(signature.getJSONArray("outputs"));
        preprocess = json.isNull("preprocessing") ? null
                : preprocess(json.getJSONObject("preprocessing"));
        JSONObject known = json.getJSONObject("golden");
        goldenInputs = names(known.get(old ? "input" : "inputs"), inputs);
        JSONObject answers = known.getJSONObject("outputs");
        for (Iterator<String> names = answers.keys(); names.hasNext(); ) {
            String name = names.next();
            golden.put(name, names(answers.get(name), outputs));
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

    /** The model file of a name, or of a format that has one file here. */
    Artifact artifact(String wanted) throws KitException {
        List<String> have = new ArrayList<>();
        List<Artifact> found = new ArrayList<>();
        for (Artifact artifact : artifacts) {
            if (artifact.name.equals(wanted)) {
                return artifact;
            }
            if (artifact.format.equals(wanted)) {
                found.add(artifact);
            }
            have.add(artifact.name);
        }
        if (found.size() == 1) {
            return found.get(0);
        }
        String what = found.isEmpty() ? "The bundle has no " + wanted + " file"
                : "The bundle has " + found.size() + " " + wanted + " files";
        throw new KitException(what + "; it has " + String.join(", ", have));
    }

    /** One file per output: what an artifact's runtime answered on the workstation. */
    List<String> goldenAnswers(String wanted) throws KitException {
        Artifact artifact = artifact(wanted);
        List<String> files = golden.get(golden.containsKey(artifact.name) ? artifact.name
                : artifact.format);
        if (files == null) {
            throw new KitException("The bundle has no golden answers of " + artifact.name);
        }
        return files;
    }

    Entry entry(String path) throws KitException {
        Entry entry = files.get(path);
        if (entry == null) {
            throw new KitException("bundle.json does not list " + path);
        }
        return entry;
    }

    /** Whether it tells what is in a picture, in the way that this app shows. */
    boolean classifies() {
        if (!task.equals(CLASSIFICATION) || preprocess == null || inputs.size() != 1) {
            return false;
        }
        return inputs.get(0).dtype == DType.FLOAT32
                && Arrays.equals(inputs.get(0).shape(), preprocess.shape());
    }

    private static boolean probabilities(JSONObject json) throws JSONException, KitException {
        String scores = json.isNull("scores") ? LOGITS : json.getString("scores");
        if (!scores.equals(LOGITS) && !scores.equals(PROBABILITIES)) {
            throw new KitException("This app knows no scores called " + scores);
        }
        return scores.equals(PROBABILITIES);
    }

    private static JSONObject signature(JSONObject json) throws JSONException {
        return new JSONObject()
                .put("inputs", new JSONArray().put(json.getJSONObject("input")))
                .put("outputs", new JSONArray().put(json.getJSONObject("output")));
    }

    private static List<TensorSpec> specs(JSONArray json) throws JSONException, KitException {
        if (json.length() < 1 || json.length() > MAX_TENSORS) {
            throw new KitException("bundle.json describes a model with " + json.length()
                    + " inputs or outputs; this app knows 1 to " + MAX_TENSORS);
        }
        List<TensorSpec> specs = new ArrayList<>();
        for (int i = 0; i < json.length(); i++) {
            specs.add(TensorSpec.from(json.getJSONObject(i)));
        }
        return specs;
    }

    /** Returns the files of some tensors: a list of names or, in schemas 1 and 2, one name. */
    private static List<String> names(Object json, List<TensorSpec> specs)
            throws JSONException, KitException {
        JSONArray list = json instanceof JSONArray ? (JSONArray) json : new JSONArray().put(json);
        if (list.length() != specs.size()) {
            throw new KitException("bundle.json names " + list.length() + " golden files for "
                    + specs.size() + " inputs or outputs");
        }
        List<String> names = new ArrayList<>();
        for (int i = 0; i < list.length(); i++) {
            names.add(list.getString(i));
        }
        return names;
    }

    private static String inside(String path) throws KitException {
        if (path.startsWith("/") || ("/" + path + "/").contains("/../")) {
            throw new KitException("The bundle lists a file outside of itself: " + path);
        }
        return path;
    }

    static Preprocess preprocess(JSONObject json) throws JSONException, KitException {
        String color = json.getString("color");
        String layout = json.getString("layout");
        String interpolation = json.getString("interpolation");
        String fit = json.optString("fit", "shorter-side");
        String how = interpolation + " " + fit + " " + color + " " + layout;
        if (!how.matches("(bilinear-antialias|bicubic-antialias|nearest)"
                + " (shorter-side|cover|stretch) (RGB|BGR|grey) (NCHW|NHWC)")) {
            throw new KitException("This app cannot prepare pictures like this: " + how);
        }
        JSONArray to = json.optJSONArray("resize_to");
        int height = json.getInt("crop");
        Preprocess.Size size = new Preprocess.Size(
                height, json.isNull("crop_width") ? height : json.getInt("crop_width"),
                Preprocess.Fit.valueOf(fit.toUpperCase(Locale.ROOT).replace('-', '_')),
                to == null ? json.getInt("resize") : to.getInt(0),
                to == null ? json.getInt("resize") : to.getInt(1),
                Kernel.Filter.valueOf(
                        interpolation.split("-")[0].toUpperCase(Locale.ROOT)));
        return new Preprocess(
                size, floats(json.getJSONArray("mean")), floats(json.getJSONArray("std")),
                Preprocess.Color.valueOf(color.toUpperCase(Locale.ROOT)), layout.equals("NHWC"));
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
