import java.io.File;
import java.io.FileOutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Collections;
import org.mobilekit.DType;
import org.mobilekit.ModelRuntime;
import org.mobilekit.Tensor;

/** Runs model files in one of the app's runtimes, outside of the app: FLOAT32 in, bytes out. */
public final class RunRuntime {
    private RunRuntime() {}

    /** Takes CLASS LIBRARIES SHAPE INPUT, with commas between, and then MODEL OUTPUT pairs. */
    public static void main(String[] words) throws Exception {
        for (String library : words[1].split(",")) {
            System.load(library);
        }
        long[] shape = new long[4];
        String[] sides = words[2].split(",");
        for (int i = 0; i < shape.length; i++) {
            shape[i] = Long.parseLong(sides[i]);
        }
        byte[] rows = Files.readAllBytes(Paths.get(words[3]));
        int bytes = Float.BYTES * (int) (shape[1] * shape[2] * shape[3]);
        for (int i = 4; i < words.length; i += 2) {
            try (ModelRuntime runtime = (ModelRuntime) Class.forName(words[0])
                    .getDeclaredConstructor().newInstance();
                    FileOutputStream out = new FileOutputStream(words[i + 1])) {
                runtime.prepare(1);
                runtime.load(new File(words[i]));
                for (int at = 0; at < rows.length; at += bytes) {
                    ByteBuffer row = ByteBuffer.wrap(rows, at, bytes);
                    runtime.inputs(Collections.singletonList(
                            Tensor.of(DType.FLOAT32, row, shape)));
                    runtime.run();
                    for (Tensor answer : runtime.outputs()) {
                        out.getChannel().write(answer.data());
                    }
                }
                System.out.println(runtime.version());
            }
        }
    }
}
