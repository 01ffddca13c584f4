/* Preloaded into kizuna: the allocation whose number is $FAIL_AT fails, counted over
 * aligned_alloc(), which all of kizuna's own memory comes from and the libraries' doesn't. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

void *aligned_alloc(size_t alignment, size_t size)
{
    static atomic_long count;
    const char *text = getenv("FAIL_AT");
    void *block = NULL;
    if (text && atomic_fetch_add(&count, 1) + 1 == atol(text)) {
        errno = ENOMEM;
        return NULL;
    }
    return posix_memalign(&block, alignment, size) ? NULL : block;
}
