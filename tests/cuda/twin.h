/* What only the host's device (cuda/twin) can be told: how much memory it has, which model it is. A
 * GPU has what it has, so cases that need another one are left out there. */
#ifndef KZ_TESTS_TWIN_H
#define KZ_TESTS_TWIN_H

#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "cuda/gpu.h"

static inline bool is_twin(const kz_gpu *gpu)
{
    return strstr(kz_gpu_get_info(gpu)->name, "twin") != NULL;
}

/* Of device 0; says so where it isn't. */
static inline bool on_twin(void)
{
    kz_gpu *gpu;
    CHECK(kz_gpu_open(&gpu, 0, NULL) == 0);
    const bool twin = is_twin(gpu);
    kz_gpu_close(&gpu);
    if (!twin)
        printf("# a GPU can't be told to be another one: left out\n");
    return twin;
}

/* More devices than any machine has. */
enum { NO_SUCH_DEVICE = 1000 };

#endif
