/* A libnvcuvid.so.1 for libav, on machines without a GPU. What a picture decodes to is looked up:
 * PRETEND_TRUTH names a file of raw frames, NV12 or P010, in the order in which they are shown, and
 * PRETEND_SIZE says "WxH" of them. A picture's number follows from its order count, which begins
 * anew with each IDR picture. A mapped surface is a block of its own that goes when it is unmapped.
 *   PRETEND_WRONG=N  picture N, in decoding order from 0, is off by one sample
 *   PRETEND_FAIL=N   from picture N on none is decoded
 *   PRETEND_LACKS=1  it can't decode this at all */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 1, FAILED = 719 };
enum { H264 = 4, HEVC = 8 }; /* cudaVideoCodec */
enum { MOST = 64, PITCH = 512 };

typedef struct decoder {
    int codec, height, bytes; /* of a sample */
    size_t pitch;
    int truth_width, truth_height;
    FILE *truth;
    long base, last; /* number of the last IDR picture, and the highest one since */
    long count;      /* of pictures decoded */
    long number[MOST];
    unsigned char wrong[MOST];
    long mapped, most_mapped;
} decoder;

static long number_of(const char *variable, long otherwise)
{
    const char *text = getenv(variable);
    return text ? atol(text) : otherwise;
}

/* NVIDIA's structures are read by their offsets. */
static int int_at(const void *structure, size_t offset)
{
    int value;
    memcpy(&value, (const char *)structure + offset, sizeof(value));
    return value;
}

int cuvidGetDecoderCaps(void *caps)
{
    const unsigned width = 8192, height = 8192, blocks = 1 << 18;
    ((unsigned char *)caps)[24] = !getenv("PRETEND_LACKS");
    memcpy((char *)caps + 28, &width, sizeof(width));
    memcpy((char *)caps + 32, &height, sizeof(height));
    memcpy((char *)caps + 36, &blocks, sizeof(blocks));
    return OK;
}

int cuvidCreateDecoder(void **made, const void *info)
{
    const char *size = getenv("PRETEND_SIZE"), *truth = getenv("PRETEND_TRUTH");
    decoder *d = calloc(1, sizeof(*d));
    if (!d || !size || !truth || sscanf(size, "%dx%d", &d->truth_width, &d->truth_height) != 2)
        return INVALID;
    d->codec = int_at(info, 24);
    d->height = int_at(info, 104);
    d->bytes = int_at(info, 40) ? 2 : 1;
    d->pitch = ((size_t)int_at(info, 96) * (size_t)d->bytes / PITCH + 1) * PITCH;
    d->most_mapped = int_at(info, 112);
    d->truth = fopen(truth, "rb");
    d->last = -1;
    *made = d;
    return d->truth && (d->codec == H264 || d->codec == HEVC) ? OK : INVALID;
}

int cuvidDestroyDecoder(decoder *d)
{
    if (d->mapped)
        fprintf(stderr, "pretended NVDEC: %ld pictures are still mapped\n", d->mapped);
    fclose(d->truth);
    free(d);
    return OK;
}

int cuvidDecodePicture(decoder *d, const void *parameters)
{
    const int surface = int_at(parameters, 8);
    const char *specific = (const char *)parameters + 184;
    /* Libav begins H.264's at 65536. */
    const long place = d->codec == H264 ? int_at(specific, 96) % 65536 / 2 : int_at(specific, 248);
    const int idr = d->codec == H264 ? place == 0 && int_at(specific, 92) == 0 : specific[31] != 0;
    const long count = d->count++, fail = number_of("PRETEND_FAIL", -1);
    if (surface < 0 || surface >= MOST || (fail >= 0 && count >= fail))
        return FAILED;
    if (idr)
        d->base = d->last + 1;
    d->number[surface] = d->base + place;
    d->wrong[surface] = count == number_of("PRETEND_WRONG", -1);
    if (d->number[surface] > d->last)
        d->last = d->number[surface];
    return OK;
}

/* A plane's rows out of the file, which lie close there. */
static int read_rows(decoder *d, char *to, int rows)
{
    const size_t row = (size_t)d->truth_width * (size_t)d->bytes;
    for (int y = 0; y < rows; y++)
        if (fread(to + (size_t)y * d->pitch, 1, row, d->truth) != row)
            return 0;
    return 1;
}

int cuvidMapVideoFrame64(decoder *d, int surface, void **address, unsigned *pitch, void *how)
{
    const size_t bytes = d->pitch * (size_t)d->height * 3 / 2;
    const long frame = (long)d->truth_width * d->truth_height * 3 / 2 * d->bytes;
    /* Behind the last one comes the first again. */
    const long frames = fseek(d->truth, 0, SEEK_END) == 0 ? ftell(d->truth) / frame : 0;
    char *block = d->mapped < d->most_mapped ? malloc(bytes) : NULL;
    (void)how;
    if (!block)
        return FAILED;
    memset(block, 0x5a, bytes);
    if (!frames || fseek(d->truth, d->number[surface] % frames * frame, SEEK_SET) != 0 ||
        !read_rows(d, block, d->truth_height) ||
        !read_rows(d, block + d->pitch * (size_t)d->height, d->truth_height / 2)) {
        free(block);
        return FAILED;
    }
    block[d->pitch * 3 + 10] = (char)(block[d->pitch * 3 + 10] + d->wrong[surface]);
    __sync_fetch_and_add(&d->mapped, 1);
    *address = block;
    *pitch = (unsigned)d->pitch;
    return OK;
}

int cuvidUnmapVideoFrame64(decoder *d, void *address)
{
    __sync_fetch_and_sub(&d->mapped, 1);
    free(address);
    return OK;
}

#define NO(name)       \
    int name(void)     \
    {                  \
        return FAILED; \
    }

/* clang-format off */
NO(cuvidGetDecodeStatus) NO(cuvidReconfigureDecoder)
NO(cuvidCtxLockCreate) NO(cuvidCtxLockDestroy) NO(cuvidCtxLock) NO(cuvidCtxUnlock)
NO(cuvidCreateVideoSource) NO(cuvidCreateVideoSourceW) NO(cuvidDestroyVideoSource)
NO(cuvidSetVideoSourceState) NO(cuvidGetVideoSourceState) NO(cuvidGetSourceVideoFormat)
NO(cuvidGetSourceAudioFormat) NO(cuvidCreateVideoParser) NO(cuvidParseVideoData)
NO(cuvidDestroyVideoParser)
    /* clang-format on */
