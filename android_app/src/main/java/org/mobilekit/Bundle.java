package org.mobilekit;

import android.content.Context;
import android.content.res.AssetManager;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * The output of `kit build`: a manifest and files, whose SHA-256 is verified on every read.
 *
 * <p>A bundle in an app may lack files, such as the model of a runtime that is not packed;
 * {@link #artifacts} lists the usable ones.
 */
public final class Bundle {
    private static final String MANIFEST = "bundle.json";

    /** Maximum size of the header of a NumPy file. */
    private static final int MAX_NPY_HEADER_BYTES = 1 << 17;

    /** Name of the folder. */
    public final String name;

    /** SHA-256 of `bundle.json`, which lists the hashes of all files of the bundle. */
    public final String hash;

    private final Manifest manifest;
    private final VerifiedFiles files;

    private Bundle(String name, String hash, Store store, Manifest manifest) {
        this.name = name;
        this.hash = hash;
        this.manifest = manifest;
        this.files = new VerifiedFiles(name, store, manifest);
    }

    /** Opens a bundle by name; a bundle in the app's files overrides one in its assets. */
    public static Bundle open(Context context, String name) throws KitException {
        if (!Contract.NAME.matcher(name).matches()) {
            throw new KitException("“" + name + "” is not a valid bundle name");
        }
        File pushed = new File(new File(context.getFilesDir(), Contract.FILES_BUNDLES), name);
        if (pushed.isDirectory()) {
            return open(name, Store.folder(pushed));
        }
        AssetManager assets = context.getAssets();
        return open(name, Store.assets(assets, Contract.ASSET_BUNDLES + "/" + name));
    }

    /** Opens a bundle in any store. */
    public static Bundle open(String name, Store store) throws KitException {
        byte[] text;
        try (InputStream in = store.open(MANIFEST)) {
            ByteArrayOutputStream data = new ByteArrayOutputStream();
            Digest.copy(in, data);
            text = data.toByteArray();
        } catch (IOException e) {
            throw new KitException("There is no bundle “" + name + "” in this app", e);
        }
        return new Bundle(name, Digest.sha256(text), store, parse(name, text));
    }

    private static Manifest parse(String name, byte[] text) throws KitException {
        try {
            JSONObject json = new JSONObject(new String(text, StandardCharsets.UTF_8));
            int schema = json.getInt("schema_version");
            if (schema > Contract.BUNDLE_SCHEMA) {
                throw new KitException("The bundle “" + name + "” has schema " + schema
                        + "; this app reads up to " + Contract.BUNDLE_SCHEMA);
            }
            return new Manifest(json);
        } catch (JSONException | RuntimeException e) {
            throw new KitException("The manifest of the bundle “" + name + "” is damaged: "
                    + e.getMessage(), e);
        }
    }

    /** Names of the bundles in the app's files and assets, sorted. */
    public static List<String> names(Context context) {
        TreeSet<String> names = new TreeSet<>();
        String[] pushed = new File(context.getFilesDir(), Contract.FILES_BUNDLES).list();
        Collections.addAll(names, pushed == null ? new String[0] : pushed);
        try {
            for (String path : context.getAssets().list(Contract.ASSET_BUNDLES)) {
                names.add(path.split("/")[0]); // Robolectric also lists nested files
            }
        } catch (IOException e) {
            return new ArrayList<>(names); // the app has no assets
        }
        return new ArrayList<>(names);
    }

    public String model() {
        return manifest.model;
    }

    public String quantize(String artifact) throws KitException {
        return manifest.artifact(artifact).quantize;
    }

    /** The inputs of the model, in its order. */
    public List<TensorSpec> inputs() {
        return Collections.unmodifiableList(manifest.inputs);
    }

    /** The outputs of the model, in its order. */
    public List<TensorSpec> outputs() {
        return Collections.unmodifiableList(manifest.outputs);
    }

    /** Whether the model classifies pictures, so that {@link Classifier} can run it. */
    public boolean classifies() {
        return manifest.classifies();
    }

    /** Whether a classifier outputs probabilities because its network ends with a softmax. */
    public boolean probabilities() {
        return manifest.probabilities;
    }

    /** Converts pictures to the input; null for a model without picture input. */
    public Preprocess preprocess() {
        return manifest.preprocess;
    }

    /** Names of the model files that are present and whose runtime is in this app. */
    public List<String> artifacts() {
        List<String> names = new ArrayList<>();
        for (String format : Runtimes.CLASSES.keySet()) {
            for (Manifest.Artifact artifact : manifest.artifacts) {
                if (artifact.format.equals(format) && Runtimes.has(format)
                        && files.exists(artifact.file)) {
                    names.add(artifact.name);
                }
            }
        }
        return names;
    }

    /** The format of an artifact, such as {@code onnx}. */
    public String format(String artifact) throws KitException {
        return manifest.artifact(artifact).format;
    }

    /** The precision of an artifact, such as {@code int8}. */
    public String precision(String artifact) throws KitException {
        return manifest.artifact(artifact).precision;
    }

    /** The category labels in the order of the output, or null. */
    public List<String> labels() throws KitException {
        if (manifest.labels == null) {
            return null;
        }
        String text = new String(files.read(manifest.labels), StandardCharsets.UTF_8);
        return Arrays.asList(text.split("\r?\n"));
    }

    /** The golden inputs and expected outputs of an artifact; see {@link Golden}. */
    public Golden golden(String artifact) throws KitException {
        List<Npy> expected = readArrays(manifest.goldenOutputs(artifact), manifest.outputs);
        Double floor = manifest.artifact(artifact).floor;
        return new Golden(readArrays(manifest.goldenInputs, manifest.inputs), expected, floor);
    }

    private List<Npy> readArrays(List<String> paths, List<TensorSpec> specs) throws KitException {
        List<Npy> arrays = new ArrayList<>();
        for (int i = 0; i < paths.size(); i++) {
            arrays.add(Npy.parse(files.read(paths.get(i)), specs.get(i), paths.get(i)));
        }
        return arrays;
    }

    /**
     * Returns the inputs for measurements: the first row of each golden file. The hash of the whole
     * file is verified, but only the row is kept, because memory is measured too.
     */
    public List<Tensor> firstInputs(String artifact) throws KitException {
        manifest.goldenOutputs(artifact);
        List<Tensor> inputs = new ArrayList<>();
        for (int i = 0; i < manifest.inputs.size(); i++) {
            String file = manifest.goldenInputs.get(i);
            TensorSpec spec = manifest.inputs.get(i);
            byte[] prefix = files.readPrefix(file, MAX_NPY_HEADER_BYTES + (long) spec.bytes);
            inputs.add(Npy.firstRow(prefix, spec, file));
        }
        return inputs;
    }

    public String modelSha256(String artifact) throws KitException {
        return manifest.entry(manifest.artifact(artifact).file).sha256;
    }

    /** Size of the model file in bytes, which {@link #modelFile} needs to unpack it. */
    public long modelSize(String artifact) throws KitException {
        return manifest.entry(manifest.artifact(artifact).file).size;
    }

    /**
     * Returns the model as a verified file in {@code folder}, because runtimes need a path and an
     * asset has none. The file is copied once and named after its hash.
     */
    public File modelFile(String artifact, File folder) throws KitException {
        return files.unpack(manifest.artifact(artifact).file, folder);
    }
}
