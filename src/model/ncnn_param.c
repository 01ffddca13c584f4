#include "model/ncnn_param.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_LAYERS = 4096, MAX_BLOBS = 8192, BLOB_NAME = 64 };

struct parser {
    kz_ncnn_param *param;
    const char *name; /* of the file */
    kz_log *log;
    const char *at, *end;
    int line;
    char (*blobs)[BLOB_NAME]; /* names by number */
    int n_blobs;
};

static int refuse(const struct parser *p, const char *why)
{
    return kz_fail(p->log, KZ_ERROR_FAILED, "%s: line %d: %s", p->name, p->line, why);
}

/* ---- words ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; false at its end, or when it doesn't fit. */
static bool take_word(struct parser *p, char *word, size_t size)
{
    while (p->at < p->end && is_space(*p->at))
        p->at++;
    const char *begin = p->at;
    while (p->at < p->end && !is_space(*p->at) && *p->at != '\n')
        p->at++;
    size_t length = (size_t)(p->at - begin);
    if (!length || length >= size)
        return false;
    memcpy(word, begin, length);
    word[length] = 0;
    return true;
}

static bool take_int(struct parser *p, int least, int most, int *number)
{
    char word[16], *end;
    if (!take_word(p, word, sizeof(word)))
        return false;
    long value = strtol(word, &end, 10);
    *number = (int)value;
    return !*end && value >= least && value <= most;
}

/* Moves to the next line that has a word; false at the end of the file. */
static bool next_line(struct parser *p)
{
    while (p->at < p->end && *p->at != '\n')
        p->at++;
    while (p->at < p->end) {
        if (*p->at == '\n')
            p->line++;
        else if (!is_space(*p->at))
            return true;
        p->at++;
    }
    return false;
}

/* ---- blobs ---- */

static int find_blob(const struct parser *p, const char *name)
{
    for (int i = p->n_blobs - 1; i >= 0; i--)
        if (strcmp(p->blobs[i], name) == 0)
            return i;
    return -1;
}

static int take_blobs(struct parser *p, kz_ncnn_layer *layer)
{
    char name[BLOB_NAME];
    for (int i = 0; i < layer->n_in; i++) {
        if (!take_word(p, name, sizeof(name)))
            return refuse(p, "a blob's name is missing or too long");
        layer->in[i] = find_blob(p, name);
        if (layer->in[i] < 0)
            return refuse(p, "it reads a blob that no earlier layer makes");
    }
    for (int i = 0; i < layer->n_out; i++) {
        if (!take_word(p, name, sizeof(name)))
            return refuse(p, "a blob's name is missing or too long");
        if (find_blob(p, name) >= 0 || p->n_blobs == p->param->n_blobs)
            return refuse(p, "it makes a blob twice, or more blobs than announced");
        memcpy(p->blobs[p->n_blobs], name, sizeof(name));
        layer->out[i] = p->n_blobs++;
    }
    return 0;
}

/* ---- keys ---- */

static bool parse_array(kz_ncnn_layer *layer, int id, char *text)
{
    char *end;
    long length = strtol(text, &end, 10);
    if (length < 1 || length > KZ_NCNN_ARRAY)
        return false;
    layer->array_length[id] = (int)length;
    for (int i = 0; i < length; i++) {
        if (*end != ',')
            return false;
        text = end + 1;
        layer->array[id][i] = strtod(text, &end);
        if (end == text || !isfinite(layer->array[id][i]))
            return false;
    }
    return !*end;
}

static bool parse_key(kz_ncnn_layer *layer, char *word)
{
    char *end;
    long id = strtol(word, &end, 10);
    if (end == word || *end != '=')
        return false;
    char *text = end + 1;
    if (id <= -23300) {
        id = -23300 - id;
        return id >= 0 && id < KZ_NCNN_IDS && parse_array(layer, (int)id, text);
    }
    if (id < 0 || id >= KZ_NCNN_IDS)
        return false;
    layer->value[id] = strtod(text, &end);
    return end != text && !*end && isfinite(layer->value[id]);
}

static int take_layer(struct parser *p, kz_ncnn_layer *layer)
{
    char word[128];
    layer->line = p->line;
    if (!take_word(p, layer->type, sizeof(layer->type)) ||
        !take_word(p, layer->name, sizeof(layer->name)))
        return refuse(p, "a layer's type or name is missing or too long");
    if (!take_int(p, 0, KZ_NCNN_BLOBS, &layer->n_in) ||
        !take_int(p, 1, KZ_NCNN_BLOBS, &layer->n_out))
        return refuse(p, "its numbers of inputs and outputs aren't usable");
    int error = take_blobs(p, layer);
    if (error)
        return error;
    while (take_word(p, word, sizeof(word)))
        if (!parse_key(layer, word))
            return refuse(p, "a key isn't like 0=64 or -23310=1,0.2");
    return p->at < p->end && *p->at != '\n' ? refuse(p, "a key is too long") : 0;
}

static int take_header(struct parser *p)
{
    int magic;
    if (!take_int(p, 7767517, 7767517, &magic))
        return refuse(p, "not an ncnn .param file: 7767517 is missing");
    if (!next_line(p) || !take_int(p, 2, MAX_LAYERS, &p->param->n_layers) ||
        !take_int(p, 1, MAX_BLOBS, &p->param->n_blobs))
        return refuse(p, "its numbers of layers and blobs aren't usable");
    p->param->layers = kz_alloc((size_t)p->param->n_layers, sizeof(*p->param->layers));
    p->blobs = kz_alloc((size_t)p->param->n_blobs, sizeof(*p->blobs));
    return p->param->layers && p->blobs ? 0 : kz_fail_memory(p->log, p->name);
}

static int parse(struct parser *p)
{
    int error = take_header(p);
    for (int i = 0; i < p->param->n_layers && !error; i++) {
        if (!next_line(p))
            return refuse(p, "the file ends before its last layer");
        error = take_layer(p, &p->param->layers[i]);
    }
    if (error)
        return error;
    if (next_line(p))
        return refuse(p, "there is more after the last layer");
    p->param->output = find_blob(p, "output");
    if (p->param->output < 0)
        p->param->output = p->param->layers[p->param->n_layers - 1].out[0];
    return 0;
}

int kz_ncnn_param_parse(kz_ncnn_param *param, kz_bytes text, const char *name, kz_log *log)
{
    const char *begin = (const char *)text.data;
    struct parser p = {
        .param = param, .name = name, .log = log, .at = begin, .end = begin + text.size, .line = 1};
    *param = (kz_ncnn_param){0};
    int error = parse(&p);
    kz_free(p.blobs);
    if (error)
        kz_ncnn_param_free(param);
    return error;
}

void kz_ncnn_param_free(kz_ncnn_param *param)
{
    kz_free(param->layers);
    *param = (kz_ncnn_param){0};
}
