/* A libFuzzer target for the reader of kizuna's own networks and what is done with them: the input
 * is a safetensors file. Built by scripts/test-long.sh with clang. */
#include <stdint.h>

#include "model/luma_net.h"
#include "model/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kz_bytes bytes = {(uint8_t *)(uintptr_t)data, size};
    kz_graph *graph, *twice = NULL;
    int error = kz_luma_net_parse(&graph, bytes, "fuzz.safetensors", NULL);
    if (!error)
        error = kz_graph_twice(&twice, graph, "fuzz.safetensors", NULL);
    if (!error)
        kz_rewrite_all(twice, (kz_luma_weights){0.2126f, 0.7152f, 0.0722f}, NULL);
    kz_graph_close(&graph);
    kz_graph_close(&twice);
    return 0;
}
