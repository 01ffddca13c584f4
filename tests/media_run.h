/* A whole run from input to output in one thread, in which each frame is drawn anew at twice its
 * size, and what it is compared by. */
#ifndef KZ_TESTS_MEDIA_RUN_H
#define KZ_TESTS_MEDIA_RUN_H

#include "media/decode.h"
#include "media/output.h"
#include "notes.h"
#include "pixel/plane.h"
#include "scratch.h"

static bool exists(const char *name)
{
    return access(in_scratch(name), F_OK) == 0;
}

/* Compares what two commands print. */
static void check_same_output(const char *one, const char *other)
{
    static char a[100000], b[100000];
    shell(a, sizeof(a), "%s", one);
    shell(b, sizeof(b), "%s", other);
    if (strcmp(a, b) != 0)
        check_failed("%s and %s differ:\n%.400s\n---\n%.400s", one, other, a, b);
    CHECK(a[0] != '\0');
}

/* Compares what a command about $F prints for two files. */
static void check_same(const char *command, const char *file, const char *other)
{
    char one[1000], two[1000];
    snprintf(one, sizeof(one), "F=%s; %s", file, command);
    snprintf(two, sizeof(two), "F=%s; %s", other, command);
    check_same_output(one, two);
}

#define FRAME_TIMES                                                                          \
    "ffprobe -v error -select_streams v -show_entries frame=best_effort_timestamp_time -of " \
    "csv=p=0 $F | tr -d , | grep ."

static long count_frames(const char *name)
{
    char text[100];
    shell(text, sizeof(text),
          "ffprobe -v error -count_frames -select_streams v -show_entries "
          "stream=nb_read_frames -of csv=p=0 %s 2>/dev/null",
          name);
    return atol(text);
}

static void check_noted(struct notes *notes, const char *part)
{
    fflush(notes->stream);
    if (!strstr(notes->text, part))
        check_failed("no \"%s\" in: %s", part, notes->text);
}

struct run {
    /* to be set */
    const char *in, *out;
    kz_encoder_params encoder;
    const char *format;
    double start, duration;
    bool overwrite, read_ahead, leave_unfinished;
    size_t spill_bytes; /* 0: plenty */
    void (*before_finish)(void);
    const atomic_bool *cancel;
    /* what came of it */
    int result;
    int64_t frames, errors;
    struct notes notes;
    /* while it runs */
    kz_input *input;
    kz_decoder *decoder;
    kz_output *output;
    kz_encoder *coder;
    kz_form *form;
    kz_frame_pool *pool;
    kz_video_format target;
};

static void draw(const kz_frame *to, const kz_frame *from)
{
    const kz_picture a = kz_frame_picture(from), b = kz_frame_picture(to);
    for (int p = 0; p < b.planes; p++) {
        const kz_plane *source = &a.plane[p], *plane = &b.plane[p];
        for (int y = 0; y < plane->height; y++) {
            const int row = y / 2 < source->height ? y / 2 : source->height - 1;
            for (int x = 0; x < plane->width; x++) {
                const int column = x / 2 < source->width ? x / 2 : source->width - 1;
                memcpy((char *)kz_plane_row(plane, y) + x * plane->bytes,
                       (const char *)kz_plane_row(source, row) + column * source->bytes,
                       (size_t)plane->bytes);
            }
        }
    }
}

static int run_packets(struct run *run)
{
    kz_packet *packet = NULL;
    int result;
    while ((result = kz_encoder_receive(run->coder, &packet)) == 0)
        if ((result = kz_output_video(run->output, packet)) != 0)
            return result;
    return result;
}

static int run_encoder(struct run *run, const kz_frame *like)
{
    run->encoder.global_header = kz_output_needs_global_header(run->output);
    int result = kz_encoder_open(&run->coder, &run->encoder, &run->target, like, run->notes.log);
    if (result == 0)
        result = kz_frame_pool_open(&run->pool, &run->target, run->notes.log);
    if (result == 0)
        result = kz_form_open(&run->form, run->coder);
    return result == 0 ? kz_output_start(run->output, run->form) : result;
}

static int run_frame(struct run *run, kz_frame *frame)
{
    kz_frame *large = NULL;
    int result = run->coder ? 0 : run_encoder(run, frame);
    if (result == 0)
        result = kz_frame_pool_get(run->pool, &large, frame);
    if (result == 0) {
        draw(large, frame);
        result = kz_encoder_send(run->coder, large);
    }
    kz_frame_close(&frame);
    if (result == 0)
        result = run_packets(run);
    return result == KZ_AGAIN ? 0 : result;
}

static int run_frames(struct run *run)
{
    kz_frame *frame = NULL;
    int result;
    while ((result = kz_decoder_receive(run->decoder, &frame)) == 0)
        if ((result = kz_output_frame(run->output, frame)) != 0 ||
            (result = run_frame(run, frame)) != 0)
            return result;
    return result == KZ_AGAIN || result == KZ_END ? 0 : result;
}

/* Feeds the decoder; ahead: only after everything was read, as if reading were infinitely fast. */
static int run_input(struct run *run)
{
    static kz_packet *ahead[100000];
    int count = 0, result = 0;
    kz_packet *packet = NULL;
    while (result == 0 && (result = kz_input_read(run->input, &packet)) == 0) {
        if (!kz_packet_is_video(packet))
            result = kz_output_copy(run->output, packet);
        else if (run->read_ahead)
            ahead[count++] = packet;
        else if ((result = kz_decoder_send(run->decoder, packet)) == 0)
            result = run_frames(run);
    }
    kz_output_copy_end(run->output);
    for (int i = 0; i < count; i++) {
        if (result != KZ_END)
            kz_packet_close(&ahead[i]);
        else if (kz_decoder_send(run->decoder, ahead[i]) != 0 || run_frames(run) != 0)
            result = KZ_ERROR_FAILED;
    }
    return result == KZ_END ? 0 : result;
}

static int run_all(struct run *run)
{
    const kz_input_params in = {
        .path = run->in, .start = run->start, .duration = run->duration, .cancel = run->cancel};
    const kz_output_params out = {.path = run->out,
                                  .format = run->format,
                                  .overwrite = run->overwrite,
                                  .spill_bytes = run->spill_bytes ? run->spill_bytes : 1 << 26};
    int result = kz_input_open(&run->input, &in, run->notes.log);
    if (result == 0)
        result = kz_decoder_open(&run->decoder, run->input, &(kz_decoder_params){.threads = 2},
                                 run->notes.log);
    if (result == 0)
        result = kz_output_open(&run->output, &out, run->input, run->encoder.codec, run->notes.log);
    if (result != 0)
        return result;
    run->target = *kz_input_format(run->input);
    run->target.width *= 2;
    run->target.height *= 2;
    if ((result = run_input(run)) != 0 || (result = kz_decoder_send(run->decoder, NULL)) != 0 ||
        (result = run_frames(run)) != 0)
        return result;
    if (run->coder && (result = kz_encoder_send(run->coder, NULL)) == 0)
        result = run_packets(run);
    if (run->before_finish)
        run->before_finish();
    if (run->leave_unfinished || (result != 0 && result != KZ_END))
        return result;
    return kz_output_finish(run->output, NULL);
}

/* Runs and closes everything but the notes. */
static void run_media(struct run *run)
{
    notes_open(&run->notes, KZ_LOG_WARNING);
    if (!run->encoder.codec) {
        run->encoder.codec = "ffv1";
        run->encoder.crf = -1;
    }
    run->result = run_all(run);
    if (run->decoder) {
        run->frames = kz_decoder_frames(run->decoder);
        run->errors = kz_decoder_errors(run->decoder);
    }
    kz_encoder_close(&run->coder);
    kz_form_close(&run->form);
    kz_frame_pool_close(&run->pool);
    kz_output_close(&run->output);
    kz_decoder_close(&run->decoder);
    kz_input_close(&run->input);
    fflush(run->notes.stream);
}

static const kz_encoder_params x265 = {
    .codec = "libx265", .preset = "ultrafast", .crf = 30, .x265_params = "bframes=3"};

/* 25 frames with sound, subtitles, a font, chapters and tags. */
static const char *make_rich(void)
{
    char text[1000];
    if (exists("rich.mkv"))
        return in_scratch("rich.mkv");
    shell(
        text, sizeof(text),
        "printf '1\\n00:00:00,100 --> 00:00:00,500\\nhello\\n\\n2\\n00:00:00,600 --> "
        "00:00:00,900\\nworld\\n' > s.srt; head -c 3000 /dev/urandom > font.ttf; "
        "printf ';FFMETADATA1\\ntitle=A title\\n[CHAPTER]\\nTIMEBASE=1/1000\\nSTART=0\\nEND=400\\n"
        "title=one\\n[CHAPTER]\\nTIMEBASE=1/1000\\nSTART=400\\nEND=1000\\ntitle=two\\n' > meta");
    make(VIDEO SOUND SOUND
         "-i s.srt -i meta -map 1:a -map 0:v -map 2:a -map 3:s -map_metadata 4 -map_chapters 4 "
         "-attach font.ttf -metadata:s:t mimetype=font/ttf -metadata:s:a:1 language=jpn "
         "-disposition:a:0 0 -disposition:a:1 default -disposition:s:0 forced "
         "-metadata:s:v BPS=12345 -metadata:s:v title=picture "
         "-t 1 " X264 "-c:a flac -c:s ass rich.mkv");
    return in_scratch("rich.mkv");
}

static void check_run(struct run *run, int64_t frames)
{
    run_media(run);
    if (run->result != 0)
        check_failed("%s: result %d: %s", run->in, run->result, run->notes.text);
    if (run->frames != frames)
        check_failed("%s: %lld frames, not %lld", run->in, (long long)run->frames,
                     (long long)frames);
}

#endif
