package org.mobilekit.litert;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.TreeSet;

/**
 * Reads which inputs of a model file are channels last. kit stores their indices in the file's
 * metadata (`kit/formats/litert/channels_last.py`). The fields follow TensorFlow Lite's schema.
 */
final class ChannelsLast {
    private static final String ENTRY = "kit_channels_last";
    private static final int RANK = 4;

    // Field ids of the tables Model, Metadata and Buffer.
    private static final int BUFFERS = 4;
    private static final int METADATA = 6;
    private static final int NAME = 0;
    private static final int BUFFER = 1;
    private static final int DATA = 0;

    private final ByteBuffer file;

    private ChannelsLast(ByteBuffer file) {
        this.file = file;
    }

    /** Returns the indices of the inputs that are channels last. */
    static Set<Integer> read(File model) throws IOException {
        try (FileInputStream in = new FileInputStream(model);
                FileChannel channel = in.getChannel()) {
            ByteBuffer bytes = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
            return new ChannelsLast(bytes.order(ByteOrder.LITTLE_ENDIAN)).readIndices();
        } catch (IndexOutOfBoundsException e) {
            throw new IOException("the model file is damaged", e);
        }
    }

    private Set<Integer> readIndices() {
        Set<Integer> inputs = new TreeSet<>();
        int model = dereference(0);
        int entries = vector(model, METADATA);
        for (int i = 0; i < length(entries); i++) {
            int entry = element(entries, i);
            int name = vector(entry, NAME);
            if (ENTRY.equals(text(name))) {
                int position = field(entry, BUFFER);
                int index = position == 0 ? 0 : file.getInt(position);
                int buffer = element(vector(model, BUFFERS), index);
                int data = vector(buffer, DATA);
                for (int j = 0; j < length(data); j++) {
                    inputs.add(file.get(data + Integer.BYTES + j) & 0xff);
                }
            }
        }
        return inputs;
    }

    private int dereference(int at) {
        return at + file.getInt(at);
    }

    /** Returns the offset of a table's field; 0 if it has its default value. */
    private int field(int table, int number) {
        int vtable = table - file.getInt(table);
        int at = Short.BYTES * (2 + number);
        int offset = at < file.getShort(vtable) ? file.getShort(vtable + at) & 0xffff : 0;
        return offset == 0 ? 0 : table + offset;
    }

    /** Returns the offset of a field's vector, which starts with its length; 0 if absent. */
    private int vector(int table, int number) {
        int at = field(table, number);
        return at == 0 ? 0 : dereference(at);
    }

    private int length(int vector) {
        return vector == 0 ? 0 : file.getInt(vector);
    }

    private int element(int vector, int number) {
        return dereference(vector + Integer.BYTES * (1 + number));
    }

    private String text(int vector) {
        byte[] name = new byte[Math.min(length(vector), ENTRY.length() + 1)];
        for (int i = 0; i < name.length; i++) {
            name[i] = file.get(vector + Integer.BYTES + i);
        }
        return new String(name, StandardCharsets.UTF_8);
    }

    /** Copies a tensor [batch, channels, height, width] to channels last. */
    static ByteBuffer transpose(ByteBuffer data, long[] shape, int bytes) {
        if (shape.length != RANK) {
            return data;
        }
        int channels = (int) shape[1];
        int pixels = (int) (shape[2] * shape[3]);
        ByteBuffer transposed = ByteBuffer.allocateDirect(data.capacity());
        transposed.order(ByteOrder.nativeOrder());
        int to = 0;
        for (int image = 0; image < shape[0]; image++) {
            int from = image * channels * pixels * bytes;
            for (int pixel = 0; pixel < pixels; pixel++) {
                for (int channel = 0; channel < channels; channel++) {
                    for (int i = 0; i < bytes; i++) {
                        int at = from + (channel * pixels + pixel) * bytes + i;
                        transposed.put(to++, data.get(at));
                    }
                }
            }
        }
        return transposed;
    }
}
