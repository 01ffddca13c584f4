#include "job/encoder.h"

#include <stdio.h>
#include <string.h>

#define USUAL "libx265"
#define USUAL_PRESET "medium"
#define ON_GPU "hevc_nvenc"

/* Without a quality NVENC takes 2 Mbit/s for any picture. Its scale is like x265's. */
enum { QUALITY = 18 };

static bool is_auto(const kz_job_options *o)
{
    return strcmp(o->encoder, KZ_ENCODER_AUTO) == 0;
}

static bool takes_presets(const char *encoder)
{
    return strcmp(encoder, "libx265") == 0 || strcmp(encoder, "libx264") == 0;
}

/* kizuna's presets speak x265's language; other encoders get only what was given by hand. Raw video
 * has no presets and no quality, whatever was asked for HEVC. */
kz_encoder_params kz_job_encoder(const kz_job_options *o, const char *output)
{
    const char *name = is_auto(o) ? USUAL : o->encoder;
    const char *codec = output ? kz_output_encoder(output, o->format, name) : name;
    if (strcmp(codec, name) != 0)
        return (kz_encoder_params){.codec = codec, .crf = -1, .choice = {.drop = o->drop}};
    bool x26x = takes_presets(name);
    kz_encoder_params params = {
        .codec = name, .crf = -1, .x265_params = o->x265_params, .choice = {.drop = o->drop}};
    if (x26x || o->from_user_crf)
        params.crf = x26x && o->crf < 0 ? QUALITY : o->crf;
    else if (kz_encoder_is_nvenc(name))
        params.crf = QUALITY;
    if (x26x || o->from_user_encoder_preset)
        params.preset = x26x && !o->encoder_preset ? USUAL_PRESET : o->encoder_preset;
    return params;
}

/* ---- where nothing is said ---- */

static bool runs_on_cuda(const kz_engine *engine)
{
    return strcmp(engine->backend->name, "cuda") == 0;
}

/* Of x265's speeds the usual one is in the default preset, and says nothing. */
static bool speaks_x265(const kz_job_options *o)
{
    return o->x265_params || o->from_user_encoder_preset ||
           (o->encoder_preset && strcmp(o->encoder_preset, USUAL_PRESET) != 0);
}

static int refuse(char *why, size_t size, const char *text)
{
    snprintf(why, size, "%s", text);
    return KZ_ERROR_FAILED;
}

/* libx265 writes where chroma lies and HDR10's metadata into the video itself; libav's NVENC
 * doesn't, and only frames would tell for sure that there are none. */
static int try_nvenc(const kz_encoder_params *params, const kz_encoder_question *q, char *why,
                     size_t size)
{
    if (speaks_x265(q->options))
        return refuse(why, size, "parameters or a speed of its own are set");
    if (kz_input_is_hdr(q->input))
        return refuse(why, size, "NVENC doesn't keep HDR's metadata");
    if (q->out->shift_y && q->out->site != KZ_SITE_LEFT)
        return refuse(why, size, "NVENC doesn't keep where chroma lies");
    if (!params->context)
        return refuse(why, size, "this back end shares no CUDA context with NVENC");
    return kz_encoder_try(params, q->out, why, size);
}

/* Of what presets say the quality alone holds for NVENC, too. */
static kz_encoder_params nvenc_params(const kz_encoder_params *usual, const kz_engine *engine)
{
    const kz_backend *backend = engine->backend;
    return (kz_encoder_params){.codec = ON_GPU,
                               .crf = usual->crf,
                               .choice = usual->choice,
                               .context =
                                   backend->context ? backend->context(engine->device) : NULL};
}

static int lost(const kz_encoder_question *q, const char *why, kz_log *log)
{
    return kz_fail(log, KZ_ERROR_USAGE,
                   "%s: an unfinished run of it differs: encoder was %s, is %s: %s; --restart "
                   "begins anew",
                   q->output, q->before, USUAL, why);
}

int kz_job_choose_encoder(kz_encoder_params *params, char note[KZ_ENCODER_NOTE_SIZE],
                          const kz_encoder_question *q, kz_log *log)
{
    char why[KZ_ENCODER_NOTE_SIZE - 40];
    note[0] = '\0';
    if (!is_auto(q->options) || !runs_on_cuda(q->engine) || strcmp(params->codec, USUAL) != 0)
        return 0;
    const kz_encoder_params nvenc = nvenc_params(params, q->engine);
    if (q->before && strcmp(q->before, ON_GPU) != 0)
        snprintf(why, sizeof(why), "the unfinished run began with it");
    else if (try_nvenc(&nvenc, q, why, sizeof(why)) == 0)
        *params = nvenc;
    else if (q->before)
        return lost(q, why, log);
    if (params->context)
        snprintf(why, sizeof(why), "this GPU has NVENC");
    snprintf(note, KZ_ENCODER_NOTE_SIZE, "%s: %s", params->codec, why);
    return 0;
}
