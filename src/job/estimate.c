#include "job/estimate.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/thread.h"
#include "job/sample.h"
#include "model/registry.h"

enum {
    MOST_RUNS = 3,        /* of the network on a whole picture */
    KEY_FRAME_EVERY = 250 /* frames, where the film has no reason for one; x265's and x264's own */
};

#define RUN_SECONDS 6.0 /* for the network alone, and for all its runs */

/* Of the network, a frame: a picture that is computed, and one that reuse knows. */
struct network {
    kz_cost all, still;
};

struct work {
    const kz_estimate_params *params;
    kz_log *log;
    kz_estimate *estimate;
    kz_input *input;
    kz_decoder *decoder;
    kz_engine engine;
    kz_upscaler *upscaler;
    struct network network;
};

/* ---- open ---- */

int kz_estimate_check_input(const char *path, kz_log *log)
{
    struct stat st;
    if (strcmp(path, "-") == 0)
        return kz_fail(log, KZ_ERROR_USAGE,
                       "standard input can't be planned: what the plan reads the run would miss");
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) &&
        !S_ISDIR(st.st_mode))
        return kz_fail(log, KZ_ERROR_USAGE,
                       "%s isn't a file: what the plan reads the run would miss", path);
    return 0;
}

static int64_t expected_frames(const struct work *w)
{
    const int64_t known = kz_decoder_expected(w->decoder), most = w->params->options->frames;
    return most && (!known || most < known) ? most : known;
}

static int open_input(struct work *w)
{
    const kz_job_options *o = w->params->options;
    kz_estimate *e = w->estimate;
    kz_input_params input = kz_job_input(o, w->params->input, w->params->stop);
    const kz_decoder_params decoder = {.filter = kz_job_filter(o, w->params->output),
                                       .input = &input};
    int error = kz_input_open(&w->input, &input, w->log);
    if (!error)
        error = kz_decoder_open(&w->decoder, w->input, &decoder, w->log);
    if (error)
        return error;
    e->in = *kz_decoder_format(w->decoder);
    e->frames = expected_frames(w);
    if (e->in.frame_rate.num > 0)
        e->media_seconds = (double)e->frames * e->in.frame_rate.den / e->in.frame_rate.num;
    e->described = kz_strdup(kz_input_describe(w->input));
    return e->described ? 0 : kz_fail_memory(w->log, "a description");
}

static int choose_encoder(struct work *w)
{
    kz_estimate *e = w->estimate;
    const kz_encoder_question question = {.options = w->params->options,
                                          .output = w->params->output,
                                          .engine = &w->engine,
                                          .input = w->input,
                                          .out = &e->out};
    return kz_job_choose_encoder(&e->encoder, e->encoder_note, &question, w->log);
}

static int open_engine(struct work *w)
{
    const kz_job_options *o = w->params->options;
    kz_estimate *e = w->estimate;
    int error = kz_engine_open(&w->engine, o, &e->in, w->params->dirs, w->log);
    if (!error)
        error = kz_job_out_format(&e->out, &e->in, o, kz_model_most_scale(w->engine.model), w->log);
    if (!error)
        error = kz_encoder_check(&e->encoder, &e->out, w->log);
    if (!error)
        error = kz_engine_upscaler(&w->upscaler, &w->engine, o, &e->in, &e->out, w->params->stop,
                                   w->log);
    if (!error)
        error = choose_encoder(w);
    if (error)
        return error;
    e->memory = kz_job_memory(o, w->upscaler, &e->in, &e->out, &e->encoder);
    e->precision = kz_upscaler_get_info(w->upscaler).precision;
    e->model = kz_strdup(w->engine.model->info.name);
    memcpy(e->model_note, w->engine.model_note, sizeof(e->model_note));
    e->device = kz_asprintf("%s%s", w->engine.backend->describe(w->engine.device), w->engine.note);
    return e->model && e->device ? 0 : kz_fail_memory(w->log, "a description");
}

static void close_work(struct work *w)
{
    kz_upscaler_close(&w->upscaler);
    kz_engine_close(&w->engine);
    kz_decoder_close(&w->decoder);
    kz_input_close(&w->input);
}

/* ---- network ---- */

/* A picture for the network, which takes as long for any. */
struct canvas {
    kz_frame_pool *pools[2];
    kz_frame *in, *out;
};

static void close_canvas(struct canvas *c)
{
    kz_frame_close(&c->in);
    kz_frame_close(&c->out);
    kz_frame_pool_close(&c->pools[0]);
    kz_frame_pool_close(&c->pools[1]);
}

static void blacken(kz_picture picture)
{
    for (int i = 0; i < picture.planes; i++)
        for (int y = 0; y < picture.plane[i].height; y++)
            memset(kz_plane_row(&picture.plane[i], y), 0,
                   (size_t)picture.plane[i].width * (size_t)picture.plane[i].bytes);
}

static int open_canvas(struct canvas *c, const kz_video_format *in, const kz_video_format *out,
                       kz_log *log)
{
    int error = kz_frame_pool_open(&c->pools[0], in, log);
    if (!error)
        error = kz_frame_pool_open(&c->pools[1], out, log);
    if (!error)
        error = kz_frame_pool_get(c->pools[0], &c->in, NULL);
    if (!error)
        error = kz_frame_pool_get(c->pools[1], &c->out, NULL);
    if (!error)
        blacken(kz_frame_picture(c->in));
    return error;
}

static int time_run(kz_upscaler *upscaler, const struct canvas *c, kz_cost *cost)
{
    const kz_picture from = kz_frame_picture(c->in), to = kz_frame_picture(c->out);
    const kz_cost start = kz_cost_begin();
    const int error = kz_upscaler_run(upscaler, &from, &to);
    *cost = kz_cost_since(start);
    return error;
}

/* Of a few runs the fastest: what disturbs one makes it slower. The first counts only where there
 * is no time for more. */
static int time_upscaler(kz_upscaler *upscaler, const kz_video_format *in,
                         const kz_video_format *out, struct network *cost, kz_log *log)
{
    struct canvas c = {0};
    const double began = kz_now();
    int error = open_canvas(&c, in, out, log);
    for (int i = 0; i <= MOST_RUNS && !error; i++) {
        kz_cost run;
        kz_upscaler_begin(upscaler); /* or it would know the picture */
        error = time_run(upscaler, &c, &run);
        if (i <= 1 || run.seconds < cost->all.seconds)
            cost->all = run;
        if (kz_now() - began + run.seconds > RUN_SECONDS)
            break;
    }
    cost->still = cost->all;
    if (!error && kz_upscaler_get_stats(upscaler).frames)
        error = time_run(upscaler, &c, &cost->still);
    close_canvas(&c);
    return error;
}

/* What is done one after the other, and all of it. */
struct load {
    double busiest, all;
};

static struct load load_of(const kz_upscaler *upscaler)
{
    const kz_upscaler_info u = kz_upscaler_get_info(upscaler);
    const int tiles = kz_tiling_count(&u.tiling);
    const int rounds = (tiles + u.tiles_at_once - 1) / u.tiles_at_once;
    return (struct load){u.macs / tiles * rounds, u.macs};
}

static int reduced(int length, int divisor)
{
    const int part = length / divisor / 8 * 8;
    return part >= 16 ? part : length < 16 ? length : 16;
}

/* `out` at the ratio of the two others. */
static int like(int out, int part, int whole)
{
    const int length = (int)((int64_t)out * part / whole) / 4 * 4;
    return part == whole ? out : length > 4 ? length : 4;
}

/* Times the network on a smaller picture and tells from it what a whole one takes. */
static int time_part(struct work *w, int divisor, struct network *cost)
{
    kz_video_format in = w->estimate->in, out = w->estimate->out;
    kz_upscaler *upscaler = NULL;
    in.width = reduced(in.width, divisor);
    in.height = reduced(in.height, divisor);
    out.width = like(out.width, in.width, w->estimate->in.width);
    out.height = like(out.height, in.height, w->estimate->in.height);
    int error = kz_engine_upscaler(&upscaler, &w->engine, w->params->options, &in, &out,
                                   w->params->stop, w->log);
    if (!error)
        error = time_upscaler(upscaler, &in, &out, cost, w->log);
    if (!error) {
        const struct load part = load_of(upscaler), whole = load_of(w->upscaler);
        cost->all.seconds *= whole.busiest / part.busiest;
        cost->all.cpu *= whole.all / part.all;
        cost->still.seconds *= whole.all / part.all; /* about as its area */
        cost->still.cpu *= whole.all / part.all;
    }
    kz_upscaler_close(&upscaler);
    return error;
}

/* A small part first: a whole picture may take minutes. */
static int time_network(struct work *w)
{
    const kz_estimate *e = w->estimate;
    struct network *cost = &w->network;
    int error = time_part(w, 8, cost);
    const double seconds = cost->all.seconds;
    if (!error && seconds * 2 < RUN_SECONDS)
        error = time_upscaler(w->upscaler, &e->in, &e->out, cost, w->log);
    else if (!error && seconds / 16 * 2 < RUN_SECONDS)
        error = time_part(w, seconds / 4 * 2 < RUN_SECONDS ? 2 : 4, cost);
    return error;
}

/* What reuse leaves of the network's time. */
static kz_cost mixed(const struct network *n, double computed)
{
    return (kz_cost){
        n->still.seconds + computed * fmax(n->all.seconds - n->still.seconds, 0),
        n->still.cpu + computed * fmax(n->all.cpu - n->still.cpu, 0),
    };
}

/* ---- the rest ---- */

static int sample(struct work *w, kz_sample *s)
{
    kz_estimate *e = w->estimate;
    const kz_sample_params params = {.options = w->params->options,
                                     .input = w->params->input,
                                     .output = w->params->output,
                                     .stop = w->params->stop,
                                     .engine = &w->engine,
                                     .in = e->in,
                                     .out = e->out,
                                     .encoder = e->encoder,
                                     .upscaler = w->upscaler,
                                     .network_seconds = w->network.all.seconds,
                                     .frames = e->frames};
    int error = kz_sample_take(s, &params, w->log);
    if (error)
        return error;
    e->computed = s->computed;
    e->stage[KZ_STAGE_UPSCALE] = mixed(&w->network, s->computed);
    e->stage[KZ_STAGE_DECODE] = s->decode;
    e->stage[KZ_STAGE_ENCODE] = s->encode;
    e->stage[KZ_STAGE_CHECK] = s->check;
    if (s->encode.seconds <= 0)
        e->stage[KZ_STAGE_ENCODE].seconds = s->encode.cpu / e->processors;
    e->stage[KZ_STAGE_CHECK].seconds /= kz_check_threads();
    e->sampled = s->frames;
    e->share = s->share;
    return 0;
}

/* The stages run at once: a frame takes as long as the slowest stage, or as the processors need for
 * the work of all. */
static void combine(kz_estimate *e)
{
    double cpu = 0;
    enum kz_stage slowest = KZ_STAGE_DECODE, dearest = KZ_STAGE_DECODE;
    for (int s = 0; s < KZ_STAGES; s++) {
        cpu += e->stage[s].cpu;
        if (e->stage[s].seconds > e->stage[slowest].seconds)
            slowest = (enum kz_stage)s;
        if (e->stage[s].cpu > e->stage[dearest].cpu)
            dearest = (enum kz_stage)s;
    }
    const bool busy = cpu / e->processors >= e->stage[slowest].seconds;
    e->seconds_per_frame = busy ? cpu / e->processors : e->stage[slowest].seconds;
    e->bottleneck = busy ? dearest : slowest;
}

static void add_up(kz_estimate *e, const kz_sample *s)
{
    const double frames = (double)e->frames;
    e->bytes_per_frame = s->other + (s->first - s->other) / KEY_FRAME_EVERY + s->copied;
    if (!e->frames)
        return;
    e->seconds = e->startup + frames * e->seconds_per_frame;
    e->bytes = (int64_t)(frames * e->bytes_per_frame + s->first - s->other);
}

int kz_estimate_make(kz_estimate *estimate, const kz_estimate_params *params, kz_log *log)
{
    struct work w = {.params = params, .log = log, .estimate = estimate};
    const double began = kz_now();
    kz_sample s;
    *estimate = (kz_estimate){.processors = kz_cpu_count(),
                              .encoder = kz_job_encoder(params->options, params->output)};
    int error = kz_estimate_check_input(params->input, log);
    if (!error)
        error = open_input(&w);
    if (!error)
        error = open_engine(&w);
    estimate->startup = kz_now() - began;
    if (!error)
        error = time_network(&w);
    if (!error)
        error = sample(&w, &s);
    if (!error) {
        combine(estimate);
        add_up(estimate, &s);
    }
    close_work(&w);
    estimate->encoder.context = NULL; /* it went with the device */
    estimate->probed = kz_now() - began;
    return error;
}

void kz_estimate_close(kz_estimate *estimate)
{
    kz_free(estimate->described);
    kz_free(estimate->model);
    kz_free(estimate->device);
    *estimate = (kz_estimate){0};
}
