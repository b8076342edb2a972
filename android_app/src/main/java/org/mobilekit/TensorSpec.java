package org.mobilekit;

import java.util.Arrays;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** An input or output of a model as the bundle describes it. Immutable. */
public final class TensorSpec {
    private static final int MAX_RANK = 8;

    public final String name;
    public final DType dtype;

    /** Size for one inference; a Java buffer holds up to 2^31 - 1 bytes. */
    public final int bytes;

    private final long[] shape;

    TensorSpec(String name, DType dtype, long... shape) throws KitException {
        this.name = name;
        this.dtype = dtype;
        this.shape = shape.clone();
        this.bytes = size(name, dtype, shape);
    }

    static TensorSpec from(JSONObject json) throws JSONException, KitException {
        JSONArray dimensions = json.getJSONArray("shape");
        long[] shape = new long[Math.min(dimensions.length(), MAX_RANK + 1)];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = dimensions.getLong(i);
        }
        DType dtype = DType.of(json.optString("dtype", DType.FLOAT32.label));
        return new TensorSpec(json.getString("name"), dtype, shape);
    }

    /** Returns the shape for one inference; the first dimension is usually a batch of one. */
    public long[] shape() {
        return shape.clone();
    }

    /** Returns the shape without a batch of one, as in the rows of golden files. */
    long[] rowShape() {
        boolean batch = shape.length > 0 && shape[0] == 1;
        return Arrays.copyOfRange(shape, batch ? 1 : 0, shape.length);
    }

    private static int size(String name, DType dtype, long[] shape) throws KitException {
        long size = dtype.bytes;
        boolean fits = shape.length <= MAX_RANK;
        for (long dimension : shape) {
            fits = fits && dimension >= 1 && dimension <= Integer.MAX_VALUE / size;
            size = fits ? size * dimension : size;
        }
        if (!fits) {
            throw new KitException("“" + name + "” has a shape that this app cannot hold: "
                    + dtype.label + " " + Arrays.toString(shape));
        }
        return (int) size;
    }

    @Override
    public String toString() {
        return dtype.label + " “" + name + "” " + Arrays.toString(shape);
    }
}
