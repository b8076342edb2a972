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

/** The parts of `bundle.json` that an app needs. */
final class Manifest {
    /** Limit for float models, whose kernels differ by rounding only; the same as in kit. */
    private static final double FLOAT_SQNR_DB = 40;

    /** Maximum number of inputs or outputs of a model; the same as in kit. */
    private static final int MAX_TENSORS = 32;

    /** The only task before schema 3. */
    private static final String CLASSIFICATION = "image-classification";

    private static final String LOGITS = "logits";
    private static final String PROBABILITIES = "probabilities";

    final String model;
    final String labels;
    final String task;

    /** Whether a classifier ends with a softmax; false for older bundles without the field. */
    final boolean probabilities;
    final List<TensorSpec> inputs;
    final List<TensorSpec> outputs;

    /** Converts pictures to the first input; null for a model without picture input. */
    final Preprocess preprocess;

    /** One file per input. */
    final List<String> goldenInputs;

    /** One file per output; the key is the artifact, or its format before schema 4. */
    private final Map<String, List<String>> golden = new HashMap<>();
    final List<Artifact> artifacts = new ArrayList<>();
    private final Map<String, Entry> files = new HashMap<>();

    /** One model file. */
    static final class Artifact {
        /** Unique name in the bundle, such as {@code onnx-int8}. */
        final String name;
        final String format;
        final String precision;
        final String file;
        final String quantize;

        /** Minimum SQNR in dB against the workstation's outputs; null requires equality. */
        final Double floor;

        Artifact(JSONObject json) throws JSONException {
            format = json.getString("format");
            file = json.getString("file");
            quantize = json.getString("quantize");
            // Before schema 4 a bundle had one file for each format.
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
            if (!sha256.matches("[0-9a-f]{64}")) { // it is used as a file name
                throw new JSONException("“" + sha256 + "” is not a SHA-256");
            }
        }
    }

    Manifest(JSONObject json) throws JSONException, KitException {
        model = json.getJSONObject("recipe").getString("model");
        labels = json.isNull("labels") ? null : json.getString("labels");
        boolean legacy = json.getInt("schema_version") < 3; // image classifiers only
        task = legacy ? CLASSIFICATION : json.getString("task");
        probabilities = probabilities(json);
        JSONObject signature = legacy ? signature(json) : json.getJSONObject("signature");
        inputs = specs(signature.getJSONArray("inputs"));
        outputs = specs(signature.getJSONArray("outputs"));
        preprocess = json.isNull("preprocessing") ? null
                : preprocess(json.getJSONObject("preprocessing"));
        JSONObject goldenJson = json.getJSONObject("golden");
        goldenInputs = names(goldenJson.get(legacy ? "input" : "inputs"), inputs);
        JSONObject answers = goldenJson.getJSONObject("outputs");
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
            files.put(checkInside(path), new Entry(entries.getJSONObject(path)));
        }
    }

    /** Returns the artifact with a name, or the only one of a format. */
    Artifact artifact(String nameOrFormat) throws KitException {
        List<String> available = new ArrayList<>();
        List<Artifact> matches = new ArrayList<>();
        for (Artifact artifact : artifacts) {
            if (artifact.name.equals(nameOrFormat)) {
                return artifact;
            }
            if (artifact.format.equals(nameOrFormat)) {
                matches.add(artifact);
            }
            available.add(artifact.name);
        }
        if (matches.size() == 1) {
            return matches.get(0);
        }
        String problem = matches.isEmpty() ? "The bundle has no " + nameOrFormat + " file"
                : "The bundle has " + matches.size() + " " + nameOrFormat + " files";
        throw new KitException(problem + "; it has " + String.join(", ", available));
    }

    /** Returns the files with the workstation's outputs of an artifact, one per output. */
    List<String> goldenOutputs(String nameOrFormat) throws KitException {
        Artifact artifact = artifact(nameOrFormat);
        List<String> files = golden.get(golden.containsKey(artifact.name) ? artifact.name
                : artifact.format);
        if (files == null) {
            throw new KitException("The bundle has no golden outputs for " + artifact.name);
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

    /** Whether the model is an image classifier that this app can run. */
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
            throw new KitException("This app does not support scores of the type " + scores);
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
                    + " inputs or outputs; this app supports 1 to " + MAX_TENSORS);
        }
        List<TensorSpec> specs = new ArrayList<>();
        for (int i = 0; i < json.length(); i++) {
            specs.add(TensorSpec.from(json.getJSONObject(i)));
        }
        return specs;
    }

    /** Parses golden files: a list of paths or, in schemas 1 and 2, a single path. */
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

    private static String checkInside(String path) throws KitException {
        if (path.startsWith("/") || ("/" + path + "/").contains("/../")) {
            throw new KitException("The bundle lists a file outside of its folder: " + path);
        }
        return path;
    }

    static Preprocess preprocess(JSONObject json) throws JSONException, KitException {
        String color = json.getString("color");
        String layout = json.getString("layout");
        String interpolation = json.getString("interpolation");
        String fit = json.optString("fit", "shorter-side");
        String description = interpolation + " " + fit + " " + color + " " + layout;
        if (!description.matches("(bilinear-antialias|bicubic-antialias|nearest)"
                + " (shorter-side|cover|stretch) (RGB|BGR|grey) (NCHW|NHWC)")) {
            throw new KitException("This app does not support this preprocessing: " + description);
        }
        JSONArray resizeTo = json.optJSONArray("resize_to");
        int height = json.getInt("crop");
        Preprocess.Size size = new Preprocess.Size(
                height, json.isNull("crop_width") ? height : json.getInt("crop_width"),
                Preprocess.Fit.valueOf(fit.toUpperCase(Locale.ROOT).replace('-', '_')),
                resizeTo == null ? json.getInt("resize") : resizeTo.getInt(0),
                resizeTo == null ? json.getInt("resize") : resizeTo.getInt(1),
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
