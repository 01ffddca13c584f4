#include <stdio.h>

#include "backend/version.h"
#include "base/cpu.h"
#include "base/thread.h"
#include "cmd/commands.h"
#include "media/format.h"

int kz_cmd_version(void)
{
    char media[512], engine[128];
    printf("kizuna %s\n", KZ_VERSION);
    printf("libraries: %s, %s\n", kz_media_versions(media, sizeof(media)),
           kz_backend_versions(engine, sizeof(engine)));
    printf("cpu: level %s, %d processors\n", kz_cpu_level_name(kz_cpu_detect()), kz_cpu_count());
    return 0;
}
