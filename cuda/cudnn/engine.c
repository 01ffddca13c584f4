#include "cuda/cudnn/engine.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_INDEX = 9999,
    MAX_TYPE = 9999,
    MAX_DIGITS = 12 /* of a knob's value: a 16th of the text has room for it */
};

void kz_cudnn_engine_write(const kz_cudnn_engine *engine, char text[KZ_CUDNN_ENGINE_TEXT])
{
    int at = snprintf(text, KZ_CUDNN_ENGINE_TEXT, "%d", engine->index);
    for (int i = 0; i < engine->n_knobs; i++)
        at += snprintf(text + at, (size_t)(KZ_CUDNN_ENGINE_TEXT - at), "%c%d=%lld", i ? ',' : ':',
                       engine->knobs[i].type, (long long)engine->knobs[i].value);
}

/* Digits without a leading zero, at most `most`. */
static bool read_number(const char **at, const char *end, int64_t most, int64_t *number)
{
    const char *begin = *at;
    for (*number = 0; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        if (*at - begin == MAX_DIGITS)
            return false;
        *number = *number * 10 + (**at - '0');
    }
    bool leading_zero = *begin == '0' && *at - begin > 1;
    return *at > begin && !leading_zero && *number <= most;
}

static bool read_sign(const char **at, const char *end, char sign)
{
    if (*at == end || **at != sign)
        return false;
    (*at)++;
    return true;
}

static bool read_knob(const char **at, const char *end, kz_cudnn_engine *engine)
{
    int64_t type, value;
    int n = engine->n_knobs;
    if (n == KZ_CUDNN_MAX_KNOBS || !read_sign(at, end, n ? ',' : ':') ||
        !read_number(at, end, MAX_TYPE, &type) || !read_sign(at, end, '=') ||
        !read_number(at, end, INT64_MAX, &value) || (n && engine->knobs[n - 1].type >= type))
        return false;
    engine->knobs[engine->n_knobs++] = (kz_cudnn_knob){(int)type, value};
    return true;
}

int kz_cudnn_engine_read(kz_cudnn_engine *engine, const char *text, size_t length)
{
    const char *at = text, *end = text + length;
    int64_t index;
    memset(engine, 0, sizeof(*engine));
    if (at == end || !read_number(&at, end, MAX_INDEX, &index))
        return KZ_ERROR_FAILED;
    engine->index = (int)index;
    while (at < end)
        if (!read_knob(&at, end, engine))
            return KZ_ERROR_FAILED;
    return 0;
}
