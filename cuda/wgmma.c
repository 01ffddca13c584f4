/* Our own kernels for Hopper behind rival.h: as anybody's, they have to compute what the one for
 * all devices does, and to be faster, where they are to run. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cuda/rival.h"

/* Ways to go. */
static const struct way {
    const char *text;
    bool (*fits)(const kz_conv_task *task);
    void (*run)(kz_gpu *gpu, const kz_conv_task *task);
} ways[] = {{"one", kz_cuda_conv_wgmma_fits, kz_cuda_conv_wgmma},
            {"two", kz_cuda_conv_wgmma_fits, kz_cuda_conv_wgmma_pairs},
            {"march", kz_cuda_conv_march_fits, kz_cuda_conv_march}};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

struct kz_rival_library {
    char unused;
};

struct kz_rival_engine {
    const struct way *way;
};

static int wgmma_open(kz_rival_library **library, kz_gpu *gpu)
{
    *library = NULL;
    if (!kz_cuda_conv_wgmma_there(kz_gpu_get_info(gpu)))
        return KZ_ERROR_FAILED;
    *library = kz_alloc(1, sizeof(**library));
    return *library ? 0 : KZ_ERROR_MEMORY;
}

static void wgmma_close(kz_rival_library **library)
{
    kz_free(*library);
    *library = NULL;
}

/* Of the kernels: kizuna's own says the rest. */
static size_t wgmma_version(const kz_rival_library *library)
{
    (void)library;
    return 2;
}

static bool wgmma_fits(const kz_conv_task *t)
{
    return kz_cuda_conv_wgmma_fits(t) && kz_rival_one_type(t);
}

static int wgmma_list(kz_rival_library *library, const kz_rival_layer *layer,
                      char (*engines)[KZ_CHOICE_ENGINE], int most)
{
    (void)library;
    int count = 0;
    for (int i = 0; i < WAYS && count < most; i++)
        if (ways[i].fits(&layer->task))
            snprintf(engines[count++], KZ_CHOICE_ENGINE, "%s", ways[i].text);
    return count;
}

static int wgmma_open_engine(kz_rival_engine **engine, kz_rival_library *library,
                             const kz_rival_layer *layer, const char *text, kz_log *log)
{
    (void)library;
    (void)log;
    const struct way *way = ways;
    while (way < ways + WAYS && strcmp(text, way->text) != 0)
        way++;
    *engine = NULL;
    if (way == ways + WAYS || !way->fits(&layer->task))
        return KZ_ERROR_FAILED;
    *engine = kz_alloc(1, sizeof(**engine));
    if (!*engine)
        return KZ_ERROR_MEMORY;
    (*engine)->way = way;
    return 0;
}

static void wgmma_close_engine(kz_rival_engine **engine)
{
    kz_free(*engine);
    *engine = NULL;
}

static int wgmma_run(kz_rival_engine *engine, kz_gpu *gpu, const kz_conv_task *task)
{
    engine->way->run(gpu, task);
    return 0;
}

const kz_rival_table kz_rival_wgmma = {
    .name = "wgmma",
    .own_weights = true,
    .open = wgmma_open,
    .close = wgmma_close,
    .version = wgmma_version,
    .fits = wgmma_fits,
    .list = wgmma_list,
    .open_engine = wgmma_open_engine,
    .close_engine = wgmma_close_engine,
    .run = wgmma_run,
};
