#include "job/memory.h"

#include <string.h>

#include "pipeline/pipeline.h"

static size_t frame_bytes(const kz_video_format *f)
{
    size_t luma = (size_t)f->width * (size_t)f->height;
    size_t chroma = f->planes < 3 ? 0 : 2 * (luma >> (f->shift_x + f->shift_y));
    return (luma + chroma) * (f->depth > 8 ? 2 : 1);
}

/* Source pictures that x265 keeps: look-ahead, B-frames, references and reconstructions, in units
 * of its 16-bit pictures with their half-size copies and statistics. */
static double x265_pictures(const char *preset)
{
    static const struct {
        const char *preset;
        double pictures;
    } table[] = {{"ultrafast", 12}, {"superfast", 17}, {"veryfast", 22}, {"faster", 22},
                 {"fast", 22},      {"medium", 28},    {"slow", 34},     {"slower", 50},
                 {"veryslow", 50},  {"placebo", 70}};
    for (size_t i = 0; preset && i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].preset, preset) == 0)
            return table[i].pictures;
    return 28;
}

static size_t encoder_bytes(const kz_video_format *out, const char *encoder, const char *preset)
{
    double frame = (double)frame_bytes(out);
    if (strcmp(encoder, "libx265") == 0)
        return (size_t)(frame * x265_pictures(preset));
    if (strcmp(encoder, "libx264") == 0 || strcmp(encoder, "libsvtav1") == 0)
        return (size_t)(frame * 45);
    return (size_t)(frame * 4);
}

kz_memory kz_memory_estimate(size_t engine, const kz_video_format *in, const kz_video_format *out,
                             const char *encoder, const char *encoder_preset, int threads)
{
    size_t decoder_frames = 6 + (size_t)threads;
    /* Besides what lies in a ring, each side of it has one frame in its hands. */
    size_t ring_frames = KZ_RING_FRAMES + 2;
    return (kz_memory){
        .engine = engine,
        .frames = frame_bytes(in) * (decoder_frames + ring_frames) + frame_bytes(out) * ring_frames,
        .encoder = encoder_bytes(out, encoder, encoder_preset),
        .base = (size_t)60 << 20,
    };
}

size_t kz_memory_total(const kz_memory *m)
{
    return m->engine + m->frames + m->encoder + m->base;
}
