#include "job/memory.h"

#include <string.h>

#include "pipeline/pipeline.h"

/* References and frames being put in order in the decoder of the check, and what it needs besides;
 * fitted to runs at 1280x720 and 2560x1440. */
#define CHECK_FRAMES 9
#define CHECK_BYTES ((size_t)14 << 20)

size_t kz_memory_frame(const kz_video_format *f)
{
    size_t luma = (size_t)f->width * (size_t)f->height;
    size_t chroma = f->planes < 3 ? 0 : 2 * (luma >> (f->shift_x + f->shift_y));
    return (luma + chroma) * (f->depth > 8 ? 2 : 1);
}

/* libx265's memory is a fixed part and a multiple of the picture: look-ahead, B-frames, references
 * and reconstructions, with their half-size copies and statistics. Both were fitted to runs of 70
 * to 200 frames from 1280x720 to 3840x2160 with one frame thread: docs/performance.md. */
struct x265_fit {
    const char *preset;
    double fixed_mib, pictures;
};

static const struct x265_fit x265_fits[] = {
    {"ultrafast", 38, 52}, {"superfast", 45, 61}, {"veryfast", 60, 82}, {"faster", 60, 82},
    {"fast", 60, 82},      {"medium", 95, 88},    {"slow", 85, 101},    {"slower", 85, 175},
    {"veryslow", 85, 175}, {"placebo", 85, 190}};

static struct x265_fit fit_of(const char *preset)
{
    for (size_t i = 0; preset && i < sizeof(x265_fits) / sizeof(x265_fits[0]); i++)
        if (strcmp(x265_fits[i].preset, preset) == 0)
            return x265_fits[i];
    return fit_of("medium");
}

static size_t encoder_bytes(const kz_video_format *out, const char *encoder, const char *preset)
{
    double frame = (double)kz_memory_frame(out);
    if (strcmp(encoder, "libx265") == 0) {
        struct x265_fit fit = fit_of(preset);
        return (size_t)(fit.fixed_mib * (1 << 20) + frame * fit.pictures);
    }
    if (strcmp(encoder, "libx264") == 0 || strcmp(encoder, "libsvtav1") == 0)
        return (size_t)(frame * 118);
    if (strcmp(encoder, "ffv1") == 0)
        return (size_t)(frame * 54);
    return (size_t)(frame * 20);
}

kz_memory kz_memory_estimate(size_t engine, const kz_video_format *in, const kz_video_format *out,
                             const char *encoder, const char *encoder_preset, bool check,
                             int threads)
{
    size_t decoder_frames = 6 + (size_t)threads;
    /* Besides what lies in a ring, each side of it has one frame in its hands. */
    size_t ring_frames = KZ_RING_FRAMES + 2;
    size_t check_frames = check ? CHECK_FRAMES : 0;
    return (kz_memory){
        .engine = engine,
        .frames = kz_memory_frame(in) * (decoder_frames + ring_frames) +
                  kz_memory_frame(out) * (ring_frames + check_frames),
        .encoder = encoder_bytes(out, encoder, encoder_preset),
        .base = ((size_t)45 << 20) + (check ? CHECK_BYTES : 0),
    };
}

size_t kz_memory_total(const kz_memory *m)
{
    return m->engine + m->frames + m->encoder + m->base;
}
