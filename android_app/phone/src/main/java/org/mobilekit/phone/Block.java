package org.mobilekit.phone;

import com.github.unidbg.pointer.UnidbgPointer;

/** Memory of the emulated process, as a direct buffer sees it. */
record Block(UnidbgPointer start, long capacity) {}
