#include "media/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Place of `value` in the sorted times, or of the first one above. */
static size_t rank_of(const int64_t *sorted, size_t count, int64_t value)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sorted[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int kz_decoding_times(int64_t *decode, const int64_t *present, size_t count)
{
    int64_t *sorted = kz_alloc_raw(count, sizeof(*sorted));
    size_t delay = 0;
    if (!sorted)
        return KZ_ERROR_MEMORY;
    if (count)
        memcpy(sorted, present, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_value);
    for (size_t i = 0; i < count; i++) {
        const size_t rank = rank_of(sorted, count, present[i]);
        if (i > rank && i - rank > delay)
            delay = i - rank;
    }
    for (size_t i = 0; i < count; i++)
        decode[i] = i < delay ? sorted[i] - (sorted[delay] - sorted[0]) : sorted[i - delay];
    kz_free(sorted);
    return 0;
}
