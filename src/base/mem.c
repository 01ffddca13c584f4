#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Large blocks lie on huge pages where the system has them: what the network walks through is many
 * times larger than what the processor can translate at once. */
#define HUGE_BLOCK ((size_t)1 << 20)
#define HUGE_PAGE ((size_t)2 << 20)

static void *allocate_huge(size_t bytes)
{
    void *block = aligned_alloc(HUGE_PAGE, (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (block)
        madvise(block, bytes, MADV_HUGEPAGE); /* a wish: no matter if it isn't granted */
    return block;
}

void *kz_alloc_raw(size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - KZ_ALIGNMENT) / size)
        return NULL;
    size_t bytes = count * size;
    bytes = bytes ? (bytes + KZ_ALIGNMENT - 1) / KZ_ALIGNMENT * KZ_ALIGNMENT : KZ_ALIGNMENT;
    return bytes < HUGE_BLOCK ? aligned_alloc(KZ_ALIGNMENT, bytes) : allocate_huge(bytes);
}

void *kz_alloc(size_t count, size_t size)
{
    void *block = kz_alloc_raw(count, size);
    if (block)
        memset(block, 0, count * size);
    return block;
}

void kz_free(void *block)
{
    free(block);
}

char *kz_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = kz_alloc_raw(size, 1);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

char *kz_asprintf(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : kz_alloc_raw((size_t)length + 1, 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

size_t kz_peak_memory(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage))
        return 0;
    return (size_t)usage.ru_maxrss * 1024;
}

void kz_memory_release(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
