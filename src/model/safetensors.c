#include "model/safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/mem.h"
#include "model/number.h"

#define HEADER_LIMIT ((size_t)1 << 20)

enum { MAX_TENSORS = 1024, MAX_LENGTH = 1 << 20 };

struct kz_safetensors {
    cJSON *header;
    kz_tensor *tensors; /* [count], by where they begin */
    int count;
};

struct parser {
    kz_safetensors *file;
    kz_bytes data; /* behind the header */
    const char *name;
    kz_log *log;
};

static int refuse(const struct parser *p, const char *why)
{
    return kz_fail(p->log, KZ_ERROR_FAILED, "%s: %s", p->name, why);
}

static int refuse_tensor(const struct parser *p, const char *tensor, const char *why)
{
    return kz_fail(p->log, KZ_ERROR_FAILED, "%s: tensor %.60s: %s", p->name, tensor, why);
}

/* ---- one array ---- */

/* A whole number from `least` to `most`, both exact in a double. */
static bool take_whole(const cJSON *item, double least, double most, double *value)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= least && item->valuedouble <= most) ||
        item->valuedouble != floor(item->valuedouble))
        return false;
    *value = item->valuedouble;
    return true;
}

static int take_shape(const struct parser *p, kz_tensor *t, const cJSON *object)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(object, "shape"), *length;
    t->count = 1;
    if (!cJSON_IsArray(shape))
        return refuse_tensor(p, t->name, "it has no shape");
    cJSON_ArrayForEach(length, shape)
    {
        double value;
        if (t->rank == KZ_TENSOR_RANK || !take_whole(length, 1, MAX_LENGTH, &value))
            return refuse_tensor(p, t->name, "a shape like this isn't supported");
        t->shape[t->rank++] = (int)value;
        t->count *= (size_t)value;
        if (t->count > p->data.size)
            return refuse_tensor(p, t->name, "it is larger than the file");
    }
    return 0;
}

static int take_type(const struct parser *p, kz_tensor *t, const cJSON *object)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(object, "dtype");
    const char *text = cJSON_IsString(type) ? type->valuestring : "";
    t->number_bytes = strcmp(text, "F32") == 0 ? 4 : strcmp(text, "F16") == 0 ? 2 : 0;
    return t->number_bytes ? 0 : refuse_tensor(p, t->name, "its dtype is neither F32 nor F16");
}

static int take_place(const struct parser *p, kz_tensor *t, const cJSON *object)
{
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(object, "data_offsets");
    double begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !take_whole(cJSON_GetArrayItem(offsets, 0), 0, (double)p->data.size, &begin) ||
        !take_whole(cJSON_GetArrayItem(offsets, 1), begin, (double)p->data.size, &end))
        return refuse_tensor(p, t->name, "its place isn't inside the file");
    if (end - begin != (double)t->count * t->number_bytes)
        return refuse_tensor(p, t->name, "its place is not as long as its shape");
    t->begin = (size_t)begin;
    t->data = p->data.data + t->begin;
    return 0;
}

static int take_tensor(const struct parser *p, const cJSON *item)
{
    kz_tensor *t = &p->file->tensors[p->file->count];
    *t = (kz_tensor){.name = item->string};
    if (p->file->count == MAX_TENSORS)
        return refuse(p, "it has too many tensors");
    if (kz_safetensors_find(p->file, t->name))
        return refuse_tensor(p, t->name, "it is there twice");
    int error = take_shape(p, t, item);
    if (!error)
        error = take_type(p, t, item);
    if (!error)
        error = take_place(p, t, item);
    p->file->count += !error;
    return error;
}

/* ---- all of them ---- */

static int compare_places(const void *a, const void *b)
{
    const kz_tensor *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* One after the other, from the first byte to the last. */
static int check_places(const struct parser *p)
{
    kz_safetensors *f = p->file;
    size_t end = 0;
    qsort(f->tensors, (size_t)f->count, sizeof(*f->tensors), compare_places);
    for (int i = 0; i < f->count; i++) {
        if (f->tensors[i].begin != end)
            return refuse_tensor(p, f->tensors[i].name,
                                 f->tensors[i].begin < end ? "it overlaps another"
                                                           : "there is a gap before it");
        end += f->tensors[i].count * (size_t)f->tensors[i].number_bytes;
    }
    return end == p->data.size ? 0 : refuse(p, "bytes are left over after the last tensor");
}

static bool is_metadata(const cJSON *item)
{
    return strcmp(item->string, "__metadata__") == 0;
}

static int take_header(const struct parser *p)
{
    const cJSON *item;
    int error = 0, metadata = 0;
    p->file->tensors = kz_alloc(MAX_TENSORS + 1, sizeof(*p->file->tensors));
    if (!p->file->tensors)
        return kz_fail_memory(p->log, p->name);
    cJSON_ArrayForEach(item, p->file->header)
    {
        if (!is_metadata(item))
            error = take_tensor(p, item);
        else if (metadata++ || !cJSON_IsObject(item))
            error = refuse(p, "its __metadata__ isn't one object");
        if (error)
            return error;
    }
    return check_places(p);
}

/* Behind the object only spaces may follow, which align the arrays. */
static cJSON *parse_header(const char *text, size_t length)
{
    const char *end = NULL;
    cJSON *header = cJSON_ParseWithLengthOpts(text, length, &end, false);
    while (header && end < text + length && *end == ' ')
        end++;
    if (header && end == text + length && cJSON_IsObject(header))
        return header;
    cJSON_Delete(header);
    return NULL;
}

static int parse(struct parser *p, kz_bytes bytes)
{
    kz_reader reader = {bytes.data, bytes.size, 0};
    uint32_t low, high;
    if (kz_reader_u32(&reader, &low) || kz_reader_u32(&reader, &high))
        return refuse(p, "the file ends before its header");
    const uint8_t *text = high || low > HEADER_LIMIT ? NULL : kz_reader_take(&reader, low);
    if (!text)
        return refuse(p, "its header is longer than the file, or than 1 MiB");
    p->data = (kz_bytes){bytes.data + reader.position, bytes.size - reader.position};
    p->file->header = parse_header((const char *)text, low);
    return p->file->header ? take_header(p) : refuse(p, "its header isn't a JSON object");
}

int kz_safetensors_open(kz_safetensors **file, kz_bytes bytes, const char *name, kz_log *log)
{
    struct parser p = {.file = kz_alloc(1, sizeof(*p.file)), .name = name, .log = log};
    *file = p.file;
    int error = p.file ? parse(&p, bytes) : kz_fail_memory(log, name);
    if (error)
        kz_safetensors_close(file);
    return error;
}

void kz_safetensors_close(kz_safetensors **file)
{
    kz_safetensors *f = *file;
    if (!f)
        return;
    cJSON_Delete(f->header);
    kz_free(f->tensors);
    kz_free(f);
    *file = NULL;
}

int kz_safetensors_count(const kz_safetensors *f)
{
    return f->count;
}

const kz_tensor *kz_safetensors_find(const kz_safetensors *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->tensors[i].name, name) == 0)
            return &f->tensors[i];
    return NULL;
}

const char *kz_safetensors_text(const kz_safetensors *f, const char *key)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(f->header, "__metadata__");
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, key));
}

float *kz_tensor_numbers(const kz_tensor *t)
{
    float *numbers = kz_alloc_raw(t->count, sizeof(*numbers));
    for (size_t i = 0; i < t->count && numbers; i++)
        numbers[i] =
            t->number_bytes == 2 ? kz_number_f16(t->data + 2 * i) : kz_number_f32(t->data + 4 * i);
    return numbers;
}
