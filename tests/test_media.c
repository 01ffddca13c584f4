#include <dirent.h>
#include <fcntl.h>
#include <libavutil/pixdesc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/thread.h"
#include "media/internal.h"
#include "media/order.h"
#include "media/pack.h"
#include "media/recent.h"
#include "media_run.h"

static void test_formats(void)
{
    kz_video_format format;
    static const char *const refused[] = {"nv12",   "rgb24", "gbrp",        "yuva420p",
                                          "p010le", "pal8",  "yuv420p10be", "xyz12le",
                                          "ya8",    "monow", "nonsense",    "grayf32le"};
    CHECK(kz_format_by_name(&format, "yuv422p12le") == 0);
    CHECK(format.depth == 12 && format.planes == 3 && format.shift_x == 1 && format.shift_y == 0);
    CHECK(kz_format_by_name(&format, "gray") == 0 && format.depth == 8 && format.planes == 1);
    CHECK(kz_format_by_name(&format, "yuv444p16le") == 0 && format.depth == 16);
    CHECK(strcmp(format.pixel_name, "yuv444p16le") == 0);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (kz_format_by_name(&format, refused[i]) != KZ_ERROR_USAGE)
            check_failed("%s was taken", refused[i]);
    char text[200];
    CHECK(strstr(kz_media_versions(text, sizeof(text)), "libavcodec ") != NULL);
    printf("# %s\n", text);
}

static void test_everything_kept(void)
{
    struct run run = {.in = make_rich(), .out = in_scratch("rich.out.mkv"), .encoder = x265};
    check_run(&run, 25);
    notes_close(&run.notes);
    CHECK(count_frames("rich.out.mkv") == 25);
    check_same(FRAME_TIMES, "rich.mkv", "rich.out.mkv");
    check_same("ffmpeg -v error -i $F -map 0:a:0 -c copy -f md5 -", "rich.mkv", "rich.out.mkv");
    check_same("ffmpeg -v error -i $F -map 0:a:1 -c copy -f md5 -", "rich.mkv", "rich.out.mkv");
    check_same("ffmpeg -v error -i $F -map 0:s -c copy -f md5 -", "rich.mkv", "rich.out.mkv");
    check_same("ffprobe -v error -show_entries packet=stream_index,pts_time,size -select_streams a "
               "-of csv $F",
               "rich.mkv", "rich.out.mkv");
    check_same("ffprobe -v error -show_chapters -show_entries format_tags=title -of csv $F",
               "rich.mkv", "rich.out.mkv");
    check_same("ffprobe -v error -show_entries stream=index,codec_type:"
               "stream_disposition=default,forced:stream_tags=language,title,filename,mimetype -of "
               "csv $F",
               "rich.mkv", "rich.out.mkv");
    check_same("rm -f x.ttf; ffmpeg -v error -dump_attachment:t:0 x.ttf -i $F -t 0 -f null -; "
               "md5sum x.ttf",
               "rich.mkv", "rich.out.mkv");
    char tags[1000];
    shell(tags, sizeof(tags), "ffprobe -v error -show_streams -select_streams v rich.out.mkv");
    CHECK(!strstr(tags, "BPS") && !strstr(tags, "x264"));
    CHECK(strstr(tags, "width=128") && strstr(tags, "codec_name=hevc"));
}

static void test_mp4(void)
{
    make(VIDEO SOUND "-t 1 " X264 "-c:a aac -movflags +faststart b.mp4");
    struct run run = {.in = in_scratch("b.mp4"), .out = in_scratch("b.out.mp4"), .encoder = x265};
    check_run(&run, 25);
    notes_close(&run.notes);
    check_same(FRAME_TIMES, "b.mp4", "b.out.mp4");
    check_same("ffmpeg -v error -i $F -map 0:a -c copy -f md5 -", "b.mp4", "b.out.mp4");
    check_same("ffprobe -v error -show_entries packet=pts_time -select_streams a -of csv $F",
               "b.mp4", "b.out.mp4");
    char text[200];
    shell(text, sizeof(text),
          "ffprobe -v error -show_entries stream=codec_tag_string -of csv=p=0 b.out.mp4");
    CHECK(strstr(text, "hvc1") != NULL);
}

/* Time 0 of Unix, which libavformat reads and never writes. */
static void test_creation_times(void)
{
    char text[400];
    make(VIDEO "-t 0.2 " X264 "-metadata creation_time=1970-01-01T00:00:01Z one.mp4");
    shell(text, sizeof(text),
          "LC_ALL=C sed 's/\\x7c\\x25\\xb0\\x81/\\x7c\\x25\\xb0\\x80/g' one.mp4 > zero.mp4; "
          "ffprobe -v error -show_entries format_tags=creation_time -of csv=p=0 zero.mp4");
    CHECK(strncmp(text, "1970-01-01T00:00:00", 19) == 0);
    struct run zero = {.in = in_scratch("zero.mp4"), .out = in_scratch("z.mp4"), .encoder = x265};
    check_run(&zero, 5);
    CHECK(strstr(zero.notes.text, "can't hold these tags, a .mkv file can: creation_time"));
    notes_close(&zero.notes);
    struct run one = {.in = in_scratch("one.mp4"), .out = in_scratch("o.mp4"), .encoder = x265};
    check_run(&one, 5);
    CHECK(!strstr(one.notes.text, "creation_time"));
    notes_close(&one.notes);
    check_same("ffprobe -v error -show_entries format_tags=creation_time -of csv=p=0 $F", "one.mp4",
               "o.mp4");
}

/* Transport streams begin late; the output begins at 0, its streams as far apart as before. */
static void test_ts(void)
{
    make(VIDEO SOUND "-t 1 " X264 "-c:a mp2 c.ts");
    struct run run = {.in = in_scratch("c.ts"), .out = in_scratch("c.out.mkv"), .encoder = x265};
    check_run(&run, 25);
    notes_close(&run.notes);
    make("-i c.ts -c copy c.ref.mkv");
    check_same("ffmpeg -v error -i $F -map 0:a -c copy -f md5 -", "c.ts", "c.out.mkv");
    check_same("ffprobe -v error -show_entries packet=pts_time -select_streams a -of csv $F",
               "c.ref.mkv", "c.out.mkv");
    check_same(FRAME_TIMES " | sort -n", "c.ref.mkv", "c.out.mkv");
    struct run back = {.in = in_scratch("c.ts"), .out = in_scratch("c.out.ts"), .encoder = x265};
    check_run(&back, 25);
    notes_close(&back.notes);
    CHECK(count_frames("c.out.ts") == 25);
    check_same("ffprobe -v error -show_entries stream=start_time -of csv=p=0 $F | sort | tr -d , | "
               "awk 'NR==1{a=$1} END{printf \"%.2f\\n\", $1-a}'",
               "c.ts", "c.out.ts");
}

static void check_cut(const char *name, double start, double duration, int frames)
{
    char command[600], other[600];
    struct run run = {.in = in_scratch(name),
                      .out = in_scratch("cut.mkv"),
                      .start = start,
                      .duration = duration,
                      .overwrite = true};
    check_run(&run, frames);
    if (run.errors)
        check_failed("%s: %lld damaged packets", name, (long long)run.errors);
    notes_close(&run.notes);
    snprintf(command, sizeof(command),
             "ffmpeg -v error -copyts -start_at_zero -i %s -map 0:v -vf "
             "\"select='gte(t,%g)*lt(t,%g)',scale=128:96:flags=neighbor\" -fps_mode passthrough -f "
             "framemd5 - | grep -v '#' | awk '{print $NF}'",
             name, start - 0.0001, start + duration - 0.0001);
    snprintf(other, sizeof(other),
             "ffmpeg -v error -i cut.mkv -map 0:v -fps_mode passthrough -f framemd5 - | grep -v "
             "'#' | awk '{print $NF}'");
    check_same_output(command, other);
}

static void test_start_duration(void)
{
    char text[1000];
    make(VIDEO SOUND "-t 4 " X264 "-c:a mp2 d.mkv");
    shell(text, sizeof(text),
          "ffmpeg -v error -y -i d.mkv -c copy d.mp4 && ffmpeg -v error -y -i "
          "d.mkv -c copy d.ts");
    static const char *const names[] = {"d.mkv", "d.mp4", "d.ts"};
    for (int i = 0; i < 3; i++) {
        check_cut(names[i], 1.0, 0.48, 12);
        check_cut(names[i], 0.04, 0.2, 5);
        check_cut(names[i], 2.12, 1.0, 25);
        shell(text, sizeof(text),
              "ffprobe -v error -show_entries packet=pts_time -select_streams a -of csv=p=0 "
              "cut.mkv | tr -d , | sed -n '1p;$p'");
        const double first = atof(text), last = atof(strchr(text, '\n') + 1);
        CHECK(first >= 0 && first < 0.03 && last > 0.95 && last < 1.0);
    }
}

static void test_chapters_cut(void)
{
    char text[1000];
    struct run run = {
        .in = make_rich(), .out = in_scratch("chapters.mkv"), .start = 0.5, .duration = 0.3};
    check_run(&run, 7);
    notes_close(&run.notes);
    shell(text, sizeof(text),
          "ffprobe -v error -show_entries chapter=start_time,end_time:chapter_tags=title -of "
          "csv=p=0 chapters.mkv");
    if (strcmp(text, "0.000000,0.300000,two\n") != 0)
        check_failed("chapters: %s", text);
}

static void test_truncated(void)
{
    char text[1000];
    make(VIDEO SOUND "-t 4 " X264 "-c:a aac -movflags +faststart e.mp4");
    make("-i e.mp4 -c copy e.mkv");
    static const char *const names[] = {"cut.e.mp4", "cut.e.mkv"};
    for (int i = 0; i < 2; i++) {
        shell(text, sizeof(text), "head -c $(($(stat -c %%s %s) / 2)) %s > %s", names[i] + 4,
              names[i] + 4, names[i]);
        const long frames = count_frames(names[i]);
        struct run run = {
            .in = in_scratch(names[i]), .out = in_scratch("e.out.mkv"), .overwrite = true};
        CHECK(frames > 10 && frames < 90);
        check_run(&run, frames);
        check_noted(&run.notes, "truncated");
        notes_close(&run.notes);
        CHECK(count_frames("e.out.mkv") == frames);
    }
}

static void check_damaged(const char *name)
{
    struct run run = {.in = in_scratch(name), .out = in_scratch("f.out.mkv"), .overwrite = true};
    run_media(&run);
    if (run.result != 0 || run.frames < 30 || run.errors == 0)
        check_failed("%s: result %d, %lld frames, %lld errors", name, run.result,
                     (long long)run.frames, (long long)run.errors);
    check_noted(&run.notes, ": damaged h264 near");
    notes_close(&run.notes);
    CHECK(count_frames("f.out.mkv") == run.frames);
}

static void test_damaged(void)
{
    char text[1000];
    make(VIDEO "-t 2 " X264 "f.ts");
    make("-i f.ts -c copy -bsf:v noise=300 f.mkv");
    shell(text, sizeof(text),
          "for i in 3 5 6 9; do head -c 700 /dev/zero | dd of=f.ts bs=1 seek=${i}000 conv=notrunc "
          "status=none; done");
    check_damaged("f.ts");
    check_damaged("f.mkv");
}

static void test_size_change(void)
{
    char text[1000];
    make(VIDEO "-t 1 " X264 "g1.ts");
    make("-f lavfi -i testsrc2=size=96x64:rate=25 -t 1 " X264 "g2.ts");
    shell(text, sizeof(text), "cat g1.ts g2.ts > g.ts");
    struct run run = {.in = in_scratch("g.ts"), .out = in_scratch("g.out.mkv")};
    run_media(&run);
    CHECK(run.result == KZ_ERROR_FAILED);
    check_noted(&run.notes, "is 96x64 yuv420p, the stream began as 64x48 yuv420p");
    notes_close(&run.notes);
    CHECK(!exists("g.out.mkv"));
}

static void check_refused(const char *name, int code, const char *message)
{
    struct notes notes;
    kz_input *input = NULL;
    notes_open(&notes, KZ_LOG_WARNING);
    const kz_input_params params = {.path = in_scratch(name)};
    const int result = kz_input_open(&input, &params, notes.log);
    if (result != code)
        check_failed("%s: %d: %s", name, result, notes.text);
    CHECK(input == NULL);
    check_noted(&notes, message);
    CHECK(strchr(notes.text, '\n') == notes.text + strlen(notes.text) - 1);
    notes_close(&notes);
}

static void test_refused_inputs(void)
{
    char text[1000];
    shell(text, sizeof(text),
          "mkdir -p folder; : > empty.mkv; seq 99999 > text.mkv; cp text.mkv text.txt; " NOISE(
              "99999") " > noise.mp4");
    make(SOUND "-t 1 sound.mka");
    check_refused("none.mkv", KZ_ERROR_USAGE, "none.mkv: No such file or directory");
    check_refused("folder", KZ_ERROR_USAGE, "folder: is a directory");
    check_refused("empty.mkv", KZ_ERROR_FAILED, "empty.mkv: not a media file libav knows: ");
    check_refused("text.mkv", KZ_ERROR_FAILED, "text.mkv: not a media file libav knows: Invalid");
    check_refused("text.txt", KZ_ERROR_FAILED, "text.txt: not a media file libav knows: Invalid");
    check_refused("noise.mp4", KZ_ERROR_FAILED, "noise.mp4: not a media file libav knows: ");
    check_refused("sound.mka", KZ_ERROR_FAILED, "sound.mka: no video stream");
}

static void test_odd_names(void)
{
    char text[100];
    make_rich();
    shell(text, sizeof(text), "cp rich.mkv ./-x:y.mkv");
    CHECK(chdir(scratch) == 0);
    struct run run = {.in = "-x:y.mkv", .out = "a:b %d.mkv"};
    check_run(&run, 25);
    CHECK(chdir("/") == 0);
    notes_close(&run.notes);
    CHECK(exists("a:b %d.mkv"));
}

static void check_folder_is(const char *folder, const char *content)
{
    char text[1000];
    shell(text, sizeof(text), "ls -A %s | tr '\\n' ' '", folder);
    if (strcmp(text, content) != 0)
        check_failed("%s holds %s", folder, text);
}

static void test_write_errors(void)
{
    struct run full = {.in = make_rich(), .out = "/dev/full"};
    full.format = "matroska";
    run_media(&full);
    CHECK(full.result == KZ_ERROR_FAILED);
    check_noted(&full.notes, "/dev/full: No space left on device");
    notes_close(&full.notes);
    char text[100];
    shell(text, sizeof(text), "mkdir -p small");
    struct rlimit old, limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = old;
    limit.rlim_cur = 20000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    struct run run = {.in = make_rich(), .out = in_scratch("small/out.mkv")};
    run_media(&run);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(run.result == KZ_ERROR_FAILED);
    check_noted(&run.notes, "small/out.mkv: File too large");
    notes_close(&run.notes);
    check_folder_is("small", "");
}

static void appear(void)
{
    char text[100];
    shell(text, sizeof(text), "echo other > names/late.mkv");
}

static void test_names(void)
{
    char text[100];
    shell(text, sizeof(text), "rm -rf names; mkdir names; echo old > names/old.mkv");
    struct run run = {.in = make_rich(), .out = in_scratch("names/old.mkv")};
    run_media(&run);
    CHECK(run.result == KZ_ERROR_USAGE);
    check_noted(&run.notes, "names/old.mkv: File exists");
    notes_close(&run.notes);
    shell(text, sizeof(text), "cat names/old.mkv");
    CHECK(strcmp(text, "old\n") == 0);

    struct run same = {.in = make_rich(), .out = in_scratch("rich.mkv"), .overwrite = true};
    run_media(&same);
    CHECK(same.result == KZ_ERROR_USAGE);
    check_noted(&same.notes, "is the input itself");
    notes_close(&same.notes);

    struct run unfinished = {
        .in = make_rich(), .out = in_scratch("names/new.mkv"), .leave_unfinished = true};
    run_media(&unfinished);
    notes_close(&unfinished.notes);
    check_folder_is("names", "old.mkv ");

    struct run over = {.in = make_rich(), .out = in_scratch("names/old.mkv"), .overwrite = true};
    check_run(&over, 25);
    notes_close(&over.notes);
    check_folder_is("names", "old.mkv ");
    CHECK(count_frames("names/old.mkv") == 25);

    struct run late = {
        .in = make_rich(), .out = in_scratch("names/late.mkv"), .before_finish = appear};
    run_media(&late);
    CHECK(late.result == KZ_ERROR_FAILED);
    check_noted(&late.notes, "names/late.mkv: File exists; the finished output is ");
    notes_close(&late.notes);
    shell(text, sizeof(text), "cat names/late.mkv");
    CHECK(strcmp(text, "other\n") == 0);
    shell(text, sizeof(text), "mv names/.late.mkv.*.part names/kept.mkv");
    CHECK(count_frames("names/kept.mkv") == 25);

    struct run nowhere = {.in = make_rich(), .out = in_scratch("no/such/out.mkv")};
    run_media(&nowhere);
    CHECK(nowhere.result == KZ_ERROR_USAGE);
    notes_close(&nowhere.notes);
}

static void check_usage(const char *in, const char *out, kz_encoder_params encoder,
                        const char *message)
{
    struct run run = {.in = in, .out = out, .encoder = encoder};
    run_media(&run);
    if (run.result != KZ_ERROR_USAGE)
        check_failed("%s: result %d: %s", message, run.result, run.notes.text);
    check_noted(&run.notes, message);
    notes_close(&run.notes);
}

static void test_refused_outputs(void)
{
    kz_encoder_params encoder = x265;
    check_usage(
        make_rich(), in_scratch("h.mp4.mp4"), x265,
        "a mp4 file can't hold stream 3 (subtitle, ass): --drop 3 leaves it out, a .mkv file");
    check_usage(make_rich(), in_scratch("h.webm"), x265,
                "a webm file can't hold hevc: choose another container");
    check_usage(make_rich(), in_scratch("h.nonsense"), x265, "its ending names no container");
    encoder.codec = "foo";
    check_usage(make_rich(), in_scratch("i.mkv"), encoder,
                "encoder 'foo' isn't in this libavcodec");
    encoder = x265;
    encoder.preset = "nonsense";
    check_usage(make_rich(), in_scratch("i.mkv"), encoder, "preset nonsense");
    encoder = x265;
    encoder.x265_params = "nonsense=1";
    check_usage(make_rich(), in_scratch("i.mkv"), encoder, "Unknown option: nonsense");
    encoder.x265_params = "bframes=many";
    check_usage(make_rich(), in_scratch("i.mkv"), encoder, "Invalid value for bframes: many");
    encoder.x265_params = "no-sao";
    check_usage(make_rich(), in_scratch("i.mkv"), encoder, "write name=value");
    encoder = (kz_encoder_params){.codec = "ffv1", .crf = 20};
    check_usage(make_rich(), in_scratch("i.mkv"), encoder, "ffv1 has no constant quality");
    encoder = (kz_encoder_params){.codec = "ffv1", .crf = -1, .preset = "slow"};
    check_usage(make_rich(), in_scratch("i.mkv"), encoder, "ffv1 has no presets");
    encoder = (kz_encoder_params){.codec = "mpeg2video", .crf = -1};
    make("-f lavfi -i testsrc2=size=64x48 -t 0.2 -pix_fmt yuv444p10le -c:v ffv1 i444.mkv");
    check_usage(in_scratch("i444.mkv"), in_scratch("i.mkv"), encoder,
                "doesn't take pixel format yuv444p10le; it takes: yuv420p yuv422p");
    CHECK(!exists("i.mkv"));
}

static void test_trial(void)
{
    kz_encoder_params encoder = {.codec = "libx265", .crf = -1};
    kz_video_format format = {.width = 64, .height = 48, .time_base = {1, 25}};
    char why[200];
    CHECK(kz_format_by_name(&format, "yuv420p10le") == 0);
    CHECK(kz_encoder_try(&encoder, &format, why, sizeof(why)) == 0);
    encoder.preset = "quickly";
    CHECK(kz_encoder_try(&encoder, &format, why, sizeof(why)) == KZ_ERROR_USAGE);
    CHECK(strncmp(why, "libx265: ", 9) == 0);
    encoder = (kz_encoder_params){.codec = "hevc_nvenc", .crf = 18, .context = &encoder};
    CHECK(kz_encoder_try(&encoder, &format, why, sizeof(why)) == KZ_ERROR_FAILED);
    CHECK(strcmp(why, "no NVIDIA driver") == 0);
    encoder.codec = "hevc_none";
    CHECK(kz_encoder_try(&encoder, &format, why, sizeof(why)) == KZ_ERROR_USAGE);
    CHECK(strcmp(why, "this libavcodec has no hevc_none") == 0);
}

/* Opening fails for want of a driver; with one, this has nothing to say. */
static void test_nvenc(void)
{
    kz_encoder_params encoder = {.codec = "hevc_nvenc", .crf = -1};
    if (access("/dev/nvidia0", F_OK) == 0)
        return;
    struct run run = {.in = make_rich(), .out = in_scratch("nv.mkv"), .encoder = encoder};
    kz_video_format format = {0};
    run_media(&run);
    if (avcodec_find_encoder_by_name(encoder.codec)) {
        CHECK(kz_format_by_name(&format, "yuv420p10le") == 0);
        CHECK(kz_encoder_check(&encoder, &format, NULL) == 0);
        CHECK(kz_format_by_name(&format, "yuv422p10le") == 0);
        CHECK(kz_encoder_check(&encoder, &format, NULL) == KZ_ERROR_USAGE);
    }
    test_trial();
    CHECK(run.result == KZ_ERROR_FAILED || run.result == KZ_ERROR_USAGE);
    check_noted(&run.notes, run.result == KZ_ERROR_FAILED ? "hevc_nvenc: no NVIDIA driver"
                                                          : "isn't in this libavcodec");
    notes_close(&run.notes);
}

static void test_cancel(void)
{
    static const atomic_bool set = true;
    struct run run = {.in = make_rich(), .out = in_scratch("j.mkv"), .cancel = &set};
    run_media(&run);
    CHECK(run.result == KZ_ERROR_CANCELLED);
    CHECK(run.notes.size == 0);
    notes_close(&run.notes);
}

static void *set_soon(void *flag)
{
    usleep(200 * 1000);
    atomic_store((atomic_bool *)flag, true);
    return NULL;
}

/* A producer that says nothing must not make the run immortal. */
static void test_cancel_stdin(void)
{
    static atomic_bool flag;
    int ends[2];
    pthread_t thread;
    const int old = dup(STDIN_FILENO);
    CHECK(pipe(ends) == 0 && dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    pthread_create(&thread, NULL, set_soon, &flag);
    struct run run = {.in = "-", .out = in_scratch("k.mkv"), .cancel = &flag};
    run_media(&run);
    pthread_join(thread, NULL);
    dup2(old, STDIN_FILENO);
    close(old);
    close(ends[0]);
    close(ends[1]);
    CHECK(run.result == KZ_ERROR_CANCELLED);
    notes_close(&run.notes);
}

static void run_on(struct run *run, int in, int out)
{
    const int old_in = dup(STDIN_FILENO), old_out = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    run_media(run);
    dup2(old_in, STDIN_FILENO);
    dup2(old_out, STDOUT_FILENO);
    close(old_in);
    close(old_out);
}

static void test_pipes(void)
{
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    const int in = open(make_rich(), O_RDONLY);
    const int out = open(in_scratch("l.mkv"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    struct run run = {.in = "-", .out = "-", .format = "matroska"};
    run_on(&run, in, out);
    CHECK(run.result == 0 && run.frames == 25);
    notes_close(&run.notes);
    close(out);
    CHECK(count_frames("l.mkv") == 25);
    check_same("ffmpeg -v error -i $F -map 0:a:1 -c copy -f md5 -", "rich.mkv", "l.mkv");
    CHECK(pipe(ends) == 0);
    close(ends[0]);
    struct run closed = {.in = make_rich(), .out = "-", .format = "matroska"};
    run_on(&closed, in, ends[1]);
    close(ends[1]);
    close(in);
    CHECK(closed.result == KZ_ERROR_CANCELLED);
    CHECK(closed.notes.size == 0);
    notes_close(&closed.notes);
}

static int count_threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    int n = -2; /* "." and ".." */
    CHECK(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

/* Threads that an encoder starts where the process may use `n` of its processors. */
static int encoder_threads(int n)
{
    cpu_set_t own, some;
    kz_encoder *encoder;
    kz_video_format format = {.width = 256, .height = 256, .time_base = {1, 25}};
    kz_encoder_params params = x265;
    params.frame_threads = 1; /* others would count too */
    CHECK(kz_format_by_name(&format, "yuv420p") == 0);
    CHECK(sched_getaffinity(0, sizeof(own), &own) == 0);
    some = own;
    for (int cpu = 0; CPU_COUNT(&some) > n; cpu++)
        CPU_CLR(cpu, &some);
    CHECK(sched_setaffinity(0, sizeof(some), &some) == 0);
    const int before = count_threads();
    const int error = kz_encoder_open(&encoder, &params, &format, NULL, NULL);
    const int threads = count_threads() - before;
    CHECK(sched_setaffinity(0, sizeof(own), &own) == 0);
    CHECK(!error);
    kz_encoder_close(&encoder);
    return threads;
}

static void test_encoder_threads(void)
{
    if (kz_cpu_count() > 1)
        CHECK(encoder_threads(2) - encoder_threads(1) == 1);
}

static void test_hdr(void)
{
    make("-f lavfi -i testsrc2=size=64x48:rate=25 -t 0.4 -pix_fmt yuv420p10le -c:v libx265 "
         "-x265-params log-level=error:hdr10=1:repeat-headers=1:master-display="
         "'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)':max-cll=1000,400 "
         "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -color_range tv "
         "-chroma_sample_location topleft m.mkv");
    struct run run = {.in = in_scratch("m.mkv"), .out = in_scratch("m.out.mp4"), .encoder = x265};
    check_run(&run, 10);
    notes_close(&run.notes);
    check_same("ffprobe -v error -show_entries stream=pix_fmt,color_range,color_space,"
               "color_transfer,color_primaries,chroma_location -of default=nw=1 $F",
               "m.mkv", "m.out.mp4");
    check_same("ffprobe -v error -show_frames -read_intervals %+#1 $F | grep -E "
               "'^(red_x|green_y|m.._luminance|max_content|max_average)='",
               "m.mkv", "m.out.mp4");
    char text[3000];
    shell(text, sizeof(text), "ffprobe -v error -show_streams m.out.mp4");
    CHECK(strstr(text, "max_content=1000") && strstr(text, "max_luminance=10000000/10000"));
}

/* Variable rate, the last frame's length, an untagged picture of odd size. */
static void test_variable_rate(void)
{
    make("-f lavfi -i testsrc2=size=63x47:rate=50 -vf \"select='not(mod(n,3)*mod(n,7))'\" "
         "-fps_mode vfr -t 2 -pix_fmt yuv444p -c:v libx264 -bf 2 n.mkv");
    struct run run = {.in = in_scratch("n.mkv"), .out = in_scratch("n.out.mkv"), .encoder = x265};
    check_run(&run, count_frames("n.mkv"));
    notes_close(&run.notes);
    check_same(FRAME_TIMES, "n.mkv", "n.out.mkv");
    check_same("ffprobe -v error -show_entries stream=color_range,color_space,color_primaries -of "
               "csv $F",
               "n.mkv", "n.out.mkv");
}

/* The order of packets doesn't depend on how far reading is ahead of encoding. */
static void test_same_bytes(void)
{
    make(VIDEO SOUND "-t 8 " X264 "-c:a flac o.mkv");
    struct run run = {.in = in_scratch("o.mkv"), .out = in_scratch("o1.mkv"), .encoder = x265};
    struct run ahead = {.in = in_scratch("o.mkv"),
                        .out = in_scratch("o2.mkv"),
                        .encoder = x265,
                        .read_ahead = true};
    check_run(&run, 200);
    check_run(&ahead, 200);
    notes_close(&run.notes);
    notes_close(&ahead.notes);
    check_same("md5sum < $F", "o1.mkv", "o2.mkv");
    struct run spill = {.in = in_scratch("o.mkv"),
                        .out = in_scratch("o3.mkv"),
                        .encoder = x265,
                        .read_ahead = true,
                        .spill_bytes = 1000};
    check_run(&spill, 200);
    notes_close(&spill.notes);
    check_same("ffmpeg -v error -i $F -map 0:a -c copy -f md5 -", "o.mkv", "o3.mkv");
    check_same(FRAME_TIMES, "o.mkv", "o3.mkv");
}

/* Encoders can't write it, and no tool at hand makes such files: the frame is made here. */
static void check_loss(enum AVFrameSideDataType type, const char *word, const char *message)
{
    struct notes notes;
    kz_video_format format = {.width = 64, .height = 64, .time_base = {1, 25}};
    kz_encoder_params params = x265;
    kz_frame_pool *pool = NULL;
    kz_frame *frame = NULL;
    kz_encoder *encoder = NULL;
    notes_open(&notes, KZ_LOG_WARNING);
    CHECK(kz_format_by_name(&format, "yuv420p10le") == 0);
    CHECK(kz_frame_pool_open(&pool, &format, notes.log) == 0);
    CHECK(kz_frame_pool_get(pool, &frame, NULL) == 0);
    CHECK(av_frame_new_side_data(frame->av, type, 16) != NULL);
    CHECK(kz_encoder_open(&encoder, &params, &format, frame, notes.log) == KZ_ERROR_USAGE);
    check_noted(&notes, message);
    params.choice.drop = word;
    CHECK(kz_encoder_open(&encoder, &params, &format, frame, notes.log) == 0);
    kz_encoder_close(&encoder);
    kz_frame_close(&frame);
    kz_frame_pool_close(&pool);
    notes_close(&notes);
}

static void test_losses(void)
{
    check_loss(AV_FRAME_DATA_DYNAMIC_HDR_PLUS, "hdr10plus", "has HDR10+ metadata, which encoder");
    check_loss(AV_FRAME_DATA_DOVI_RPU_BUFFER, "dovi", "has Dolby Vision metadata, which encoder");
    check_loss(AV_FRAME_DATA_A53_CC, "captions", "has closed captions, which encoder");
}

/* Two encoders one after the other, with a pyramid of B-frames and uneven times. */
static void test_decoding_times(void)
{
    static const int64_t present[] = {100, 170, 140, 120, 150, 190, 300, 400, 350, 320, 380, 410};
    enum { COUNT = sizeof(present) / sizeof(present[0]) };
    int64_t decode[COUNT], one;
    CHECK(kz_decoding_times(decode, present, COUNT) == 0);
    for (int i = 0; i < COUNT; i++) {
        CHECK(decode[i] <= present[i]);
        CHECK(i == 0 || decode[i] > decode[i - 1]);
    }
    /* Two frames are shown before the one that is decoded third. */
    CHECK(decode[2] == 100 && decode[0] == 100 - (140 - 100) && decode[1] == 120 - (140 - 100));
    CHECK(kz_decoding_times(&one, present, 1) == 0 && one == 100);
    CHECK(kz_decoding_times(&one, present, 0) == 0);
}

static void test_parameters_of_the_whole(void)
{
    CHECK(kz_encoder_whole_param(NULL) == NULL);
    CHECK(kz_encoder_whole_param("aq-mode=3:min-keyint=5:passes=2") == NULL);
    CHECK(strncmp(kz_encoder_whole_param("aq-mode=3:keyint=5"), "keyint", 6) == 0);
    CHECK(strncmp(kz_encoder_whole_param("open-gop"), "open-gop", 8) == 0);
    CHECK(strncmp(kz_encoder_whole_param("a=1:pass=2:stats=x"), "pass", 4) == 0);
}

/* 10 bits as NVENC takes them: what comes apart again is what went in. */
static void test_packed_formats(void)
{
    static const struct {
        enum AVPixelFormat planar, packed;
    } forms[] = {{AV_PIX_FMT_YUV420P10, AV_PIX_FMT_P010},
                 {AV_PIX_FMT_YUV444P10, AV_PIX_FMT_YUV444P16}};
    const enum AVPixelFormat takes[] = {AV_PIX_FMT_YUV420P, AV_PIX_FMT_P010, AV_PIX_FMT_YUV444P16,
                                        AV_PIX_FMT_NONE};
    CHECK(kz_pack_form(AV_PIX_FMT_YUV420P, takes) == AV_PIX_FMT_YUV420P);
    CHECK(kz_pack_form(AV_PIX_FMT_YUV422P10, takes) == AV_PIX_FMT_NONE);
    CHECK(kz_pack_form(AV_PIX_FMT_YUV420P10, takes + 3) == AV_PIX_FMT_NONE);
    CHECK(kz_pack_form(AV_PIX_FMT_YUV422P10, NULL) == AV_PIX_FMT_YUV422P10);
    for (int f = 0; f < 2; f++) {
        AVFrame *from = av_frame_alloc(), *to = av_frame_alloc();
        CHECK(from && to && kz_pack_form(forms[f].planar, takes) == forms[f].packed);
        from->format = forms[f].planar;
        from->width = 21;
        from->height = 15;
        from->pts = 7;
        CHECK(av_frame_get_buffer(from, 0) == 0);
        for (int i = 0; i < 3; i++)
            for (int at = 0; at < from->linesize[i] / 2 * 8; at++)
                ((uint16_t *)(void *)from->data[i])[at] = (uint16_t)((at * 7 + i * 331) % 1024);
        CHECK(kz_pack(to, forms[f].packed, from) == 0 && to->pts == 7 && to->width == 21);
        for (int i = 0; i < 3; i++) {
            const int chroma = i && f == 0, width = chroma ? 11 : 21, last = chroma ? 7 : 14;
            uint16_t row[21], source[21];
            const int read = f == 0 ? AV_PIX_FMT_P010 : AV_PIX_FMT_YUV444P16;
            av_read_image_line2(row, (const uint8_t **)to->data, to->linesize,
                                av_pix_fmt_desc_get(read), 0, last, i, width, 0, 2);
            av_read_image_line2(source, (const uint8_t **)from->data, from->linesize,
                                av_pix_fmt_desc_get(from->format), 0, last, i, width, 0, 2);
            for (int x = 0; x < width; x++)
                CHECK((f == 0 ? row[x] : row[x] >> 6) == source[x]);
        }
        av_frame_free(&from);
        av_frame_free(&to);
    }
}

/* A packet of `size` bytes, of which none are read. */
static AVPacket packet_of(AVBufferRef *data, int size, bool key)
{
    return (AVPacket){
        .buf = data, .data = data->data, .size = size, .flags = key ? AV_PKT_FLAG_KEY : 0};
}

/* From the key frame before the last on, as long as there is room. */
static void test_recent_packets(void)
{
    const int large = (int)(KZ_RECENT_BYTES / 2);
    AVBufferRef *data = av_buffer_alloc(1);
    kz_recent recent = {0};
    CHECK(data);
    kz_recent_clear(&recent);
    for (int i = 0; i < 200; i++) {
        const AVPacket packet = packet_of(data, 1, i % 50 == 0);
        kz_recent_add(&recent, &packet);
        CHECK(recent.count == (i < 100 ? i : 50 + i % 50) + 1);
        CHECK(kz_recent_is_complete(&recent) && recent.bytes == (size_t)recent.count);
    }
    const AVPacket much = packet_of(data, large, false), key = packet_of(data, 1, true);
    kz_recent_add(&recent, &much);
    CHECK(kz_recent_is_complete(&recent));
    kz_recent_add(&recent, &much);
    CHECK(!kz_recent_is_complete(&recent) && recent.count == 0 && recent.bytes == 0);
    kz_recent_add(&recent, &much);
    CHECK(recent.count == 0);
    for (int keys = 1; keys <= 3; keys++) {
        kz_recent_add(&recent, &key);
        CHECK(kz_recent_is_complete(&recent) == (keys > 1));
        CHECK(recent.count == (keys < 2 ? keys : 2));
    }
    kz_recent_clear(&recent);
    CHECK(recent.count == 0 && av_buffer_get_ref_count(data) == 1);
    av_buffer_unref(&data);
}

static const struct check_case cases[] = {
    {"packed formats", test_packed_formats},
    {"recent packets", test_recent_packets},
    {"formats", test_formats},
    {"decoding times", test_decoding_times},
    {"parameters about the whole video", test_parameters_of_the_whole},
    {"everything in a Matroska file is kept", test_everything_kept},
    {"mp4 to mp4", test_mp4},
    {"creation times", test_creation_times},
    {"transport stream", test_ts},
    {"start and duration are exact", test_start_duration},
    {"chapters are cut too", test_chapters_cut},
    {"truncated files", test_truncated},
    {"damaged packets", test_damaged},
    {"the size changes midway", test_size_change},
    {"inputs that are refused", test_refused_inputs},
    {"odd file names", test_odd_names},
    {"write errors", test_write_errors},
    {"output names", test_names},
    {"outputs that are refused", test_refused_outputs},
    {"nvenc without a driver", test_nvenc},
    {"cancel", test_cancel},
    {"cancel a silent pipe", test_cancel_stdin},
    {"pipes", test_pipes},
    {"the encoder's threads", test_encoder_threads},
    {"HDR10", test_hdr},
    {"what encoders can't keep", test_losses},
    {"variable frame rate", test_variable_rate},
    {"equal runs give equal bytes", test_same_bytes},
};

CHECK_MAIN(cases)
