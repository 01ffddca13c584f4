#include "job/sample.h"

#include <math.h>

#include "base/mem.h"
#include "base/thread.h"

enum {
    PIECES = 4,
    MOST_FRAMES = 24, /* of a piece: a group of pictures with its B-frames */
    LEAST_FRAMES = 8,
    STEP = 8,               /* the parts' sizes and places are multiples of it */
    LEAST_AREA = 512 * 288, /* of the output: less has too much edge to be like the whole */
};

#define PIECE_SECONDS 10.0             /* of network and encoder for all pieces, about */
#define MOST_SECONDS 20.0              /* after which no further piece is begun */
#define MOST_BYTES ((size_t)256 << 20) /* of a piece's decoded, and its upscaled frames */

/* Over the pieces so far. */
struct sum {
    int timed, encoded, pieces; /* frames decoded by the clock, encoded; videos encoded */
    kz_cost decode, encode, check;
    int64_t first, other, copied; /* bytes */
    double computed, all;         /* pixels for the network, with reuse and without */
};

struct sampler {
    const kz_sample_params *params;
    kz_log *log;
    int pieces, frames;   /* wanted, and of each */
    int looked;           /* of each, at what reuse would do */
    kz_region region;     /* of the input; its place is the piece's */
    kz_video_format part; /* the output's, of the region */
    bool whole;
    kz_upscaler *upscaler;
    kz_frame_pool *pool;
    kz_frame *decoded[MOST_FRAMES], *upscaled[MOST_FRAMES];
    double encode_seconds; /* that a whole picture takes; 0: not known, or of no weight */
    struct sum sum;
};

/* ---- what to take ---- */

static double area(const kz_video_format *f)
{
    return (double)f->width * f->height;
}

static double frame_bytes(const kz_video_format *f)
{
    return area(f) * (f->planes < 3 ? 1 : 1 + 2.0 / (1 << (f->shift_x + f->shift_y))) *
           (f->depth > 8 ? 2 : 1);
}

static int within(double value, int least, int most)
{
    return value < least ? least : value > most ? most : (int)value;
}

static double least_share(const kz_sample_params *p)
{
    const double least = LEAST_AREA / area(&p->out);
    return least > 0.25 ? 1 : least;
}

/* What there is time for if a whole picture takes so long. */
static double share_within(double seconds)
{
    return PIECE_SECONDS / (PIECES * MOST_FRAMES * seconds);
}

/* The largest part for which there is time, then fewer frames of the smallest; as many pieces as
 * these are enough for, since what a picture holds differs more from place to place than from frame
 * to frame. */
static double choose_share(struct sampler *s)
{
    const kz_sample_params *p = s->params;
    const double least = least_share(p), seconds = p->network_seconds + s->encode_seconds;
    const double fits = MOST_BYTES / (MOST_FRAMES * frame_bytes(&p->out));
    double share = share_within(seconds), frames = PIECES * MOST_FRAMES;
    share = share > fits ? fits : share;
    share = share >= 1 ? 1 : share > 0.25 ? 0.25 : share;
    share = share < least || least >= 1 ? least : share;
    if (share * frames * seconds > PIECE_SECONDS)
        frames = PIECE_SECONDS / (share * seconds);
    s->pieces = within(frames / LEAST_FRAMES, 1, PIECES);
    s->frames = within(frames / s->pieces, LEAST_FRAMES / 2, MOST_FRAMES);
    return share;
}

static int part_of(int length, double factor)
{
    const int part = ((int)lround(length * factor) + STEP - 1) / STEP * STEP;
    return part < length ? part : length;
}

/* A multiple of 4 suits every chroma. */
static int enlarged(int part, int in, int out)
{
    return part == in ? out : (int)lround((double)part * out / in / 4) * 4;
}

static void choose(struct sampler *s, double share)
{
    const kz_sample_params *p = s->params;
    const double factor = sqrt(share);
    s->frames = within(MOST_BYTES / frame_bytes(&p->in), 2, s->frames);
    s->looked = within(MOST_BYTES / frame_bytes(&p->in), s->frames, MOST_FRAMES);
    s->region.width = part_of(p->in.width, factor);
    s->region.height = part_of(p->in.height, factor);
    s->part = p->out;
    s->part.width = enlarged(s->region.width, p->in.width, p->out.width);
    s->part.height = enlarged(s->region.height, p->in.height, p->out.height);
    s->whole = s->region.width == p->in.width && s->region.height == p->in.height;
    if (p->frames && p->frames < s->frames)
        s->frames = (int)p->frames;
    /* The same whole pictures again would tell nothing new. */
    if (s->whole && (!p->frames || p->frames < (int64_t)s->pieces * s->frames))
        s->pieces = p->frames ? within((double)p->frames / s->frames, 1, s->pieces) : 1;
}

/* The pieces take turns with the quarters of the picture; a second one is diagonal to the first:
 * above is often sky. */
static void place_region(struct sampler *s, int piece)
{
    const kz_video_format *in = &s->params->in;
    const int right = (piece + piece / 2) % 2, below = piece % 2;
    const int x = (in->width / 2 - s->region.width) / 2 + right * in->width / 2;
    const int y = (in->height / 2 - s->region.height) / 2 + below * in->height / 2;
    s->region.x = within(x, 0, in->width - s->region.width) / STEP * STEP;
    s->region.y = within(y, 0, in->height - s->region.height) / STEP * STEP;
}

/* Seconds after the run's beginning. */
static double start_of(const struct sampler *s, int piece)
{
    const kz_ratio rate = s->params->in.frame_rate;
    const double spare = (double)(s->params->frames - s->frames);
    if (spare <= 0 || rate.num <= 0)
        return 0;
    return floor(spare * (piece + 0.5) / s->pieces) * rate.den / rate.num;
}

/* ---- a piece ---- */

struct piece {
    kz_input *input;
    kz_decoder *decoder;
    int count; /* decoded */
};

static int open_piece(struct piece *piece, const struct sampler *s, double start, kz_log *log)
{
    const kz_job_options *o = s->params->options;
    kz_input_params input = kz_job_input(o, s->params->input, s->params->stop);
    input.start += start;
    input.duration = 0;
    input.again = true;
    const kz_decoder_params decoder = {.filter = kz_job_filter(o, s->params->output),
                                       .input = &input};
    int error = kz_input_open(&piece->input, &input, log);
    if (!error)
        error = kz_decoder_open(&piece->decoder, piece->input, &decoder, log);
    return error;
}

static int decode_more(struct piece *piece, struct sampler *s, int most, int64_t *copied)
{
    const int before = piece->count;
    int error =
        kz_probe_decode(piece->input, piece->decoder, s->decoded, most, &piece->count, copied);
    for (int i = before; i < piece->count && !error; i++)
        if (kz_frame_examine(s->decoded[i]) != 0)
            error = kz_fail_memory(s->log, "a frame");
    return error;
}

/* The first frame pays for the way from the key frame before it. */
static int decode_piece(struct piece *piece, struct sampler *s)
{
    int error = decode_more(piece, s, 1, NULL);
    if (error || !piece->count)
        return error;
    const kz_cost began = kz_cost_begin();
    error = decode_more(piece, s, s->looked, &s->sum.copied);
    const kz_cost cost = kz_cost_since(began);
    s->sum.decode.seconds += cost.seconds;
    s->sum.decode.cpu += cost.cpu;
    s->sum.timed += piece->count - 1;
    return error;
}

/* At a segment's beginning nothing is known, and at first little: its later frames are what most
 * are like. */
static int look_at_piece(struct sampler *s, int count)
{
    kz_upscaler *upscaler = s->params->upscaler;
    kz_reuse_stats before = {0};
    int error = 0;
    kz_upscaler_begin(upscaler);
    for (int i = 0; i < count && !error; i++) {
        const kz_picture picture = kz_frame_picture(s->decoded[i]);
        if (i == count / 2)
            before = kz_upscaler_get_stats(upscaler);
        error = kz_upscaler_look(upscaler, &picture);
    }
    const kz_reuse_stats after = kz_upscaler_get_stats(upscaler);
    s->sum.computed += after.computed_pixels - before.computed_pixels;
    s->sum.all += after.all_pixels - before.all_pixels;
    return error;
}

static int encode_piece(struct sampler *s, int count)
{
    const kz_sample_params *p = s->params;
    kz_encoded encoded;
    kz_cost check = {0};
    int error =
        kz_probe_encode(&encoded, &p->encoder, &s->part, s->upscaled, count, p->stop, s->log);
    if (!error && !p->options->no_verify)
        error = kz_probe_check(&encoded, &check, s->log);
    if (!error) {
        s->sum.encode.seconds += encoded.cost.seconds;
        s->sum.encode.cpu += encoded.cost.cpu;
        s->sum.check.seconds += check.seconds;
        s->sum.check.cpu += check.cpu;
        s->sum.first += encoded.first;
        s->sum.other += encoded.bytes - encoded.first;
        s->sum.encoded += count;
        s->sum.pieces++;
    }
    kz_encoded_close(&encoded);
    return error;
}

static void drop_frames(struct sampler *s)
{
    for (int i = 0; i < MOST_FRAMES; i++) {
        kz_frame_close(&s->decoded[i]);
        kz_frame_close(&s->upscaled[i]);
    }
}

/* A place that can't be reached is left out: `log` is NULL where another one may do. */
static int take_piece(struct sampler *s, int index, double start, kz_log *log)
{
    struct piece piece = {0};
    int error = open_piece(&piece, s, start, log);
    if (!error)
        error = decode_piece(&piece, s);
    kz_decoder_close(&piece.decoder);
    kz_input_close(&piece.input);
    if (!log && error != KZ_ERROR_CANCELLED && error != KZ_ERROR_MEMORY)
        error = 0;
    place_region(s, index);
    if (!error && piece.count)
        error = look_at_piece(s, piece.count);
    const int count = piece.count < s->frames ? piece.count : s->frames;
    kz_upscaler_begin(s->upscaler);
    if (!error && count)
        error = kz_probe_upscale(s->upscaler, s->pool, &s->params->in, &s->region, s->decoded,
                                 s->upscaled, count);
    if (!error && count)
        error = encode_piece(s, count);
    drop_frames(s);
    return error;
}

/* ---- all ---- */

static int open_part(struct sampler *s)
{
    kz_video_format in = s->params->in;
    in.width = s->region.width;
    in.height = s->region.height;
    int error = kz_engine_upscaler(&s->upscaler, s->params->engine, s->params->options, &in,
                                   &s->part, s->params->stop, s->log);
    return error ? error : kz_frame_pool_open(&s->pool, &s->part, s->log);
}

static void close_part(struct sampler *s)
{
    kz_frame_pool_close(&s->pool);
    kz_upscaler_close(&s->upscaler);
}

/* How long the encoder takes isn't known before it has done something: the slowest presets take a
 * hundred times as long as the fastest. */
static int try_encoder(struct sampler *s)
{
    s->pieces = 1;
    s->frames = LEAST_FRAMES;
    choose(s, least_share(s->params));
    int error = open_part(s);
    if (!error)
        error = take_piece(s, 0, start_of(s, 0), NULL);
    if (!error && s->sum.encoded)
        s->encode_seconds =
            s->sum.encode.seconds / s->sum.encoded * area(&s->params->out) / area(&s->part);
    s->sum = (struct sum){0};
    close_part(s);
    return error;
}

static int take_pieces(struct sampler *s)
{
    const double began = kz_now();
    int error = 0;
    for (int i = 0; i < s->pieces && !error && (!i || kz_now() - began < MOST_SECONDS); i++)
        error = take_piece(s, i, start_of(s, i), NULL);
    if (!error && !s->sum.pieces)
        error = take_piece(s, 0, 0, s->log);
    if (!error && !s->sum.pieces)
        error = kz_fail(s->log, KZ_ERROR_FAILED, "%s: the video has no frame to decode%s",
                        s->params->input, s->params->options->start > 0 ? " behind --start" : "");
    return error;
}

static kz_cost each(kz_cost sum, double count)
{
    return count > 0 ? (kz_cost){sum.seconds / count, sum.cpu / count} : (kz_cost){0};
}

static void conclude(kz_sample *sample, const struct sampler *s)
{
    const double share = area(&s->part) / area(&s->params->out);
    const int others = s->sum.encoded - s->sum.pieces;
    *sample = (kz_sample){.frames = s->sum.encoded,
                          .share = share,
                          .computed = s->sum.all > 0 ? s->sum.computed / s->sum.all : 1,
                          .decode = each(s->sum.decode, s->sum.timed),
                          .encode = each(s->sum.encode, share * s->sum.encoded),
                          .check = each(s->sum.check, share * s->sum.encoded),
                          .first = (double)s->sum.first / s->sum.pieces / share,
                          .copied = s->sum.timed ? (double)s->sum.copied / s->sum.timed : 0};
    sample->other = others ? (double)s->sum.other / others / share : sample->first;
    /* Such packets only point at their picture. */
    if (kz_encoder_is_raw(s->params->encoder.codec))
        sample->first = sample->other = frame_bytes(&s->params->out);
    if (!s->whole)
        sample->encode.seconds = 0;
}

int kz_sample_take(kz_sample *sample, const kz_sample_params *params, kz_log *log)
{
    struct sampler s = {.params = params, .log = log};
    int error = 0;
    /* Beside a slow network the encoder's time has no weight. */
    if (share_within(params->network_seconds) > least_share(params))
        error = try_encoder(&s);
    choose(&s, choose_share(&s));
    if (!error)
        error = open_part(&s);
    if (!error)
        error = take_pieces(&s);
    if (!error)
        conclude(sample, &s);
    drop_frames(&s);
    close_part(&s);
    return error;
}
