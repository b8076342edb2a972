package org.mobilekit.phone;

import com.github.unidbg.pointer.UnidbgPointer;

/** Memory of the emulated process that backs a direct buffer. */
record Block(UnidbgPointer start, long capacity) {}
