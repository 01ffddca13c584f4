#include "job/options.h"

#include <limits.h>

#include "job/auto.h"
#include "job/device.h"
#include "job/encoder.h"
#include "job/preset.h"

#define ROW(name_, letter_, type_, field_, ...)                      \
    {                                                                \
        .name = name_, .letter = letter_, .type = KZ_OPTION_##type_, \
        .offset = offsetof(kz_job_options, field_), __VA_ARGS__      \
    }

/* clang-format off */
static const kz_option rows[] = {
    ROW("output", 'o', STRING, output, .metavar = "FILE|DIR|-",
        .help = "where the result goes; - is standard output [STEM.4k.mkv beside\n"
                "the input; .mp4, .mov, .ts for an input of that kind]"),
    ROW("scale", 's', STRING, scale, .metavar = "SIZE", .initial = "4k",
        .help = "2, 3, 4, WxH, 720p, 1080p, 1440p, 4k or 8k: what fits inside, and for\n"
                "those with a name at most the network's own factor"),
    ROW("model", 'm', STRING, model, .metavar = "NAME|FILE", .initial = KZ_AUTO,
        .help = "network: see 'kizuna models', or a .param or .safetensors file; auto: the\n"
                "larger of kizuna's own where this machine runs it in real time, else the\n"
                "small one; on a GPU anime-6b; the presets but anime name another"),
    ROW("preset", 'p', STRING, preset, .metavar = "NAME|FILE", .initial = "anime",
        .help = "anime, fast, best, archive, or a JSON file"),
    ROW("encoder", 'e', STRING, encoder, .metavar = "NAME", .initial = KZ_ENCODER_AUTO,
        .help = "any video encoder of libavcodec; auto: libx265, or beside a network on a\n"
                "GPU hevc_nvenc, where that GPU has it, nothing is lost by it and nothing\n"
                "is said of x265's speed or parameters"),
    ROW("crf", 'q', REAL, crf, .least = -1, .most = 63, .metavar = "N", .initial = "-1",
        .help = "constant quality, lower is better; -1: by the preset"),
    ROW("encoder-preset", 0, STRING, encoder_preset, .metavar = "NAME",
        .help = "the encoder's own speed preset [by the preset]"),
    ROW("x265-params", 0, STRING, x265_params, .metavar = "K=V:K=V",
        .help = "passed to x265 as they are"),
    ROW("pix-fmt", 0, STRING, pix_fmt, .metavar = "NAME",
        .help = "pixel format of the output [10 bit, the input's chroma]; with\n"
                "--size the input's"),
    ROW("format", 'f', STRING, format, .metavar = "NAME",
        .help = "container, by libavformat's name or an ending [by the output's name]"),
    ROW("size", 0, STRING, size, .metavar = "WxH",
        .help = "the input is raw video of this size, of --pix-fmt [yuv420p] and\n"
                "--fps [25]"),
    ROW("deinterlace", 0, CHOICE, deinterlace,
        .choices = "auto|off|bwdif|yadif|w3fdif|estdif", .initial = "auto",
        .help = "auto: bwdif where the video is interlaced; a frame for a frame"),
    ROW("ivtc", 0, FLAG, ivtc, .help = "undo 3:2 pulldown: the film's 24 frames of 30"),
    ROW("vf", 0, STRING, vf, .metavar = "CHAIN",
        .help = "libavfilter chain that frames pass before the network"),
    ROW("fps", 0, STRING, fps, .metavar = "RATE",
        .help = "constant frame rate, as 24000/1001: repeats and drops frames for it"),
    ROW("device", 'd', STRING, device, .metavar = "auto|cpu|reference|cuda[:N]", .initial = "auto",
        .help = "where the network runs; auto: on a GPU where CUDA finds one, else on the\n"
                "CPU; cuda:1 is the second GPU; reference is slow and exact"),
    ROW("precision", 0, CHOICE, precision, .choices = "auto|fp32|bf16|fp16|tf32", .initial = "auto",
        .help = "auto: bf16 where the CPU gains by it and the model bears it; fp16 and\n"
                "tf32: with CUDA alone; the preset archive takes fp32"),
    ROW("tile", 't', INT, tile, .least = 0, .most = 8192, .metavar = "N", .initial = "0",
        .help = "largest tile in input pixels, halo included; 0: by speed and memory"),
    ROW("halo", 0, INT, halo, .least = -1, .most = 512, .metavar = "N", .initial = "-1",
        .help = "pixels around a tile; -1: the model's measured one"),
    ROW("reuse", 0, STRING, reuse, .metavar = "off|exact|near[=T]",
        .help = "what stands still isn't computed again: exact, where nothing changed;\n"
                "near, where no sample did by more than T of 255 [the model's];\n"
                "[by the preset]"),
    ROW("reuse-map", 0, STRING, reuse_map, .metavar = "FILE",
        .help = "an .mkv that shows what was computed: new parts red, checked ones blue,\n"
                "reused ones dark; of a run that goes on only what it does"),
    ROW("threads", 0, INT, threads, .least = 0, .most = 1024, .metavar = "N", .initial = "0",
        .help = "threads of the network; 0: one for each processor"),
    ROW("cpu-level", 0, CHOICE, cpu_level,
        .choices = "auto|baseline|avx2|avx512|avx512_bf16|amx", .initial = "auto",
        .help = "use no instructions beyond this level"),
    ROW("audio", 0, STRING, audio, .metavar = "all|none|LANG", .initial = "all",
        .help = "sound to keep; languages with commas, as jpn,eng"),
    ROW("subs", 0, STRING, subs, .metavar = "all|none|LANG", .initial = "all",
        .help = "subtitles to keep"),
    ROW("drop", 0, STRING, drop, .metavar = "LIST",
        .help = "leave out stream numbers, data, attachments, cover, video (further\n"
                "ones), chapters, captions, alpha, hdr10plus, dovi, unsupported (by\n"
                "the container)"),
    ROW("start", 0, TIME, start, .metavar = "TIME", .help = "begin here, in seconds or h:m:s"),
    ROW("duration", 0, TIME, duration, .metavar = "TIME", .help = "end after so long; 0: at its end"),
    ROW("frames", 0, INT, frames, .least = 0, .most = INT_MAX, .metavar = "N", .initial = "0",
        .help = "end after so many frames; 0: all"),
    ROW("overwrite", 'y', FLAG, overwrite, .help = "replace an existing output"),
    ROW("no-overwrite", 'n', FLAG, keep_existing,
        .help = "leave an existing output alone and go on with the next input"),
    ROW("no-verify", 0, FLAG, no_verify,
        .help = "don't decode the result to check it; it is read back all the same"),
    ROW("strict", 0, FLAG, strict,
        .help = "input that is damaged, ends too early or can't all be kept is a failure, not a "
                "warning"),
    ROW("restart", 0, FLAG, restart, .help = "forget an unfinished run of this output"),
    ROW("on-change", 0, CHOICE, on_change, .choices = "refuse|restart", .initial = "refuse",
        .help = "where an unfinished run had another input or other options"),
    ROW("no-resume", 0, FLAG, no_resume,
        .help = "make the video in one go: an interrupted run can't go on"),
    ROW("progress", 0, STRING, progress, .metavar = "auto|bar|json|off|URL", .initial = "auto",
        .help = "auto: a bar on a terminal; json: a line a second on stderr; a URL,\n"
                "file or descriptor (pipe:3): ffmpeg's key=value lines"),
    ROW("verbose", 'v', FLAG, verbose, .help = "say more"),
    ROW("quiet", 0, FLAG, quiet, .help = "say nothing but errors and warnings"),
    ROW("help", 'h', FLAG, help, .help = "this text"),
};
/* clang-format on */

kz_option_table kz_job_option_table(void)
{
    return (kz_option_table){rows, (int)(sizeof(rows) / sizeof(rows[0]))};
}

/* The arguments are parsed twice: the first time to learn the preset, which they then override. */
int kz_job_options_parse(kz_job_options *options, int argc, char **argv, char **arguments,
                         int *n_arguments, char *const *dirs, int n_dirs, kz_log *log)
{
    kz_option_table table = kz_job_option_table();
    kz_job_options first = {0};
    *options = (kz_job_options){0};
    int error = kz_options_init(table, &first);
    if (!error)
        error = kz_options_init(table, options);
    if (error)
        kz_fail_memory(log, "options");
    else
        error = kz_options_parse(table, &first, argc, argv, arguments, n_arguments, log);
    if (!error && !first.help)
        error = kz_preset_apply(options, first.preset, dirs, n_dirs, log);
    if (!error)
        error = kz_options_parse(table, options, argc, argv, arguments, n_arguments, log);
    if (!error)
        error = kz_device_check(options->device, log);
    if (!error && options->fps && !kz_format_is_rate(options->fps))
        error = kz_fail(log, KZ_ERROR_USAGE, "--fps: '%s' is not a rate, as 25 or 24000/1001",
                        options->fps);
    options->from_user_crf = first.crf >= 0;
    options->from_user_encoder_preset = first.encoder_preset != NULL;
    kz_options_free(table, &first);
    return error;
}
