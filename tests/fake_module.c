/* A module as kizuna-cuda.so is one, with the reference back end where a GPU would be: what the
 * program makes of a module is tested without one. FAKE_WHY is why no device can be used,
 * FAKE_KIND which kind of device it is. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/module.h"

#ifndef FAKE_VERSION
#define FAKE_VERSION KZ_VERSION
#endif
#ifndef FAKE_TABLE_BYTES
#define FAKE_TABLE_BYTES sizeof(kz_backend)
#endif

enum { DEVICES = 2 };

static char line[40]; /* the opened device's */

static int open_fake(kz_device **device, const kz_device_params *params, kz_log *log)
{
    snprintf(line, sizeof(line), "fake GPU %d", params->index);
    return kz_backend_reference.open(device, params, log);
}

static const char *describe(const kz_device *device)
{
    (void)device;
    return line;
}

static const char *identity(const kz_device *device)
{
    (void)device;
    const char *kind = getenv("FAKE_KIND");
    return kind ? kind : "fake GPU";
}

/* It has every precision, and says that it has chosen fp16: what is computed doesn't matter here.
 */
static int compile(kz_device *device, kz_plan **plan, const kz_graph *graph,
                   const kz_plan_params *params, kz_log *log)
{
    kz_plan_params fp32 = *params;
    fp32.precision = KZ_PRECISION_FP32;
    return kz_backend_reference.compile(device, plan, graph, &fp32, log);
}

static void info(const kz_plan *plan, kz_plan_info *info)
{
    kz_backend_reference.info(plan, info);
    info->precision = KZ_PRECISION_FP16;
}

static kz_backend table;

/* The reference's own table isn't a constant that another could begin with. */
__attribute__((constructor)) static void fill(void)
{
    table = kz_backend_reference;
    table.name = "cuda";
    table.open = open_fake;
    table.describe = describe;
    table.identity = identity;
    table.compile = compile;
    table.info = info;
}

static int check(int index, char *why, size_t size)
{
    const char *given = getenv("FAKE_WHY");
    if (given)
        snprintf(why, size, "%s", given);
    else if (index >= DEVICES)
        snprintf(why, size, "there is no CUDA device %d: this machine has %d", index, DEVICES);
    else
        return 0;
    return KZ_ERROR_FAILED;
}

const kz_module kz_backend_module = {
    .table_bytes = FAKE_TABLE_BYTES, .version = FAKE_VERSION, .backend = &table, .check = check};
