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
 * Which inputs of a file are channels last: kit writes their numbers into the file's metadata, as
 * `kit/formats/litert/channels_last.py` does. The fields are those of TensorFlow Lite's schema.
 */
final class ChannelsLast {
    private static final String ENTRY = "kit_channels_last";
    private static final int RANK = 4;

    // Fields of the tables Model, Metadata and Buffer.
    private static final int BUFFERS = 4;
    private static final int METADATA = 6;
    private static final int NAME = 0;
    private static final int BUFFER = 1;
    private static final int DATA = 0;

    private final ByteBuffer file;

    private ChannelsLast(ByteBuffer file) {
        this.file = file;
    }

    /** Returns the numbers of the inputs that a file takes channels last. */
    static Set<Integer> read(File model) throws IOException {
        try (FileInputStream in = new FileInputStream(model); FileChannel channel = in.getChannel()) {
            ByteBuffer bytes = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
            return new ChannelsLast(bytes.order(ByteOrder.LITTLE_ENDIAN)).find();
        } catch (IndexOutOfBoundsException e) {
            throw new IOException("the model file is damaged", e);
        }
    }

    private Set<Integer> find() {
        Set<Integer> inputs = new TreeSet<>();
        int model = follow(0);
        int entries = vector(model, METADATA);
        for (int i = 0; i < length(entries); i++) {
            int entry = element(entries, i);
            int name = vector(entry, NAME);
            if (ENTRY.equals(text(name))) {
                int place = field(entry, BUFFER);
                int buffer = element(vector(model, BUFFERS), place == 0 ? 0 : file.getInt(place));
                int data = vector(buffer, DATA);
                for (int j = 0; j < length(data); j++) {
                    inputs.add(file.get(data + Integer.BYTES + j) & 0xff);
                }
            }
        }
        return inputs;
    }

    private int follow(int at) {
        return at + file.getInt(at);
    }

    /** Where a field of a table is; 0 if it has its default. */
    private int field(int table, int number) {
        int names = table - file.getInt(table);
        int at = Short.BYTES * (2 + number);
        int offset = at < file.getShort(names) ? file.getShort(names + at) & 0xffff : 0;
        return offset == 0 ? 0 : table + offset;
    }

    /** Where a field's vector begins with its length; 0 for none. */
    private int vector(int table, int number) {
        int at = field(table, number);
        return at == 0 ? 0 : follow(at);
    }

    private int length(int vector) {
        return vector == 0 ? 0 : file.getInt(vector);
    }

    private int element(int vector, int number) {
        return follow(vector + Integer.BYTES * (1 + number));
    }

    private String text(int vector) {
        byte[] name = new byte[Math.min(length(vector), ENTRY.length() + 1)];
        for (int i = 0; i < name.length; i++) {
            name[i] = file.get(vector + Integer.BYTES + i);
        }
        return new String(name, StandardCharsets.UTF_8);
    }

    /** Returns a copy of a tensor [batch, channels, height, width] with the channels last. */
    static ByteBuffer transpose(ByteBuffer data, long[] shape, int bytes) {
        if (shape.length != RANK) {
            return data;
        }
        int channels = (int) shape[1];
        int pixels = (int) (shape[2] * shape[3]);
        ByteBuffer moved = ByteBuffer.allocateDirect(data.capacity()).order(ByteOrder.nativeOrder());
        int to = 0;
        for (int image = 0; image < shape[0]; image++) {
            int from = image * channels * pixels * bytes;
            for (int pixel = 0; pixel < pixels; pixel++) {
                for (int channel = 0; channel < channels; channel++) {
                    for (int i = 0; i < bytes; i++) {
                        moved.put(to++, data.get(from + (channel * pixels + pixel) * bytes + i));
                    }
                }
            }
        }
        return moved;
    }
}
