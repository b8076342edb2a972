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
 * What `kit build` wrote: a description and files, each checked by its SHA-256 when it is read.
 *
 * <p>A bundle inside of an app may lack files, such as the model of a runtime that is not packed;
 * {@link #artifacts} names what can be used.
 */
public final class Bundle {
    private static final String MANIFEST = "bundle.json";

    /** Bytes before the numbers of a NumPy file, at most. */
    private static final int NPY_HEADER = 1 << 17;

    /** Held while a model is unpacked, as two threads may want the same one. */
    private static final Object UNPACKING = new Object();

    /** Name of the folder. */
    public final String name;

    /** SHA-256 of `bundle.json`, and so of everything in the bundle. */
    public final String hash;

    private final Store store;
    private final Manifest manifest;

    private Bundle(String name, String hash, Store store, Manifest manifest) {
        this.name = name;
        this.hash = hash;
        this.store = store;
        this.manifest = manifest;
    }

    /** Opens a bundle by name: one pushed into the app's files wins over one in its assets. */
    public static Bundle open(Context context, String name) throws KitException {
        if (!Contract.NAME.matcher(name).matches()) {
            throw new KitException("“" + name + "” is no name of a bundle");
        }
        File pushed = new File(new File(context.getFilesDir(), Contract.FILES_BUNDLES), name);
        if (pushed.isDirectory()) {
            return open(name, Store.folder(pushed));
        }
        AssetManager assets = context.getAssets();
        return open(name, Store.assets(assets, Contract.ASSET_BUNDLES + "/" + name));
    }

    /** Opens a bundle wherever it is. */
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
            throw new KitException("The description of the bundle “" + name + "” is damaged: "
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
                names.add(path.split("/")[0]); // Robolectric lists what is below, too
            }
        } catch (IOException e) {
            return new ArrayList<>(names); // an app without assets has none
        }
        return new ArrayList<>(names);
    }

    public String model() {
        return manifest.model;
    }

    public String quantize(String artifact) throws KitException {
        return manifest.artifact(artifact).quantize;
    }

    /** What the model takes, in its order. */
    public List<TensorSpec> inputs() {
        return Collections.unmodifiableList(manifest.inputs);
    }

    /** What the model gives, in its order. */
    public List<TensorSpec> outputs() {
        return Collections.unmodifiableList(manifest.outputs);
    }

    /** Whether the model tells what is in a picture: whether {@link Classifier} can use it. */
    public boolean classifies() {
        return manifest.classifies();
    }

    /** Whether a classifier answers with probabilities: its network ends with a softmax. */
    public boolean probabilities() {
        return manifest.probabilities;
    }

    /** From a picture to a classifier's input; null for a model that takes no picture. */
    public Preprocess preprocess() {
        return manifest.preprocess;
    }

    /** The model files that are here and whose runtime is in this app, by their names. */
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

    /** The names of the outputs in order, or null. */
    public List<String> labels() throws KitException {
        if (manifest.labels == null) {
            return null;
        }
        String text = new String(read(manifest.labels), StandardCharsets.UTF_8);
        return Arrays.asList(text.split("\r?\n"));
    }

    /** What this bundle's model must answer here; see {@link Golden}. */
    public Golden golden(String artifact) throws KitException {
        List<Npy> wanted = arrays(manifest.goldenAnswers(artifact), manifest.outputs);
        Double floor = manifest.artifact(artifact).floor;
        return new Golden(arrays(manifest.goldenInputs, manifest.inputs), wanted, floor);
    }

    private List<Npy> arrays(List<String> files, List<TensorSpec> specs) throws KitException {
        List<Npy> arrays = new ArrayList<>();
        for (int i = 0; i < files.size(); i++) {
            arrays.add(Npy.parse(read(files.get(i)), specs.get(i), files.get(i)));
        }
        return arrays;
    }

    /**
     * The golden inputs that are measured with, the first of each file. All of a file is checked,
     * and little of it kept: what is measured includes memory.
     */
    public List<Tensor> firstInputs(String artifact) throws KitException {
        manifest.goldenAnswers(artifact);
        List<Tensor> inputs = new ArrayList<>();
        for (int i = 0; i < manifest.inputs.size(); i++) {
            String file = manifest.goldenInputs.get(i);
            TensorSpec spec = manifest.inputs.get(i);
            Beginning beginning = new Beginning(NPY_HEADER + (long) spec.bytes);
            copyInto(file, beginning);
            inputs.add(Npy.firstRow(beginning.toByteArray(), spec, file));
        }
        return inputs;
    }

    /** Keeps the first bytes that are written to it. */
    private static final class Beginning extends ByteArrayOutputStream {
        private final long limit;

        Beginning(long limit) {
            this.limit = limit;
        }

        @Override
        public synchronized void write(byte[] data, int from, int length) {
            super.write(data, from, (int) Math.min(length, limit - size()));
        }
    }

    public String modelSha256(String artifact) throws KitException {
        return manifest.entry(manifest.artifact(artifact).file).sha256;
    }

    /** Bytes of the model file, which {@link #modelFile} needs if it is not there yet. */
    public long modelSize(String artifact) throws KitException {
        return manifest.entry(manifest.artifact(artifact).file).size;
    }

    /**
     * Returns the model as a checked file in {@code folder}, because runtimes read paths and an
     * asset has none. It is copied once and named by its hash.
     */
    public File modelFile(String artifact, File folder) throws KitException {
        synchronized (UNPACKING) {
            return unpacked(artifact, folder);
        }
    }

    private File unpacked(String artifact, File folder) throws KitException {
        String path = manifest.artifact(artifact).file;
        Manifest.Entry entry = manifest.entry(path);
        String type = path.substring(Math.max(path.lastIndexOf('.'), path.lastIndexOf('/') + 1));
        File file = new File(folder, entry.sha256 + type);
        if (file.length() == entry.size && entry.sha256.equals(digest(file))) {
            return file;
        }
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new KitException("Cannot make the folder " + folder);
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
            return ""; // gone or unreadable: it is unpacked again
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
