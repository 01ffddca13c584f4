/* A libFuzzer target for the model reader, its rewrites included: the input is a .param, a zero
 * byte, and a .bin. Built by scripts/test-long.sh with clang. With KZ_FUZZ_STANDALONE it is a plain
 * program for any compiler, which changes a good model at random, or replays files:
 *   fuzz_ncnn [RUNS [SEED]]
 *   fuzz_ncnn FILE ... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/ncnn.h"
#include "model/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_and_rewrite(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t text = zero ? (size_t)(zero - data) : size;
    kz_bytes param = {(uint8_t *)(uintptr_t)data, text};
    kz_bytes bin = {(uint8_t *)(uintptr_t)(zero ? zero + 1 : data), zero ? size - text - 1 : 0};
    kz_graph *graph;
    int error = kz_ncnn_parse(&graph, param, "fuzz.param", bin, "fuzz.bin", NULL);
    if (!error)
        error = kz_rewrite_all(graph, (kz_luma_weights){0.2126f, 0.7152f, 0.0722f}, NULL);
    kz_graph_close(&graph);
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_and_rewrite(data, size);
    return 0;
}

#ifdef KZ_FUZZ_STANDALONE
enum { FLAG = 4, HALVES = 2 };

/* Every layer there is, so that a change can hit each. */
static const char model[] = "7767517\n"
                            "12 13\n"
                            "Input in 0 1 data\n"
                            "Split split 1 2 data d0 d1\n"
                            "Convolution conv1 1 1 d0 a 0=4 1=3 4=1 5=1 6=108 9=2 -23310=1,0.2\n"
                            "Convolution conv2 1 1 a b 0=4 1=1 5=0 6=16\n"
                            "Eltwise sum 2 1 b a s 0=1 -23301=2,0.2,1.0\n"
                            "PReLU act 1 1 s c 0=4\n"
                            "Concat join 2 1 s c d 0=0\n"
                            "Interp up1 1 1 d e 0=1 1=2 2=2\n"
                            "Convolution conv3 1 1 e f 0=12 1=3 4=1 5=1 6=864\n"
                            "PixelShuffle shuffle 1 1 f g 0=2\n"
                            "Interp up2 1 1 d1 h 0=1 1=4 2=4\n"
                            "BinaryOp add 2 1 g h output 0=0\n";

enum {
    BIN = FLAG + 108 * HALVES + 4 * 4 + FLAG + 16 * HALVES + 4 * 4 + FLAG + 864 * HALVES + 12 * 4,
    SIZE = (int)sizeof(model) + BIN
};

static void make(uint8_t *data)
{
    static const uint8_t flag[] = {0x47, 0x6b, 0x30, 0x01};
    static const int convs[] = {0, FLAG + 108 * HALVES + 16, 2 * FLAG + 124 * HALVES + 32};
    memset(data, 0, SIZE);
    memcpy(data, model, sizeof(model));
    for (int i = 0; i < 3; i++)
        memcpy(data + sizeof(model) + convs[i], flag, sizeof(flag));
}

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* One change: a bit, a digit, a run of bytes moved, or a cut. Most of them hit the text. */
static size_t change(uint8_t *data, size_t size, uint64_t *state)
{
    size_t range = next(state) % 4 ? sizeof(model) : size;
    size_t at = next(state) % (range < size ? range : size), from = next(state) % size;
    size_t length = next(state) % 16;
    switch (next(state) % 8) {
    case 0:
        data[at] ^= (uint8_t)(1u << next(state) % 8);
        break;
    case 1:
        if (at + length < size && from + length < size)
            memmove(data + at, data + from, length);
        break;
    case 2:
        return at ? at : 1;
    default:
        while (at < size && (data[at] < '0' || data[at] > '9'))
            at++;
        if (at < size)
            data[at] = (uint8_t) "0123456789-.,e= "[next(state) % 16];
    }
    return size;
}

/* Exactly as large as its content, so that a sanitizer sees a byte too many. */
static void run_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        exit(2);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int replay(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 2;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    fclose(file);
    run_copy(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    uint8_t good[SIZE], data[SIZE];
    char *end = NULL;
    long runs = argc > 1 ? strtol(argv[1], &end, 10) : 10000;
    for (int i = 1; end && *end && i < argc; i++)
        if (replay(argv[i]))
            return 2;
    if (end && *end)
        return 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL), state = seed;
    printf("# seed %llu\n", (unsigned long long)seed);
    make(good);
    if (read_and_rewrite(good, SIZE)) {
        fprintf(stderr, "the good model isn't good\n");
        return 1;
    }
    for (long i = 0; i < runs; i++) {
        size_t size = SIZE;
        memcpy(data, good, SIZE);
        for (uint32_t changes = 1 + next(&state) % 3; changes; changes--)
            size = change(data, size, &state);
        run_copy(data, size);
    }
    return 0;
}
#endif
