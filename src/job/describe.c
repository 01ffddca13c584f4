#include "job/describe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Bytes of the UTF-8 sequence at `text` (RFC 3629), 0: it is none. */
static int sequence(const unsigned char *text)
{
    const unsigned char c = text[0];
    const int length = c < 0x80                ? 1
                       : c >= 0xc2 && c < 0xe0 ? 2
                       : c >= 0xe0 && c < 0xf0 ? 3
                       : c >= 0xf0 && c < 0xf5 ? 4
                                               : 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) ||
        (c == 0xf0 && text[1] < 0x90) || (c == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

static void put_string(FILE *file, const char *string)
{
    const unsigned char *at = (const unsigned char *)string;
    fputc('"', file);
    while (*at) {
        const int length = sequence(at);
        if (!length)
            fprintf(file, "\\udc%02x", *at);
        else if (*at == '"' || *at == '\\')
            fprintf(file, "\\%c", *at);
        else if (*at < ' ')
            fprintf(file, "\\u%04x", *at);
        else
            fwrite(at, 1, (size_t)length, file);
        at += length ? length : 1;
    }
    fputc('"', file);
}

/* The stream's text as ours; NULL when it couldn't be made. */
static char *finish(FILE *file, char **text)
{
    const bool whole = file && fclose(file) == 0;
    char *copy = whole ? kz_strdup(*text) : NULL;
    free(*text);
    return copy;
}

char *kz_json_string(const char *string)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (file)
        put_string(file, string);
    return finish(file, &text);
}

static void put_text(FILE *file, const char *name, const char *value)
{
    fprintf(file, ",\"%s\":", name);
    put_string(file, value);
}

static void put_number(FILE *file, const char *name, double value)
{
    fprintf(file, ",\"%s\":%.3f", name, isfinite(value) ? value : 0.0);
}

char *kz_record_json(const kz_record *r)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return NULL;
    fprintf(file, "{\"id\":%lld,\"state\":\"%s\"", (long long)r->id, kz_job_state_name(r->state));
    put_text(file, "input", r->input);
    put_text(file, "output", r->output);
    put_text(file, "content", r->content);
    fprintf(file, ",\"arguments\":%s", r->arguments[0] == '[' ? r->arguments : "[]");
    fprintf(file, ",\"attempts\":%d,\"most_attempts\":%d", r->attempts, r->most_attempts);
    put_text(file, "error", r->error);
    put_number(file, "created", r->created);
    put_number(file, "started", r->started);
    put_number(file, "ended", r->ended);
    put_number(file, "seconds", r->seconds);
    put_number(file, "wait", r->wait);
    fprintf(file, ",\"frames\":%lld,\"total\":%lld", (long long)r->frames, (long long)r->total);
    put_number(file, "fps", r->fps);
    fprintf(file, ",\"bytes\":%lld}", (long long)r->bytes);
    return finish(file, &text);
}
