package org.mobilekit;

import android.content.Context;
import android.content.res.AssetManager;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
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

    /** Guards unpacking, because two threads may request the same model. */
    private static final Object UNPACK_LOCK = new Object();

    /** Name of the folder. */
    public final String name;

    /** SHA-256 of `bundle.json`, which lists the hashes of all files of the bundle. */
    public final String hash;

    private final Store store;
    private final Manifest manifest;

    private Bundle(String name, String hash, Store store, Manifest manifest) {
        this.name = name;
        this.hash = hash;
        this.store = store;
        this.manifest = manifest;
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
                        && exists(artifact.file)) {
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

    private boolean exists(String path) {
        try {
            store.open(path).close();
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** The category labels in the order of the output, or null. */
    public List<String> labels() throws KitException {
        if (manifest.labels == null) {
            return null;
        }
        String text = new String(read(manifest.labels), StandardCharsets.UTF_8);
        return Arrays.asList(text.split("\r?\n"));
    }

    /** The golden inputs and expected outputs of an artifact; see {@link Golden}. */
    public Golden golden(String artifact) throws KitException {
        List<Npy> expected = readArrays(manifest.goldenOutputs(artifact), manifest.outputs);
        Double floor = manifest.artifact(artifact).floor;
        return new Golden(readArrays(manifest.goldenInputs, manifest.inputs), expected, floor);
    }

    private List<Npy> readArrays(List<String> files, List<TensorSpec> specs) throws KitException {
        List<Npy> arrays = new ArrayList<>();
        for (int i = 0; i < files.size(); i++) {
            arrays.add(Npy.parse(read(files.get(i)), specs.get(i), files.get(i)));
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
            PrefixStream prefix = new PrefixStream(MAX_NPY_HEADER_BYTES + (long) spec.bytes);
            copyInto(file, prefix);
            inputs.add(Npy.firstRow(prefix.toByteArray(), spec, file));
        }
        return inputs;
    }

    /** Keeps the first bytes that are written, and discards the rest. */
    private static final class PrefixStream extends ByteArrayOutputStream {
        private final long limit;

        PrefixStream(long limit) {
            this.limit = limit;
        }

        @Override
        public synchronized void write(byte[] data, int offset, int length) {
            super.write(data, offset, (int) Math.min(length, limit - size()));
        }
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
        synchronized (UNPACK_LOCK) {
            return unpack(artifact, folder);
        }
    }

    private File unpack(String artifact, File folder) throws KitException {
        String path = manifest.artifact(artifact).file;
        Manifest.Entry entry = manifest.entry(path);
        String type = path.substring(Math.max(path.lastIndexOf('.'), path.lastIndexOf('/') + 1));
        File file = new File(folder, entry.sha256 + type);
        if (file.length() == entry.size && entry.sha256.equals(digest(file))) {
            return file;
        }
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new KitException("Cannot create the folder " + folder);
        }
        File part = new File(file.getPath() + ".part");
        try (OutputStream out = new FileOutputStream(part)) {
            copyChecked(path, out);
        } catch (IOException e) {
            part.delete();
            throw new KitException("Cannot unpack " + path + ": " + e.getMessage(), e);
        } catch (KitException e) {
            part.delete();
            throw e;
        }
        if (!part.renameTo(file)) {
            throw new KitException("Cannot rename " + part);
        }
        return file;
    }

    private static String digest(File file) {
        try (InputStream in = new FileInputStream(file)) {
            return Digest.of(in);
        } catch (IOException e) {
            return ""; // missing or unreadable: unpack it again
        }
    }

    private byte[] read(String path) throws KitException {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        copyInto(path, data);
        return data.toByteArray();
    }

    private void copyInto(String path, OutputStream data) throws KitException {
        try {
            copyChecked(path, data);
        } catch (IOException e) {
            throw new KitException("Cannot read " + path + " of the bundle: " + e.getMessage(), e);
        }
    }

    private void copyChecked(String path, OutputStream out) throws IOException, KitException {
        Manifest.Entry entry = manifest.entry(path);
        String digest;
        try (InputStream in = store.open(path)) {
            digest = Digest.copy(in, out);
        }
        if (!digest.equals(entry.sha256)) {
            throw new KitException(path + " of the bundle “" + name + "” was altered: its SHA-256"
                    + " is not the one in bundle.json. Build and pack the bundle again.");
        }
    }
}
