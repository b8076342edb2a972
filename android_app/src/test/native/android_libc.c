// What Android's C library has and glibc lacks or has with other values, for libraries of an
// Android archive that a desktop's Java loads in tests. All other functions go on to glibc's, by
// jumps that `android_app/natives.py` writes. The values are those of bionic's headers:
// https://android.googlesource.com/platform/bionic/+/refs/heads/main/libc/include/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// "name@LIBC" is what a library asks for; glibc's own name stays free for the calls below.
#define EXPORT(name) __asm__(".symver android_" #name ", " #name "@LIBC")

EXPORT(__errno);
EXPORT(__sF);
EXPORT(__strlen_chk);
EXPORT(__system_property_get);
EXPORT(android_set_abort_message);
EXPORT(dlsym);
EXPORT(fclose);
EXPORT(fflush);
EXPORT(fileno);
EXPORT(fprintf);
EXPORT(fputc);
EXPORT(fwrite);
EXPORT(memalign);
EXPORT(newlocale);
EXPORT(strerror_r);
EXPORT(sysconf);
EXPORT(vfprintf);

// stdin, stdout and stderr are addresses in this array of structures.
enum { FILE_BYTES = 152 };
char android___sF[3 * FILE_BYTES];

static FILE *find_file(FILE *file) {
    char *at = (char *)file;
    if (at < android___sF || at >= android___sF + sizeof android___sF) {
        return file;
    }
    return at == android___sF ? stdin : at == android___sF + FILE_BYTES ? stdout : stderr;
}

int *android___errno(void) { return &errno; }

size_t android___strlen_chk(const char *text, size_t limit) {
    (void)limit;
    return strlen(text);
}

// TensorFlow Lite uses XNNPACK from API 20 on, and asks for the number by this property.
int android___system_property_get(const char *name, char *value) {
    strcpy(value, strcmp(name, "ro.build.version.sdk") == 0 ? "34" : "");
    return (int)strlen(value);
}

void android_android_set_abort_message(const char *text) { fputs(text, stderr); }

// Of no library in particular, Android also looks into the caller's own, which Java opened so that
// nobody else sees its symbols.
void *android_dlsym(void *library, const char *name) {
    void *found = dlsym(library, name);
    Dl_info caller;
    if (found == NULL && library == NULL && dladdr(__builtin_return_address(0), &caller)) {
        void *own = dlopen(caller.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
        found = own == NULL ? NULL : dlsym(own, name);
    }
    return found;
}

// XNNPACK asks for multiples of 32 in a build for Android, and its AVX-512 kernels, which no phone
// has, need 64.
void *android_memalign(size_t alignment, size_t bytes) {
    return memalign(alignment < 64 ? 64 : alignment, bytes);
}

int android_fclose(FILE *file) { return fclose(find_file(file)); }

int android_fflush(FILE *file) { return fflush(find_file(file)); }

int android_fileno(FILE *file) { return fileno(find_file(file)); }

int android_fputc(int byte, FILE *file) { return fputc(byte, find_file(file)); }

size_t android_fwrite(const void *data, size_t size, size_t count, FILE *file) {
    return fwrite(data, size, count, find_file(file));
}

int android_vfprintf(FILE *file, const char *text, va_list values) {
    return vfprintf(find_file(file), text, values);
}

int android_fprintf(FILE *file, const char *text, ...) {
    va_list values;
    va_start(values, text);
    int written = vfprintf(find_file(file), text, values);
    va_end(values);
    return written;
}

// The mask has other bits; all callers ask for all of the locale.
locale_t android_newlocale(int mask, const char *name, locale_t base) {
    (void)mask;
    return newlocale(LC_ALL_MASK, name, base);
}

int __xpg_strerror_r(int number, char *text, size_t size);

int android_strerror_r(int number, char *text, size_t size) {
    return __xpg_strerror_r(number, text, size);
}

long android_sysconf(int name) {
    switch (name) {
        case 0x27:
        case 0x28: return sysconf(_SC_PAGESIZE);
        case 0x60: return sysconf(_SC_NPROCESSORS_CONF);
        case 0x61: return sysconf(_SC_NPROCESSORS_ONLN);
        case 0x62: return sysconf(_SC_PHYS_PAGES);
        default: errno = EINVAL; return -1;
    }
}

// Of liblog.so, whose functions have no version.
int __android_log_vprint(int priority, const char *tag, const char *text, va_list values) {
    (void)priority;
    fprintf(stderr, "%s: ", tag);
    int written = vfprintf(stderr, text, values);
    fputc('\n', stderr);
    return written;
}
