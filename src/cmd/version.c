#include <stdio.h>

#include "backend/module.h"
#include "backend/version.h"
#include "base/cpu.h"
#include "base/thread.h"
#include "cmd/commands.h"
#include "media/format.h"

/* The first GPU, or why there is none to work on. */
static void print_cuda(void)
{
    const kz_module *module;
    const kz_device_params params = {0};
    kz_device *device = NULL;
    char why[KZ_WHY_SIZE];
    if (kz_module_load(&module, why, sizeof(why)) || module->check(0, why, sizeof(why)))
        printf("cuda: %s\n", why);
    else if (module->backend->open(&device, &params, NULL))
        printf("cuda: the device can't be opened\n");
    else
        printf("cuda: %s\n", module->backend->describe(device));
    if (device)
        module->backend->close(&device);
}

int kz_cmd_version(void)
{
    char media[512], engine[128];
    printf("kizuna %s\n", KZ_VERSION);
    printf("libraries: %s, %s\n", kz_media_versions(media, sizeof(media)),
           kz_backend_versions(engine, sizeof(engine)));
    printf("cpu: level %s, %d processors\n", kz_cpu_level_name(kz_cpu_detect()), kz_cpu_count());
    print_cuda();
    return 0;
}
