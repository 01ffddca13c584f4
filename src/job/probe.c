#include "job/probe.h"

#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "pipeline/source.h"

kz_cost kz_cost_begin(void)
{
    return (kz_cost){kz_now(), kz_cpu_seconds()};
}

kz_cost kz_cost_since(kz_cost began)
{
    return (kz_cost){kz_now() - began.seconds, kz_cpu_seconds() - began.cpu};
}

/* ---- decode ---- */

static int count_bytes(void *context, kz_packet *packet)
{
    int64_t *bytes = context;
    *bytes += (int64_t)kz_packet_bytes(packet);
    kz_packet_close(&packet);
    return 0;
}

int kz_probe_decode(kz_input *input, kz_decoder *decoder, kz_frame **frames, int most, int *count,
                    int64_t *copied)
{
    int error = 0;
    while (!error && *count < most) {
        error =
            kz_source_next(input, decoder, copied ? count_bytes : NULL, copied, &frames[*count]);
        *count += !error;
    }
    return error == KZ_END ? 0 : error;
}

/* ---- upscale ---- */

static void cut(kz_picture *picture, const kz_video_format *format, const kz_region *region)
{
    for (int i = 0; i < picture->planes; i++) {
        kz_plane *plane = &picture->plane[i];
        const int sx = i ? format->shift_x : 0, sy = i ? format->shift_y : 0;
        const int x = region->x >> sx, y = region->y >> sy;
        *plane = kz_plane_part(plane, (kz_rect){x, y, x + ((region->width + (1 << sx) - 1) >> sx),
                                                y + ((region->height + (1 << sy) - 1) >> sy)});
    }
}

int kz_probe_upscale(kz_upscaler *upscaler, kz_frame_pool *pool, const kz_video_format *format,
                     const kz_region *region, kz_frame *const *frames, kz_frame **out, int count)
{
    int error = 0;
    for (int i = 0; i < count && !error; i++) {
        error = kz_frame_pool_get(pool, &out[i], frames[i]);
        if (error)
            break;
        kz_picture from = kz_frame_picture(frames[i]), to = kz_frame_picture(out[i]);
        if (region)
            cut(&from, format, region);
        error = kz_upscaler_run(upscaler, &from, &to);
    }
    return error;
}

/* ---- encode ---- */

static int keep(kz_encoded *e, kz_packet *packet)
{
    if (e->count == e->room) {
        const int room = e->room ? 2 * e->room : 64;
        kz_packet **more = kz_alloc((size_t)room, sizeof(*more));
        if (!more)
            return KZ_ERROR_MEMORY;
        if (e->count)
            memcpy(more, e->packets, (size_t)e->count * sizeof(*more));
        kz_free(e->packets);
        e->packets = more;
        e->room = room;
    }
    const int64_t bytes = (int64_t)kz_packet_bytes(packet);
    e->first = e->count ? e->first : bytes;
    e->bytes += bytes;
    e->packets[e->count++] = packet;
    return 0;
}

/* KZ_AGAIN: it wants more frames. KZ_END: drained. */
static int take_packets(kz_encoded *e, kz_encoder *encoder, kz_log *log)
{
    kz_packet *packet;
    int error;
    while (!(error = kz_encoder_receive(encoder, &packet))) {
        if (keep(e, packet) == 0)
            continue;
        kz_packet_close(&packet);
        return kz_fail_memory(log, "a packet");
    }
    return error;
}

static int send_frames(kz_encoded *e, kz_encoder *encoder, kz_frame **frames, int count,
                       const atomic_bool *stop, kz_log *log)
{
    int error = KZ_AGAIN;
    for (int i = 0; i <= count && error == KZ_AGAIN; i++) {
        kz_frame *frame = i < count ? frames[i] : NULL;
        if (stop && atomic_load(stop))
            return KZ_ERROR_CANCELLED;
        if (frame)
            frames[i] = NULL; /* the encoder's now */
        error = kz_encoder_send(encoder, frame);
        if (!error)
            error = take_packets(e, encoder, log);
    }
    return error == KZ_END ? 0 : error;
}

int kz_probe_encode(kz_encoded *encoded, const kz_encoder_params *params,
                    const kz_video_format *format, kz_frame **frames, int count,
                    const atomic_bool *stop, kz_log *log)
{
    kz_encoder *encoder = NULL;
    *encoded = (kz_encoded){0};
    int error = kz_encoder_open(&encoder, params, format, count ? frames[0] : NULL, log);
    if (!error) {
        const kz_cost began = kz_cost_begin();
        error = send_frames(encoded, encoder, frames, count, stop, log);
        encoded->cost = kz_cost_since(began);
    }
    if (!error && kz_form_open(&encoded->form, encoder) != 0)
        error = kz_fail_memory(log, "an encoder");
    kz_encoder_close(&encoder);
    for (int i = 0; i < count; i++)
        kz_frame_close(&frames[i]);
    return error;
}

void kz_encoded_close(kz_encoded *encoded)
{
    for (int i = 0; i < encoded->count; i++)
        kz_packet_close(&encoded->packets[i]);
    kz_free(encoded->packets);
    kz_form_close(&encoded->form);
    *encoded = (kz_encoded){0};
}

/* ---- check ---- */

int kz_probe_check(const kz_encoded *encoded, kz_cost *cost, kz_log *log)
{
    kz_checker *checker = NULL;
    *cost = (kz_cost){0};
    int error = kz_checker_open(&checker, encoded->form, 1, log);
    if (error || !checker)
        return error;
    const kz_cost began = kz_cost_begin();
    for (int i = 0; i <= encoded->count && !error; i++)
        error = kz_checker_packet(checker, i < encoded->count ? encoded->packets[i] : NULL);
    *cost = kz_cost_since(began);
    kz_checker_close(&checker);
    return error;
}
