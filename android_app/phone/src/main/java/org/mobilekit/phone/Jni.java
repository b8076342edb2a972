package org.mobilekit.phone;

import com.github.unidbg.AndroidEmulator;
import com.github.unidbg.Emulator;
import com.github.unidbg.arm.Arm64Svc;
import com.github.unidbg.arm.context.RegisterContext;
import com.github.unidbg.linux.android.dvm.BaseVM;
import com.github.unidbg.linux.android.dvm.DvmObject;
import com.github.unidbg.linux.android.dvm.VM;
import com.github.unidbg.pointer.UnidbgPointer;
import java.nio.charset.StandardCharsets;

/**
 * Implements the eleven JNI functions that libpytorch_jni_lite.so calls and unidbg 0.9.8 lacks.
 * The indices in the function table are those of the JNI specification.
 *
 * <p>https://docs.oracle.com/en/java/javase/17/docs/specs/jni/functions.html
 */
final class Jni {
    private static final int IS_ASSIGNABLE_FROM = 11;
    private static final int NEW_LONG_ARRAY = 180;
    private static final int GET_LONG_ARRAY_ELEMENTS = 188;
    private static final int RELEASE_LONG_ARRAY_ELEMENTS = 196;
    private static final int GET_LONG_ARRAY_REGION = 204;
    private static final int SET_LONG_ARRAY_REGION = 212;
    private static final int GET_STRING_CRITICAL = 224;
    private static final int RELEASE_STRING_CRITICAL = 225;
    private static final int NEW_DIRECT_BYTE_BUFFER = 229;
    private static final int GET_DIRECT_BUFFER_ADDRESS = 230;
    private static final int GET_DIRECT_BUFFER_CAPACITY = 231;

    private final AndroidEmulator emulator;
    private final VM vm;
    private final UnidbgPointer table;

    /** A JNI function: reads its arguments from registers (0 is the JNIEnv), returns its result. */
    private interface Function {
        long call(RegisterContext arguments);
    }

    private Jni(AndroidEmulator emulator, VM vm) {
        this.emulator = emulator;
        this.vm = vm;
        this.table = ((UnidbgPointer) vm.getJNIEnv()).getPointer(0);
    }

    static void complete(AndroidEmulator emulator, VM vm) {
        Jni jni = new Jni(emulator, vm);
        jni.set(IS_ASSIGNABLE_FROM, arguments -> 0);
        jni.longArrays();
        jni.strings();
        jni.buffers();
    }

    private void longArrays() {
        set(NEW_LONG_ARRAY, a -> vm.addLocalObject(new LongArray(vm, new long[a.getIntArg(1)])));
        set(GET_LONG_ARRAY_ELEMENTS, a -> {
            long[] values = longs(a);
            UnidbgPointer copy = allocate(8L * Math.max(1, values.length));
            for (int i = 0; i < values.length; i++) {
                copy.setLong(8L * i, values[i]);
            }
            setIsCopy(a);
            return copy.peer;
        });
        set(RELEASE_LONG_ARRAY_ELEMENTS, a -> {
            long[] values = longs(a);
            for (int i = 0; i < values.length; i++) {
                values[i] = a.getPointerArg(2).getLong(8L * i);
            }
            return 0;
        });
        set(GET_LONG_ARRAY_REGION, a -> {
            for (int i = 0; i < a.getIntArg(3); i++) {
                a.getPointerArg(4).setLong(8L * i, longs(a)[a.getIntArg(2) + i]);
            }
            return 0;
        });
        set(SET_LONG_ARRAY_REGION, a -> {
            for (int i = 0; i < a.getIntArg(3); i++) {
                longs(a)[a.getIntArg(2) + i] = a.getPointerArg(4).getLong(8L * i);
            }
            return 0;
        });
    }

    private void strings() {
        set(GET_STRING_CRITICAL, a -> {
            byte[] text = object(a).getValue().toString().getBytes(StandardCharsets.UTF_16LE);
            UnidbgPointer copy = allocate(text.length + 2);
            copy.write(0, text, 0, text.length);
            copy.setShort(text.length, (short) 0);
            setIsCopy(a);
            return copy.peer;
        });
        set(RELEASE_STRING_CRITICAL, a -> 0);
    }

    private void buffers() {
        set(NEW_DIRECT_BYTE_BUFFER, a -> {
            Block block = new Block(a.getPointerArg(1), a.getLongArg(2));
            return vm.addLocalObject(vm.resolveClass("java/nio/ByteBuffer").newObject(block));
        });
        set(GET_DIRECT_BUFFER_ADDRESS, a -> ((Block) object(a).getValue()).start().peer);
        set(GET_DIRECT_BUFFER_CAPACITY, a -> ((Block) object(a).getValue()).capacity());
    }

    private void set(int number, Function function) {
        table.setPointer(8L * number, emulator.getSvcMemory().registerSvc(new Arm64Svc() {
            @Override
            public long handle(Emulator<?> caller) {
                return function.call(caller.getContext());
            }
        }));
    }

    private DvmObject<?> object(RegisterContext arguments) {
        return ((BaseVM) vm).getObject(arguments.getPointerArg(1).toIntPeer());
    }

    private long[] longs(RegisterContext arguments) {
        return ((LongArray) object(arguments)).getValue();
    }

    private static void setIsCopy(RegisterContext arguments) {
        if (arguments.getPointerArg(2) != null) {
            arguments.getPointerArg(2).setByte(0, (byte) 1);
        }
    }

    private UnidbgPointer allocate(long bytes) {
        return emulator.getMemory().malloc((int) bytes, true).getPointer();
    }
}
