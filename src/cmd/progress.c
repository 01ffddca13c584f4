#include "cmd/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"

const char *kz_stage_name(enum kz_stage stage)
{
    static const char *const names[KZ_STAGES] = {"decode", "network", "encode", "check"};
    return names[stage];
}

static int open_url(kz_progress_view *view, const char *how, kz_log *log)
{
    char pipe[32];
    view->style = KZ_STYLE_KEYS;
    if (strspn(how, "0123456789") < strlen(how))
        return kz_url_open(&view->url, how, log);
    snprintf(pipe, sizeof(pipe), "pipe:%.20s", how);
    return kz_url_open(&view->url, pipe, log);
}

int kz_progress_view_open(kz_progress_view *view, const char *how, bool quiet, FILE *stream,
                          kz_log *log)
{
    *view = (kz_progress_view){.log = log, .stream = stream};
    if (strcmp(how, "auto") == 0)
        view->style = isatty(fileno(stream)) && !quiet ? KZ_STYLE_BAR : KZ_STYLE_OFF;
    else if (strcmp(how, "bar") == 0)
        view->style = KZ_STYLE_BAR;
    else if (strcmp(how, "json") == 0)
        view->style = KZ_STYLE_JSON;
    else if (*how && (strpbrk(how, ":/.") || strspn(how, "0123456789") == strlen(how)))
        return open_url(view, how, log);
    else if (strcmp(how, "off") != 0)
        return kz_fail(
            log, KZ_ERROR_USAGE,
            "--progress: '%s' is none of auto, bar, json, off, a URL, a file (./name) or "
            "a descriptor",
            how);
    return 0;
}

void kz_progress_view_close(kz_progress_view *view)
{
    kz_url_close(&view->url);
}

/* ---- figures ---- */

/* The frames that count are those the encoder has taken, and those that were ready. */
static int64_t done_frames(const kz_progress *p)
{
    return p->before + p->stage[KZ_STAGE_ENCODE].frames;
}

/* Of this run alone, as the next. */
static double frames_per_second(const kz_progress *p)
{
    return p->seconds > 0 ? (double)p->stage[KZ_STAGE_ENCODE].frames / p->seconds : 0;
}

static double real_time(const kz_progress *p)
{
    const double all = (double)done_frames(p);
    const double share = all > 0 ? (double)p->stage[KZ_STAGE_ENCODE].frames / all : 0;
    return p->seconds > 0 ? share * p->media_time / p->seconds : 0;
}

static double kilobits(const kz_progress *p)
{
    return p->media_time > 0 ? (double)p->bytes * 8e-3 / p->media_time : 0;
}

/* The stage that worked the largest part of its time: the others wait for it. */
static enum kz_stage bottleneck(const kz_progress *p)
{
    enum kz_stage most = KZ_STAGE_DECODE;
    for (int s = 1; s < KZ_STAGES; s++)
        if (p->stage[s].busy > p->stage[most].busy)
            most = (enum kz_stage)s;
    return most;
}

static double remaining(const kz_progress *p)
{
    double fps = frames_per_second(p);
    return p->expected > done_frames(p) && fps > 0 ? (double)(p->expected - done_frames(p)) / fps
                                                   : -1;
}

const char *kz_clock_text(char *text, size_t size, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (seconds < 0)
        snprintf(text, size, "--:--");
    else if (s >= 3600)
        snprintf(text, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, size, "%ld:%02ld", s / 60, s % 60);
    return text;
}

/* ---- styles ---- */

static int terminal_columns(FILE *stream)
{
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) || !size.ws_col)
        return 80;
    return size.ws_col;
}

static void draw_bar(char *text, int width, double share)
{
    int full = (int)(share * width + 0.5);
    full = full > width ? width : full;
    *text++ = '[';
    for (int i = 0; i < width; i++)
        *text++ = i < full ? '=' : ' ';
    *text++ = ']';
    *text++ = ' ';
    *text = 0;
}

static void show_bar(kz_progress_view *view, const kz_progress *p)
{
    char line[256], bar[64] = "", total[32] = "?", eta[32], share[32] = "";
    int columns = terminal_columns(view->stream);
    if (p->expected) {
        snprintf(total, sizeof(total), "%lld", (long long)p->expected);
        if (columns >= 100)
            draw_bar(bar, columns >= 120 ? 30 : 16, (double)done_frames(p) / (double)p->expected);
    }
    if (p->reuse.frames)
        snprintf(share, sizeof(share), "  %.0f %% computed", 100 * kz_reuse_share(&p->reuse));
    snprintf(line, sizeof(line), "%s%lld/%s  %.2f fps  %.3fx  ETA %s  %.0f kb/s  %s-bound%s", bar,
             (long long)done_frames(p), total, frames_per_second(p), real_time(p),
             kz_clock_text(eta, sizeof(eta), remaining(p)), kilobits(p),
             kz_stage_name(bottleneck(p)), share);
    if (columns > 1 && columns < (int)sizeof(line))
        line[columns - 1] = 0; /* a line that wraps can't be redrawn */
    kz_log_status(view->log, line);
}

static void show_json(kz_progress_view *view, const kz_progress *p, const char *state)
{
    fprintf(view->stream,
            "{\"frame\":%lld,\"total\":%lld,\"fps\":%.3f,\"speed\":%.4f,\"eta\":%.1f,"
            "\"bitrate_kbps\":%.1f,\"out_time\":%.3f,\"bytes\":%lld,\"bottleneck\":\"%s\","
            "\"computed\":%.4f,\"progress\":\"%s\"}\n",
            (long long)done_frames(p), (long long)p->expected, frames_per_second(p), real_time(p),
            remaining(p), kilobits(p), p->media_time, (long long)p->bytes,
            kz_stage_name(bottleneck(p)), kz_reuse_share(&p->reuse), state);
    fflush(view->stream);
    view->last = p->seconds;
}

/* The keys that ffmpeg writes, for programs made to read them. */
static void show_keys(kz_progress_view *view, const kz_progress *p, const char *state)
{
    char text[400];
    const long long us = (long long)(p->media_time * 1e6);
    snprintf(text, sizeof(text),
             "frame=%lld\nfps=%.2f\nbitrate=%.1fkbits/s\ntotal_size=%lld\nout_time_us=%lld\n"
             "out_time_ms=%lld\nout_time=%02lld:%02lld:%02lld.%06lld\ndup_frames=0\n"
             "drop_frames=0\nspeed=%.3gx\nprogress=%s\n",
             (long long)done_frames(p), frames_per_second(p), kilobits(p), (long long)p->bytes, us,
             us, us / 3600000000, us / 60000000 % 60, us / 1000000 % 60, us % 1000000, real_time(p),
             state);
    kz_url_write(view->url, text);
    view->last = p->seconds;
}

void kz_progress_show(kz_progress_view *view, const kz_progress *progress)
{
    if (view->style == KZ_STYLE_BAR)
        show_bar(view, progress);
    else if (view->style == KZ_STYLE_JSON && progress->seconds - view->last >= 1)
        show_json(view, progress, "continue");
    else if (view->style == KZ_STYLE_KEYS && progress->seconds - view->last >= 0.5)
        show_keys(view, progress, "continue");
}

void kz_progress_end(kz_progress_view *view, const kz_job_result *result, int error)
{
    if (view->style == KZ_STYLE_BAR)
        kz_log_status(view->log, NULL);
    else if (view->style == KZ_STYLE_JSON)
        show_json(view, &result->progress, error ? "failed" : "end");
    else if (view->style == KZ_STYLE_KEYS)
        show_keys(view, &result->progress, "end");
    view->last = 0;
}

/* ---- summary ---- */

static void say_reuse(const kz_reuse_stats *r, kz_log *log)
{
    char checked[120] = "";
    if (r->checked_cells)
        snprintf(checked, sizeof(checked),
                 "; %lld reusable cells computed to check: off by %.2f of 255 on average, %.2f at "
                 "most",
                 (long long)r->checked_cells, kz_reuse_error(r), r->worst_error);
    if (r->frames)
        kz_log_line(log, KZ_LOG_INFO, "reuse   %.1f %% of the pixels were computed%s",
                    100 * kz_reuse_share(r), checked);
}

void kz_progress_summary(const kz_job_result *result, const char *output, kz_log *log)
{
    const kz_progress *p = &result->progress;
    char text[160] = "", time[32];
    int length = 0;
    kz_log_line(log, KZ_LOG_INFO,
                "done    %s: %lld frames in, %lld out, %s, %.2f fps, %.3fx, %.1f MB", output,
                (long long)(p->before + p->stage[KZ_STAGE_DECODE].frames),
                (long long)(p->before + p->packets), kz_clock_text(time, sizeof(time), p->seconds),
                frames_per_second(p), real_time(p), (double)p->bytes * 1e-6);
    if (p->before || p->kept || result->computed_again)
        kz_log_line(log, KZ_LOG_INFO,
                    "resumed %lld frames were finished, %lld more were kept, %lld were computed "
                    "again",
                    (long long)p->before, (long long)p->kept, (long long)result->computed_again);
    for (int s = 0; s < KZ_STAGES; s++) {
        double all = p->stage[s].busy + p->stage[s].waited;
        if (s == KZ_STAGE_CHECK && !p->stage[s].frames)
            continue;
        length += snprintf(text + length, sizeof(text) - (size_t)length, "%s%s %.0f + %.0f %%",
                           s ? ", " : "", kz_stage_name((enum kz_stage)s),
                           all > 0 ? 100 * p->stage[s].busy / all : 0,
                           all > 0 ? 100 * p->stage[s].waited / all : 0);
    }
    kz_log_line(log, KZ_LOG_INFO, "stages  %s (worked + waited)", text);
    say_reuse(&p->reuse, log);
    kz_log_line(log, KZ_LOG_INFO, "memory  %.0f MiB at most, %.0f MiB were expected",
                (double)kz_peak_memory() / (1 << 20), (double)result->expected_memory / (1 << 20));
    if (p->damaged)
        kz_log_line(log, KZ_LOG_WARNING, "%lld packets of the video were damaged",
                    (long long)p->damaged);
}
