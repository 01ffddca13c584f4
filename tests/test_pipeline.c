/* Whole runs with the reference back end, a tiny network and ffv1: order, ends, failures of every
 * stage, cancelling. Runs under ThreadSanitizer too, so nothing here uses OpenMP. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "media/queue.h"
#include "model/rewrite.h"
#include "pipeline/pipeline.h"
#include "pipeline/position.h"
#include "random_graph.h"

/* ---- a run ---- */

struct run {
    const char *in, *codec, *x265_params;
    int frames;    /* to take at most, 0: all */
    int fail_at;   /* tile run that the network fails at, 0: never */
    int cancel_at; /* tile run at which somebody presses Ctrl-C */
    bool fill_disk;
    bool segments; /* what is finished stays, and a run goes on with it */
    int result;
    kz_progress last;
    char *text; /* what was said */
    size_t size;
};

/* A back end that does nothing but count, and fails when told to: the device that tests need. */
struct faulty {
    kz_backend table;
    int runs, fail_at, cancel_at;
    atomic_bool *stop;
};

static struct faulty faulty;

static int faulty_run(kz_plan *plan, const kz_run *run)
{
    faulty.runs++;
    if (faulty.runs == faulty.cancel_at)
        atomic_store(faulty.stop, true);
    if (faulty.runs == faulty.fail_at)
        return KZ_ERROR_FAILED;
    return kz_backend_reference.run(plan, run);
}

static const char *folder(void)
{
    static char path[64] = "/tmp/kz-pipeline-XXXXXX";
    static bool made;
    if (!made)
        CHECK(mkdtemp(path));
    made = true;
    return path;
}

static char *in_folder(const char *name)
{
    char *path = kz_asprintf("%s/%s", folder(), name);
    CHECK(path);
    return path;
}

static void shell(const char *format, const char *argument)
{
    char inner[600], command[800];
    snprintf(inner, sizeof(inner), format, argument);
    snprintf(command, sizeof(command), "cd %s && { %s; } </dev/null", folder(), inner);
    if (system(command) != 0)
        check_failed("command failed: %s", inner);
}

static kz_upscale_side side(const kz_video_format *f)
{
    return (kz_upscale_side){f->width,   f->height, f->planes,     f->shift_x,
                             f->shift_y, f->depth,  f->full_range, f->site};
}

struct parts {
    kz_input *input;
    kz_decoder *decoder;
    kz_device *device;
    kz_upscaler *upscaler;
    kz_output *output;
    kz_graph *graph;
    kz_journal *journal;
    kz_input *source;
    kz_frame *first;
    atomic_bool stop;
};

static int open_upscaler(struct parts *p, const kz_video_format *in, const kz_video_format *out,
                         kz_log *log)
{
    kz_device_params device = {.threads = 2};
    p->graph = random_srvgg(1, 4, 2, 1);
    faulty.table = kz_backend_reference;
    faulty.table.run = faulty_run;
    faulty.stop = &p->stop;
    int error = faulty.table.open(&p->device, &device, log);
    kz_upscaler_params params = {.backend = &faulty.table,
                                 .device = p->device,
                                 .graph = p->graph,
                                 .luma = in->luma,
                                 .in = side(in),
                                 .out = side(out),
                                 .tile = 32,
                                 .halo = 3,
                                 .cancel = &p->stop};
    return error ? error : kz_upscaler_open(&p->upscaler, &params, log);
}

/* The journal, and the input as far as an earlier run came. */
static int open_journal(struct parts *p, const kz_input_params *in, const char *out,
                        kz_pipeline_params *params, kz_log *log)
{
    int error = kz_journal_open(&p->journal, out, log);
    if (!error && kz_journal_is_empty(p->journal))
        error = kz_journal_begin(p->journal, NULL, 0);
    if (!error)
        error = kz_input_open(&p->source, in, log);
    kz_position position = {.input = p->input, .decoder = p->decoder, .journal = p->journal};
    if (!error)
        error = kz_position_go(&position, true, log);
    p->first = position.first;
    params->journal = p->journal;
    params->source = p->source;
    params->first = p->first;
    params->frames_before = kz_journal_frames(p->journal);
    return error;
}

static int run_parts(struct parts *p, struct run *run, kz_log *log)
{
    char *out = in_folder("out.mkv"), *part = in_folder(".out.mkv.kizuna/output");
    kz_input_params in = {.path = run->in, .cancel = &p->stop};
    kz_output_params output = {.path = out,
                               .overwrite = true,
                               .spill_bytes = 1 << 20,
                               .part = run->segments ? part : NULL};
    kz_pipeline_params params = {.max_frames = run->frames,
                                 .stop = &p->stop,
                                 .encoder = {.codec = run->codec ? run->codec : "ffv1",
                                             .crf = -1,
                                             .x265_params = run->x265_params}};
    int error = kz_input_open(&p->input, &in, log);
    if (!error)
        error = kz_decoder_open(&p->decoder, p->input, &(kz_decoder_params){.threads = 1}, log);
    if (!error && run->segments)
        error = open_journal(p, &in, out, &params, log);
    if (!error)
        error = kz_output_open(&p->output, &output, p->source ? p->source : p->input,
                               params.encoder.codec, log);
    if (!error) {
        params.out_format = *kz_input_format(p->input);
        params.out_format.width *= 2;
        params.out_format.height *= 2;
        error = open_upscaler(p, kz_input_format(p->input), &params.out_format, log);
    }
    if (!error) {
        params.encoder.global_header = kz_output_needs_global_header(p->output);
        params.input = p->input;
        params.decoder = p->decoder;
        params.upscaler = p->upscaler;
        params.output = p->output;
        error = kz_pipeline_run(&params, &run->last, log);
    }
    kz_free(out);
    kz_free(part);
    return error;
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void run_pipeline(struct run *run)
{
    struct parts p = {0};
    kz_log *log;
    FILE *stream = open_memstream(&run->text, &run->size);
    CHECK(stream && kz_log_open(&log, stream, KZ_LOG_INFO) == 0);
    faulty = (struct faulty){.fail_at = run->fail_at, .cancel_at = run->cancel_at};
    if (run->fill_disk)
        limit_file_size(20000);
    run->result = run_parts(&p, run, log);
    if (run->fill_disk)
        limit_file_size(RLIM_INFINITY);
    kz_output_close(&p.output);
    kz_decoder_close(&p.decoder);
    kz_upscaler_close(&p.upscaler);
    if (p.device)
        kz_backend_reference.close(&p.device);
    kz_graph_close(&p.graph);
    kz_frame_close(&p.first);
    kz_input_close(&p.input);
    kz_input_close(&p.source);
    kz_journal_close(&p.journal);
    kz_log_close(&log);
    fclose(stream);
}

/* Nothing that looks finished, nothing half-finished, may be left. */
static void check_nothing_left(void)
{
    shell("test -z \"$(ls -A | grep -v '^clip')\"%s", "");
}

static void check_failure(struct run run, int code, const char *message)
{
    run_pipeline(&run);
    if (run.result != code)
        check_failed("result %d, not %d: %s", run.result, code, run.text);
    int lines = 0;
    for (const char *c = run.text; *c; c++)
        lines += *c == '\n';
    if (!strstr(run.text, message) || lines != (*message ? 1 : 0))
        check_failed("not the one line '%s': %s", message, run.text);
    free(run.text);
    check_nothing_left();
}

static char *clip(void)
{
    char *path = in_folder("clip.mkv");
    if (access(path, F_OK) != 0)
        shell("ffmpeg -v error -f lavfi -i testsrc2=size=70x50:rate=25 -f lavfi -i sine -t 1.2 "
              "-pix_fmt yuv420p -c:v libx264 -bf 2 -g 8 -c:a flac %s",
              "clip.mkv");
    return path;
}

/* ---- cases ---- */

static void every_frame_comes_out(void)
{
    struct run run = {.in = clip()};
    run_pipeline(&run);
    if (run.result)
        check_failed("%s", run.text);
    CHECK(run.last.stage[KZ_STAGE_DECODE].frames == 30);
    CHECK(run.last.stage[KZ_STAGE_UPSCALE].frames == 30);
    CHECK(run.last.packets == 30 && run.last.bytes > 0);
    shell("test $(ffprobe -v error -count_frames -select_streams v -show_entries "
          "stream=nb_read_frames -of csv=p=0 out.mkv) = 30%s",
          "");
    shell("test \"$(ffmpeg -v error -i clip.mkv -map 0:a -c copy -f md5 -)\" = "
          "\"$(ffmpeg -v error -i out.mkv -map 0:a -c copy -f md5 -)\"%s",
          "");
    free(run.text);
    kz_free((char *)run.in);
    shell("rm out.mkv%s", "");
}

static void a_number_of_frames_is_kept(void)
{
    struct run run = {.in = clip(), .frames = 7};
    run_pipeline(&run);
    CHECK(run.result == 0 && run.last.packets == 7);
    free(run.text);
    kz_free((char *)run.in);
    shell("rm out.mkv%s", "");
}

static void a_failing_network_stops_the_rest(void)
{
    static const int moments[] = {1, 2, 7, 30};
    char *in = clip();
    for (int i = 0; i < 4; i++)
        check_failure((struct run){.in = in, .fail_at = moments[i]}, KZ_ERROR_FAILED,
                      "the network failed on");
    kz_free(in);
}

static void a_full_disk_stops_the_rest(void)
{
    char *in = clip();
    check_failure((struct run){.in = in, .fill_disk = true}, KZ_ERROR_FAILED, "out.mkv: ");
    kz_free(in);
}

static void an_encoder_that_wont_open_stops_the_rest(void)
{
    char *in = clip();
    check_failure((struct run){.in = in, .x265_params = "crf=18"}, KZ_ERROR_USAGE, "x265");
    kz_free(in);
}

static void a_video_without_frames_is_an_error(void)
{
    shell("ffmpeg -v error -y -i clip.mkv -map 0 -c copy -bsf:v noise=drop=1 clip-empty.mkv%s", "");
    char *in = in_folder("clip-empty.mkv");
    struct run run = {.in = in};
    run_pipeline(&run);
    if (run.result != KZ_ERROR_FAILED)
        check_failed("result %d: %s", run.result, run.text);
    free(run.text);
    kz_free(in);
    check_nothing_left();
}

static void cancelling_leaves_nothing(void)
{
    char *in = clip();
    for (int at = 1; at < 30; at += 7)
        check_failure((struct run){.in = in, .cancel_at = at}, KZ_ERROR_CANCELLED, "");
    kz_free(in);
}

/* Scenes change at 5 and 10 s. A run whose network fails at frame 200, one that fails at frame 255,
 * and one that doesn't make the same file as one run. */
static void a_run_goes_on(void)
{
    char *in = in_folder("clip-long.mkv");
    shell(
        "ffmpeg -v error -f lavfi -i testsrc2=size=48x32:rate=25:duration=11 -f lavfi -i sine=d=11 "
        "-vf \"negate=enable='between(t,5,10)'\" -c:v libx264 -bf 2 -g 20 -c:a flac %s",
        "clip-long.mkv");
    struct run whole = {.in = in, .segments = true, .frames = 262};
    run_pipeline(&whole);
    if (whole.result)
        check_failed("%s", whole.text);
    CHECK(whole.last.packets == 262 && whole.last.before == 0);
    shell("mv out.mkv clip-whole.mkv%s", "");
    for (int part = 0; part < 3; part++) {
        struct run run = {.in = in,
                          .segments = true,
                          .frames = 262,
                          .fail_at = part == 0   ? 200
                                     : part == 1 ? 57
                                                 : 0};
        run_pipeline(&run);
        if (run.result != (part < 2 ? KZ_ERROR_FAILED : 0))
            check_failed("part %d: result %d after %lld: %s", part, run.result,
                         (long long)run.last.before, run.text);
        /* No frame that was computed is computed again. */
        CHECK(run.last.before + run.last.kept == (part == 0 ? 0 : part == 1 ? 199 : 255));
        free(run.text);
    }
    shell("cmp out.mkv clip-whole.mkv && rm out.mkv && test ! -e .out.mkv.kizuna%s", "");
    free(whole.text);
    kz_free(in);
}

static void the_folder_goes(void)
{
    shell("rm -rf %s", folder());
}

static void push_packet(kz_queue *queue, int stream, int64_t time, int size)
{
    AVPacket *av = av_packet_alloc();
    kz_packet *packet;
    CHECK(av && av_new_packet(av, size) == 0);
    av->stream_index = stream;
    av->dts = time;
    CHECK(kz_packet_wrap(&packet, av, (AVRational){1, 1000}) == 0);
    kz_queue_push(queue, packet);
    av_packet_free(&av);
}

/* What waits is bounded by the memory it takes, of which small packets need more than they hold. */
static void waiting_packets_are_bounded(void)
{
    kz_queue *queue = NULL;
    CHECK(kz_queue_open(&queue, 2) == 0);
    for (int i = 0; i < 1000; i++)
        push_packet(queue, i % 2, i, 4);
    CHECK(kz_queue_take_excess(queue, 1000 * 1000) == NULL);
    int taken = 0;
    for (kz_packet *packet; (packet = kz_queue_take_excess(queue, 50 * 1000)); taken++) {
        CHECK(packet->av->dts == taken);
        kz_packet_close(&packet);
    }
    CHECK(taken > 500 && taken < 1000);
    kz_queue_close(&queue);
}

static const struct check_case cases[] = {
    {"every frame comes out", every_frame_comes_out},
    {"a number of frames is kept", a_number_of_frames_is_kept},
    {"a failing network stops the rest", a_failing_network_stops_the_rest},
    {"a full disk stops the rest", a_full_disk_stops_the_rest},
    {"an encoder that won't open stops the rest", an_encoder_that_wont_open_stops_the_rest},
    {"a video without frames is an error", a_video_without_frames_is_an_error},
    {"cancelling leaves nothing", cancelling_leaves_nothing},
    {"a run goes on", a_run_goes_on},
    {"the folder goes", the_folder_goes},
    {"waiting packets are bounded", waiting_packets_are_bounded},
};

CHECK_MAIN(cases)
