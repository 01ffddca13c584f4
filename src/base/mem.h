/* Allocation with the alignment that vector code wants. */
#ifndef KZ_BASE_MEM_H
#define KZ_BASE_MEM_H

#include <stddef.h>

/* Every block from here starts at a multiple of this many bytes. */
#define KZ_ALIGNMENT 64

/* `count` zeroed items of `size` bytes, or NULL when memory is short or count * size overflows.
 * Zero bytes give a unique pointer. */
void *kz_alloc(size_t count, size_t size);

/* The same without zeroing, for buffers that are written before they are read. */
void *kz_alloc_raw(size_t count, size_t size);

/* Frees a block from either function; NULL is legal. */
void kz_free(void *block);

/* A copy of a string, or NULL when memory is short; free it with kz_free(). */
char *kz_strdup(const char *text);

/* printf into a fresh string, or NULL when memory is short; free it with kz_free(). */
char *kz_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Gives what was freed back to the system, after much of it was. */
void kz_memory_release(void);

/* Peak resident memory of this process in bytes, 0 where the system doesn't tell. */
size_t kz_peak_memory(void);

#endif
