package org.mobilekit.phone;

import com.github.unidbg.linux.android.dvm.DvmObject;
import com.github.unidbg.linux.android.dvm.VM;
import com.github.unidbg.linux.android.dvm.Array;

/** Java's {@code long[]}, which unidbg lacks. */
final class LongArray extends DvmObject<long[]> implements Array<long[]> {
    LongArray(VM vm, long[] values) {
        super(vm.resolveClass("[J"), values);
    }

    @Override
    public int length() {
        return value.length;
    }

    @Override
    public void setData(int start, long[] data) {
        System.arraycopy(data, 0, value, start, data.length);
    }
}
