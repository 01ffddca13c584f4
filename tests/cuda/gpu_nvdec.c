/* NVDEC's pictures against software's, on the host and as the kernels see them where they lie; how
 * many surfaces it bears, how fast it is: the parts nvdec, surfaces and decoding. */
#include <libavutil/md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gpu_media.h"
#include "media/gpu.h"
#include "pipeline/pipeline.h"

enum { CHANNELS = 16, MOST_HELD = 64 };

/* ---- pictures on the host ---- */

static void hash_picture(const kz_picture *p, char hash[HASH])
{
    struct AVMD5 *md5 = av_md5_alloc();
    uint8_t digest[16];
    if (!md5)
        stop("memory", "short");
    av_md5_init(md5);
    for (int i = 0; i < p->planes; i++)
        for (int y = 0; y < p->plane[i].height; y++)
            av_md5_update(md5, kz_plane_row(&p->plane[i], y),
                          (size_t)p->plane[i].width * (size_t)p->plane[i].bytes);
    av_md5_final(md5, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(hash + 2 * i, 3, "%02x", digest[i]);
    av_free(md5);
}

/* ---- pictures as the kernels see them ---- */

/* What reads a picture on the device, of which the film's are. */
struct eyes {
    kz_device *device;
    kz_plan *plan;
    kz_tiling tiling;
    kz_resampler *resamplers[3];
};

static void open_eyes(struct eyes *eyes, kz_device *device, const kz_video_format *format,
                      kz_log *log)
{
    const kz_plan_params params = {format->width, format->height, KZ_PRECISION_FP16};
    kz_graph *graph = small_graph(CHANNELS);
    *eyes = (struct eyes){.device = device,
                          .tiling = whole((struct size){format->width, format->height})};
    if (kz_backend_cuda.compile(device, &eyes->plan, graph, &params, log))
        stop("can't be compiled", "a random network");
    kz_graph_close(&graph);
    for (int i = 0; i < 3; i++) {
        const int width = i ? AV_CEIL_RSHIFT(format->width, format->shift_x) : format->width;
        const int height = i ? AV_CEIL_RSHIFT(format->height, format->shift_y) : format->height;
        const kz_resample_params centred =
            kz_resample_centred(width, height, 2 * width, 2 * height);
        if (kz_resample_open(&eyes->resamplers[i], &centred))
            stop("memory", "short");
    }
}

static void close_eyes(struct eyes *eyes)
{
    kz_backend_cuda.close_plan(&eyes->plan);
    for (int i = 0; i < 3; i++)
        kz_resample_close(&eyes->resamplers[i]);
}

/* A plane twice as large, scaled, or by the network. */
static kz_plane looked_at(const struct eyes *eyes, const kz_plane *p, int i, bool network)
{
    kz_plane out = open_plane(times((struct size){p->width, p->height}, 2), p->bytes, p->depth);
    const kz_levels levels = kz_luma_levels(p->depth, true);
    const int error =
        network ? run_tiles(&kz_backend_cuda, eyes->plan, &eyes->tiling, p, &out)
                : kz_backend_cuda.scale(eyes->device, eyes->resamplers[i], p, levels, &out, levels);
    if (error || kz_backend_cuda.wait(eyes->device, 0))
        stop("a picture can't be computed", kz_backend_cuda.error(eyes->device));
    return out;
}

/* The same bits from the device's samples alone as from the host's. */
static bool is_one(const struct eyes *eyes, const kz_plane *plane, int i, bool network)
{
    kz_plane host = *plane, there = open_plane((struct size){plane->width, plane->height},
                                               plane->bytes, plane->depth);
    host.there.data = NULL;
    there.there = plane->there;
    kz_plane a = looked_at(eyes, &host, i, network), b = looked_at(eyes, &there, i, network);
    const bool one = memcmp(a.data, b.data, samples_of(&a) * (size_t)a.bytes) == 0;
    kz_free(there.data);
    kz_free(a.data);
    kz_free(b.data);
    return one;
}

static bool is_seen(const struct eyes *eyes, const kz_frame *frame, bool network)
{
    const kz_picture p = kz_frame_picture(frame);
    bool seen = frame->there && (!network || is_one(eyes, &p.plane[0], 0, true));
    for (int i = 0; i < p.planes && seen; i++)
        seen = is_one(eyes, &p.plane[i], i, false);
    return seen;
}

/* ---- a film's pictures ---- */

struct look {
    const struct film *film;
    const struct eyes *eyes;   /* NULL: on the host alone */
    int frames, equal;         /* given; as software's */
    int there, seen;           /* on the device, too; read by kernels as what the host has */
    kz_frame *held[MOST_HELD]; /* the first of those on the device */
    int n_held, most_held;
    char why[400]; /* there aren't more; "": they are all */
};

static void look_at(void *context, AVFrame *host, AVFrame *there)
{
    struct look *l = context;
    char hash[HASH];
    const kz_frame frame = {.av = host, .there = there->buf[0] ? there : NULL};
    const kz_picture picture = kz_frame_picture(&frame);
    hash_picture(&picture, hash);
    l->equal += strcmp(hash, l->film->hashes[l->frames % l->film->n]) == 0;
    l->there += frame.there != NULL;
    l->seen += l->eyes && is_seen(l->eyes, &frame, l->frames < FEW);
    l->frames++;
    if (frame.there && l->n_held < l->most_held &&
        (kz_frame_wrap(&l->held[l->n_held], host) || kz_frame_place(l->held[l->n_held++], there)))
        stop("memory", "short");
}

/* What was held all the while is what it was: those for which it isn't so. */
static int let_go(struct look *l)
{
    int changed = 0;
    while (l->n_held) {
        changed += !is_seen(l->eyes, l->held[--l->n_held], false);
        kz_frame_close(&l->held[l->n_held]);
    }
    return changed;
}

/* By NVDEC alone; so many pictures are held at a time, the one being looked at among them. Whether
 * they stayed as they were. */
static bool by_nvdec(struct look *l, void *context, int held, int loops)
{
    struct decoder d = {0};
    l->most_held = held - 1;
    if (kz_nvdec_open(&d.nvdec, l->film->input, context, held, l->why, sizeof(l->why)) == 0) {
        const int code = decode(&d, l->film, loops, look_at, l);
        if (code < 0)
            snprintf(l->why, sizeof(l->why), "%s",
                     kz_av_reason_of(code, kz_nvdec_note(d.nvdec)).text);
    }
    kz_nvdec_close(&d.nvdec);
    plain(l->why);
    return let_go(l) == 0;
}

/* As a run decodes: by software, or beside it at first where there is a context. */
static void by_codec(struct look *l, void *context, kz_log *log)
{
    struct decoder d = {0};
    if (kz_codec_open(&d.codec, l->film->input, 1, log))
        stop("no decoder", l->film->name);
    if (context)
        kz_codec_accelerate(d.codec, context, KZ_DECODED_FRAMES);
    const int code = decode(&d, l->film, 1, look_at, l);
    if (code < 0)
        snprintf(l->why, sizeof(l->why), "%s", av_err2str(code));
    kz_codec_close(&d.codec);
}

/* ---- part: nvdec ---- */

static bool is_whole(const struct look *l, int loops)
{
    return !l->why[0] && l->equal == l->frames && l->frames == l->film->n * loops;
}

static bool is_refused(const struct look *l)
{
    return l->why[0] && l->equal == l->frames;
}

/* `what` as the list of films has it. */
static bool is_as_told(const char *what, const struct look *alone, const struct look *run)
{
    if (strcmp(what, "refused") == 0)
        return is_refused(alone) && !alone->frames && !run->there;
    if (strcmp(what, "either") == 0 && is_refused(alone))
        return true;
    return is_whole(alone, 1) && alone->seen == alone->frames && run->there;
}

/* Libav's words for a GPU that has no NVDEC, or not for this. */
static bool is_lacking(const struct look *l)
{
    return strstr(l->why, "lacking required capabilities");
}

/* STEM same|either|refused */
int part_nvdec(char **arguments, kz_log *log)
{
    struct film film;
    struct eyes eyes;
    want_library("libnvcuvid.so.1");
    open_film(&film, arguments[0], log);
    kz_device *device = open_device(&kz_backend_cuda, log);
    void *context = kz_backend_cuda.context(device);
    const kz_video_format *format = kz_input_format(film.input);
    open_eyes(&eyes, device, format, log);
    struct look software = {.film = &film}, run = {.film = &film};
    struct look alone = {.film = &film, .eyes = &eyes};
    by_codec(&software, NULL, log);
    const bool kept = by_nvdec(&alone, context, KZ_DECODED_FRAMES, 1);
    by_codec(&run, context, log);
    const char *what = is_lacking(&alone) ? "either" : arguments[1];
    const bool ok =
        kept && is_whole(&software, 1) && is_whole(&run, 1) && is_as_told(what, &alone, &run);
    printf("{\"kind\":\"nvdec\",\"film\":\"%s\",\"size\":\"%dx%d\",\"pixels\":\"%s\",\"what\":"
           "\"%s\",\"frames\":%d,\"software\":%d,\"nvdec\":%d,\"seen\":%d,\"held\":%s,"
           "\"run\":%d,\"there\":%d,\"why\":\"%s\",\"ok\":%s}\n",
           film.name, format->width, format->height, format->pixel_name, arguments[1], film.n,
           software.equal, alone.equal, alone.seen, kept ? "true" : "false", run.equal, run.there,
           alone.why, ok ? "true" : "false");
    close_eyes(&eyes);
    kz_backend_cuda.close(&device);
    close_film(&film);
    if (ok && is_lacking(&alone))
        fprintf(stderr, "this GPU's NVDEC lacks it: %s\n", alone.why);
    return !ok ? 1 : is_lacking(&alone) ? NO_DEVICE : 0;
}

/* ---- part: surfaces ---- */

/* STEM HELD: so many pictures are kept all the while, where NVDEC bears it. */
int part_surfaces(char **arguments, kz_log *log)
{
    const int held = atoi(arguments[1]);
    struct film film;
    struct eyes eyes;
    want_library("libnvcuvid.so.1");
    open_film(&film, arguments[0], log);
    if (held < 1 || held > MOST_HELD)
        stop("not a number of pictures", arguments[1]);
    kz_device *device = open_device(&kz_backend_cuda, log);
    open_eyes(&eyes, device, kz_input_format(film.input), log);
    const int loops = held / film.n + 2;
    struct look l = {.film = &film, .eyes = &eyes};
    const bool kept = by_nvdec(&l, kz_backend_cuda.context(device), held, loops);
    const bool ok = kept && (is_whole(&l, loops) || is_refused(&l));
    printf("{\"kind\":\"surfaces\",\"film\":\"%s\",\"held\":%d,\"frames\":%d,\"why\":\"%s\","
           "\"ok\":%s}\n",
           film.name, held, l.frames, l.why, ok ? "true" : "false");
    close_eyes(&eyes);
    kz_backend_cuda.close(&device);
    close_film(&film);
    return ok ? 0 : 1;
}

/* ---- part: decoding ---- */

static enum AVPixelFormat choose_cuda(AVCodecContext *context, const enum AVPixelFormat *offered)
{
    (void)context;
    while (*offered != AV_PIX_FMT_NONE && *offered != AV_PIX_FMT_CUDA)
        offered++;
    return *offered;
}

/* NVDEC through libav with nothing around it. */
static AVCodecContext *open_bare(const struct film *film, void *context)
{
    const AVCodecParameters *par = kz_input_video_stream(film->input)->codecpar;
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    AVCodecContext *bare = avcodec_alloc_context3(codec);
    if (!bare || avcodec_parameters_to_context(bare, par) < 0 ||
        !(bare->hw_device_ctx = kz_av_gpu(context)))
        stop("no decoder", film->name);
    bare->get_format = choose_cuda;
    bare->thread_count = 1;
    if (avcodec_open2(bare, codec, NULL) < 0)
        stop("no decoder", film->name);
    return bare;
}

/* Frames. */
static int decode_bare(AVCodecContext *bare, const struct film *film, int loops)
{
    AVFrame *frame = av_frame_alloc();
    int frames = 0, code = 0;
    for (int i = 0; i <= film->n * loops && code >= 0; i++) {
        code = avcodec_send_packet(bare, i < film->n * loops ? film->packets[i % film->n] : NULL);
        while (code >= 0 && (code = avcodec_receive_frame(bare, frame)) >= 0)
            frames += frame->format == AV_PIX_FMT_CUDA;
        code = code == AVERROR(EAGAIN) ? 0 : code;
    }
    av_frame_free(&frame);
    return frames;
}

static void count(void *context, AVFrame *host, AVFrame *there)
{
    (void)host;
    *(int *)context += there->buf[0] != NULL;
}

static int say_speed(const struct film *film, const char *way, int frames, int loops,
                     double seconds)
{
    const kz_video_format *format = kz_input_format(film->input);
    const bool ok = frames == film->n * loops;
    printf("{\"kind\":\"decoding\",\"film\":\"%s\",\"size\":\"%dx%d\",\"pixels\":\"%s\",\"way\":"
           "\"%s\",\"frames\":%d,\"seconds\":%.6g,\"ok\":%s}\n",
           film->name, format->width, format->height, format->pixel_name, way, frames, seconds,
           ok ? "true" : "false");
    return ok ? 0 : 1;
}

/* STEM LOOPS: after one that isn't timed. */
int part_decoding(char **arguments, kz_log *log)
{
    const int loops = atoi(arguments[1]);
    struct film film;
    want_library("libnvcuvid.so.1");
    open_film(&film, arguments[0], log);
    if (loops < 1)
        stop("not a number of loops", arguments[1]);
    kz_device *device = open_device(&kz_backend_cuda, log);
    void *context = kz_backend_cuda.context(device);

    AVCodecContext *bare = open_bare(&film, context);
    decode_bare(bare, &film, 1);
    avcodec_flush_buffers(bare);
    double began = kz_now();
    int frames = decode_bare(bare, &film, loops);
    int failed = say_speed(&film, "alone", frames, loops, kz_now() - began);
    avcodec_free_context(&bare);

    struct decoder d = {0};
    char why[300] = "memory is short";
    if (kz_nvdec_open(&d.nvdec, film.input, context, KZ_DECODED_FRAMES, why, sizeof(why)))
        stop("no NVDEC", why);
    frames = 0;
    decode(&d, &film, 1, count, &frames);
    kz_nvdec_flush(d.nvdec);
    frames = 0;
    began = kz_now();
    decode(&d, &film, loops, count, &frames);
    failed |= say_speed(&film, "with a copy on the host", frames, loops, kz_now() - began);
    kz_nvdec_close(&d.nvdec);
    kz_backend_cuda.close(&device);
    close_film(&film);
    return failed;
}
