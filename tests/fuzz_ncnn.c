/* A libFuzzer target for the model reader, its rewrites included: the input is a .param, a zero
 * byte, and a .bin. Built by scripts/test-long.sh with clang. */
#include <stdint.h>
#include <string.h>

#include "model/ncnn.h"
#include "model/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t text = zero ? (size_t)(zero - data) : size;
    kz_bytes param = {(uint8_t *)(uintptr_t)data, text};
    kz_bytes bin = {(uint8_t *)(uintptr_t)(zero ? zero + 1 : data), zero ? size - text - 1 : 0};
    kz_graph *graph;
    if (kz_ncnn_parse(&graph, param, "fuzz.param", bin, "fuzz.bin", NULL) == 0)
        kz_rewrite_all(graph, (kz_luma_weights){0.2126f, 0.7152f, 0.0722f}, NULL);
    kz_graph_close(&graph);
    return 0;
}
