#include "job/events.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "job/describe.h"

static void time_text(char text[40])
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    const size_t length = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, 40 - length, ".%03ldZ", now.tv_nsec / 1000000);
}

/* Names may hold anything, and a line is a line. */
static void print_plain(FILE *stream, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 127)
            fprintf(stream, "\\x%02x", c);
        else
            fputc(c, stream);
    }
}

static void print_text(FILE *stream, const char *event, const kz_record *r, const char *text)
{
    fputs("kizuna: ", stream);
    if (r)
        fprintf(stream, "job %lld ", (long long)r->id);
    fputs(event, stream);
    if (r) {
        fputs(": ", stream);
        print_plain(stream, r->input);
    }
    if (text && *text) {
        fputs(": ", stream);
        print_plain(stream, text);
    }
    fputc('\n', stream);
}

static void print_json(FILE *stream, const char *event, const kz_record *r, const char *text)
{
    char time[40];
    char *job = r ? kz_record_json(r) : NULL;
    char *quoted = text ? kz_json_string(text) : NULL;
    time_text(time);
    fprintf(stream, "{\"time\":\"%s\",\"event\":\"%s\"", time, event);
    if (job)
        fprintf(stream, ",\"job\":%s", job);
    if (quoted)
        fprintf(stream, ",\"text\":%s", quoted);
    fputs("}\n", stream);
    kz_free(job);
    kz_free(quoted);
}

void kz_event(const kz_events *events, const char *event, const kz_record *record, const char *text)
{
    char *line = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&line, &size);
    if (!memory)
        return;
    if (events->json)
        print_json(memory, event, record, text);
    else
        print_text(memory, event, record, text);
    if (fclose(memory) == 0) {
        fwrite(line, 1, size, events->stream);
        fflush(events->stream);
    }
    free(line);
}
