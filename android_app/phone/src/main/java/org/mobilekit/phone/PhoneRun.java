package org.mobilekit.phone;

import com.github.unidbg.AndroidEmulator;
import com.github.unidbg.arm.backend.Unicorn2Factory;
import com.github.unidbg.file.FileResult;
import com.github.unidbg.file.IOResolver;
import com.github.unidbg.file.linux.AndroidFileIO;
import com.github.unidbg.linux.android.AndroidEmulatorBuilder;
import com.github.unidbg.linux.android.AndroidResolver;
import com.github.unidbg.linux.android.dvm.DalvikModule;
import com.github.unidbg.linux.android.dvm.DvmClass;
import com.github.unidbg.linux.android.dvm.DvmObject;
import com.github.unidbg.linux.android.dvm.StringObject;
import com.github.unidbg.linux.android.dvm.VM;
import com.github.unidbg.linux.android.dvm.array.ArrayObject;
import com.github.unidbg.linux.file.ByteArrayFileIO;
import com.github.unidbg.linux.file.SimpleFileIO;
import com.github.unidbg.pointer.UnidbgPointer;
import com.github.unidbg.virtualmodule.android.AndroidModule;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Map;

/**
 * Runs a Lite model with the arm64 library of the Android package, emulated.
 *
 * <pre>
 * java -cp target/classes:$(cat target/classpath.txt) org.mobilekit.phone.PhoneRun \
 *     target/aar/jni/arm64-v8a MODEL.ptl 1,3,96,96 OUT.f32 IN.f32...
 * </pre>
 *
 * <p>Inputs are raw float32; the outputs are concatenated in OUT. Prints one line of JSON per step.
 * Tests the results of the phone's library, not its speed, and neither ART nor the app's Java code.
 */
public final class PhoneRun {
    private static final int BYTES = 4;

    /** One Cortex-A76 core: the files that the library's cpuinfo reads at startup. */
    private static final Map<String, String> KERNEL = Map.of(
            "/sys/devices/system/cpu/possible", "0\n",
            "/sys/devices/system/cpu/present", "0\n",
            "/sys/devices/system/cpu/kernel_max", "7\n",
            "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "2400000\n",
            "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq", "300000\n",
            "/sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n",
            "/proc/cpuinfo", String.join("\n",
                    "processor\t: 0",
                    "Features\t: fp asimd aes pmull sha1 sha2 crc32",
                    "CPU implementer\t: 0x41",
                    "CPU architecture: 8",
                    "CPU variant\t: 0x3",
                    "CPU part\t: 0xd0b",
                    "CPU revision\t: 1",
                    ""));

    private final long began = System.nanoTime();
    private final AndroidEmulator emulator;
    private final VM vm;
    private final Torch torch;

    private PhoneRun(File model) {
        emulator = AndroidEmulatorBuilder.for64Bit().setProcessName("org.mobilekit")
                .addBackendFactory(new Unicorn2Factory(false))
                .setRootDir(new File("target/rootfs")).build();
        emulator.getMemory().setLibraryResolver(new AndroidResolver(23));
        emulator.getSyscallHandler().addIOResolver((IOResolver<AndroidFileIO>)
                (caller, path, flags) -> file(model, path, flags));
        vm = emulator.createDalvikVM();
        torch = new Torch(vm);
        vm.setJni(torch);
        new AndroidModule(emulator, vm).register(emulator.getMemory());
        Jni.complete(emulator, vm);
    }

    private static FileResult<AndroidFileIO> file(File model, String path, int flags) {
        if (path.equals(model.getPath())) {
            return FileResult.success(new SimpleFileIO(flags, model, path));
        }
        String text = KERNEL.get(path);
        return text == null ? null : FileResult.success(new ByteArrayFileIO(
                flags, path, text.getBytes(StandardCharsets.US_ASCII)));
    }

    private void libraries(File folder) {
        for (String name : new String[] {"c++_shared", "fbjni", "pytorch_jni_lite"}) {
            DalvikModule library = vm.loadLibrary(new File(folder, "lib" + name + ".so"), true);
            if (!name.equals("c++_shared")) { // it has no JNI_OnLoad
                library.callJNI_OnLoad(emulator);
            }
            print("loaded", name);
        }
        vm.resolveClass("org/pytorch/PyTorchAndroid")
                .callStaticJniMethod(emulator, "nativeSetNumThreads(I)V", 1);
    }

    private DvmObject<?> load(File model) {
        DvmClass peer = vm.resolveClass("org/pytorch/LiteNativePeer");
        DvmObject<?> hybrid = peer.callStaticJniMethodObject(emulator,
                "initHybrid(Ljava/lang/String;Ljava/util/Map;I)Lcom/facebook/jni/HybridData;",
                new StringObject(vm, model.getPath()), null, 1);
        DvmObject<?> self = peer.newObject(null);
        torch.set(self, "org/pytorch/LiteNativePeer->mHybridData:Lcom/facebook/jni/HybridData;",
                hybrid);
        print("loaded", model.getName());
        return self;
    }

    private byte[] forward(DvmObject<?> model, long[] shape, byte[] input) {
        UnidbgPointer memory = emulator.getMemory().malloc(input.length, true).getPointer();
        memory.write(0, input, 0, input.length);
        // Tensor.fromBlob makes a FloatBuffer, whose capacity is in elements.
        FloatTensor tensor = new FloatTensor(new Block(memory, input.length / BYTES), shape);
        DvmObject<?> value = vm.resolveClass("org/pytorch/IValue").newObject(torch.tensor(tensor));
        DvmObject<?> result = model.callJniMethodObject(emulator,
                "forward([Lorg/pytorch/IValue;)Lorg/pytorch/IValue;", new ArrayObject(value));
        Block answer = ((FloatTensor) ((DvmObject<?>) result.getValue()).getValue()).data();
        return answer.start().getByteArray(0, (int) answer.capacity()); // capacity in bytes
    }

    private void print(String what, String name) {
        System.out.printf("{\"event\": \"%s\", \"name\": \"%s\", \"ms\": %d}%n", what, name,
                (System.nanoTime() - began) / 1_000_000);
    }

    public static void main(String[] words) throws IOException {
        if (words.length < 5) {
            System.err.println("usage: PhoneRun LIBRARIES MODEL.ptl 1,3,H,W OUT.f32 IN.f32...");
            System.exit(2);
        }
        File model = new File(words[1]).getAbsoluteFile();
        long[] shape = Arrays.stream(words[2].split(",")).mapToLong(Long::parseLong).toArray();
        long numbers = Arrays.stream(shape).reduce(1, (a, b) -> a * b);
        PhoneRun phone = new PhoneRun(model);
        phone.libraries(new File(words[0]));
        DvmObject<?> loaded = phone.load(model);
        try (OutputStream out = Files.newOutputStream(Paths.get(words[3]))) {
            for (String word : Arrays.copyOfRange(words, 4, words.length)) {
                Path input = Paths.get(word);
                byte[] data = Files.readAllBytes(input);
                if (data.length != numbers * BYTES) {
                    throw new IOException(input + " does not have " + numbers + " values");
                }
                out.write(phone.forward(loaded, shape, data));
                phone.print("answered", input.getFileName().toString());
            }
        }
        System.exit(0); // unicorn's threads would keep the JVM alive
    }
}
