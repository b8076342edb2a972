package org.mobilekit.phone;

import com.github.unidbg.linux.android.dvm.AbstractJni;
import com.github.unidbg.linux.android.dvm.BaseVM;
import com.github.unidbg.linux.android.dvm.DvmClass;
import com.github.unidbg.linux.android.dvm.DvmObject;
import com.github.unidbg.linux.android.dvm.VM;
import com.github.unidbg.linux.android.dvm.VaList;
import java.util.HashMap;
import java.util.Map;

/** The parts of org.pytorch and com.facebook.jni that native code calls. */
final class Torch extends AbstractJni {
    private static final int TENSOR = 2; // IValue's type code

    private final VM vm;
    private final Map<String, Object> fields = new HashMap<>();

    Torch(VM vm) {
        this.vm = vm;
    }

    private static String key(DvmObject<?> object, String field) {
        return System.identityHashCode(object) + field;
    }

    void set(DvmObject<?> object, String field, Object value) {
        fields.put(key(object, field), value);
    }

    @Override
    public DvmObject<?> newObjectV(BaseVM vm, DvmClass type, String signature, VaList values) {
        if (type.getClassName().startsWith("com/facebook/jni/HybridData")) {
            return type.newObject(null);
        }
        if (signature.contains("Exception") || signature.contains("Error")) {
            throw new IllegalStateException(signature + " " + values.getObjectArg(0));
        }
        return super.newObjectV(vm, type, signature, values);
    }

    @Override
    public DvmObject<?> getObjectField(BaseVM vm, DvmObject<?> object, String field) {
        if (field.equals("org/pytorch/Tensor->shape:[J")) {
            return new LongArray(vm, ((FloatTensor) object.getValue()).shape());
        }
        if (field.contains("->mDestructor:")) {
            return (DvmObject<?>) fields.computeIfAbsent(key(object, field), name ->
                    vm.resolveClass("com/facebook/jni/HybridData$Destructor").newObject(null));
        }
        DvmObject<?> value = (DvmObject<?>) fields.get(key(object, field));
        return value != null || field.contains("mHybridData")
                ? value : super.getObjectField(vm, object, field);
    }

    @Override
    public void setObjectField(BaseVM vm, DvmObject<?> object, String field, DvmObject<?> value) {
        set(object, field, value);
    }

    @Override
    public long getLongField(BaseVM vm, DvmObject<?> object, String field) {
        return (Long) fields.getOrDefault(key(object, field), 0L);
    }

    @Override
    public void setLongField(BaseVM vm, DvmObject<?> object, String field, long value) {
        set(object, field, value);
    }

    @Override
    public int getIntField(BaseVM vm, DvmObject<?> object, String field) {
        return field.endsWith("mTypeCode:I") ? TENSOR : super.getIntField(vm, object, field);
    }

    @Override
    public int callIntMethodV(BaseVM vm, DvmObject<?> object, String method, VaList values) {
        if (method.contains("dtypeJniCode")) {
            return FloatTensor.FLOAT32;
        }
        if (method.contains("memoryFormatJniCode")) {
            return FloatTensor.CONTIGUOUS;
        }
        return super.callIntMethodV(vm, object, method, values);
    }

    @Override
    public DvmObject<?> callObjectMethodV(
            BaseVM vm, DvmObject<?> object, String method, VaList values) {
        if (method.contains("->toTensor()")) {
            return (DvmObject<?>) object.getValue();
        }
        if (method.contains("getRawDataBuffer")) {
            Block data = ((FloatTensor) object.getValue()).data();
            return vm.resolveClass("java/nio/Buffer").newObject(data);
        }
        if (method.contains("->order(")) {
            return object;
        }
        return super.callObjectMethodV(vm, object, method, values);
    }

    @Override
    public DvmObject<?> callStaticObjectMethodV(
            BaseVM vm, DvmClass type, String method, VaList values) {
        if (method.contains("nativeOrder")) {
            return vm.resolveClass("java/nio/ByteOrder").newObject(null);
        }
        if (method.contains("nativeNewTensor")) {
            Block data = (Block) values.getObjectArg(0).getValue();
            long[] shape = ((LongArray) values.getObjectArg(1)).getValue();
            return tensor(new FloatTensor(data, shape));
        }
        if (method.contains("->from(Lorg/pytorch/Tensor;)")) {
            return vm.resolveClass("org/pytorch/IValue").newObject(values.getObjectArg(0));
        }
        return super.callStaticObjectMethodV(vm, type, method, values);
    }

    DvmObject<?> tensor(FloatTensor tensor) {
        return vm.resolveClass("org/pytorch/Tensor").newObject(tensor);
    }
}
