/* Lists a convolution's engines. */
#include <string.h>

#include "base/mem.h"
#include "cuda/cudnn/graph.h"

enum { MAX_CONFIGS = 128 };

typedef struct engine_list {
    kz_cudnn_engine *engines;
    int n, most;
} engine_list;

bool kz_cudnn_engine_is_exact(kz_cudnn_set *set, cudnnBackendDescriptor_t engine,
                              const kz_cudnn_conv_params *params)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = kz_cudnn_take(set, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                              CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes);
    bool rounds = params->type != KZ_CUDNN_FP32 || params->tf32;
    bool exact = set->status == CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; i < n; i++) {
        bool tensor_cores = notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        exact =
            exact && (notes[i] == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP || (tensor_cores && rounds));
    }
    return exact;
}

static bool take_knob(kz_cudnn_set *set, cudnnBackendDescriptor_t choice, kz_cudnn_knob *knob)
{
    cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
    kz_cudnn_take(set, choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
    kz_cudnn_take(set, choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1,
                  &knob->value);
    knob->type = (int)type;
    return set->status == CUDNN_STATUS_SUCCESS;
}

static void insert_knob(kz_cudnn_engine *engine, kz_cudnn_knob knob)
{
    int at = engine->n_knobs++;
    for (; at > 0 && engine->knobs[at - 1].type > knob.type; at--)
        engine->knobs[at] = engine->knobs[at - 1];
    engine->knobs[at] = knob;
}

static bool take_knobs(kz_cudnn_set *set, cudnnBackendDescriptor_t config, kz_cudnn_engine *engine)
{
    cudnnBackendDescriptor_t choices[KZ_CUDNN_MAX_KNOBS];
    for (int i = 0; i < KZ_CUDNN_MAX_KNOBS; i++)
        choices[i] = kz_cudnn_make(set, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    int64_t n = kz_cudnn_take(set, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                              CUDNN_TYPE_BACKEND_DESCRIPTOR, KZ_CUDNN_MAX_KNOBS, choices);
    for (int64_t i = 0; i < n; i++) {
        kz_cudnn_knob knob = {0};
        if (!take_knob(set, choices[i], &knob))
            return false;
        insert_knob(engine, knob);
    }
    return set->status == CUDNN_STATUS_SUCCESS;
}

/* What can be written and read back can be kept. */
static bool can_be_kept(const kz_cudnn_engine *engine)
{
    char text[KZ_CUDNN_ENGINE_TEXT];
    kz_cudnn_engine again;
    kz_cudnn_engine_write(engine, text);
    return kz_cudnn_engine_read(&again, text, strlen(text)) == 0;
}

static bool take_engine(const kz_cudnn_conv *conv, cudnnBackendDescriptor_t config,
                        kz_cudnn_engine *engine)
{
    kz_cudnn_set set = {.cudnn = conv->cudnn};
    int64_t index = -1;
    memset(engine, 0, sizeof(*engine));
    cudnnBackendDescriptor_t made = kz_cudnn_make(&set, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    kz_cudnn_take(&set, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                  &made);
    kz_cudnn_take(&set, made, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
    engine->index = (int)index;
    bool good = kz_cudnn_engine_is_exact(&set, made, &conv->params) &&
                take_knobs(&set, config, engine) && can_be_kept(engine);
    kz_cudnn_clear(&set);
    return good;
}

static bool equal(const kz_cudnn_engine *a, const kz_cudnn_engine *b)
{
    bool same = a->index == b->index && a->n_knobs == b->n_knobs;
    for (int i = 0; same && i < a->n_knobs; i++)
        same = a->knobs[i].type == b->knobs[i].type && a->knobs[i].value == b->knobs[i].value;
    return same;
}

static void append(engine_list *list, const kz_cudnn_engine *engine)
{
    for (int i = 0; i < list->n; i++)
        if (equal(&list->engines[i], engine))
            return;
    if (list->n < list->most)
        list->engines[list->n++] = *engine;
}

/* A mode that knows nothing for this graph fails or gives no results; both mean none. */
static int ask(const kz_cudnn_conv *conv, const kz_cudnn_device *device,
               cudnnBackendHeurMode_t mode, kz_cudnn_set *set, engine_list *list)
{
    cudnnBackendDescriptor_t configs[MAX_CONFIGS];
    cudnnBackendDescriptor_t heuristic = kz_cudnn_make(set, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    kz_cudnn_put_descriptor(set, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, conv->graph);
    kz_cudnn_put_one(set, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, &mode);
    if (device->described)
        kz_cudnn_put_descriptor(set, heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                device->described);
    kz_cudnn_finalize(set, heuristic);
    for (int i = 0; i < MAX_CONFIGS; i++)
        configs[i] = kz_cudnn_make(set, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    int64_t n = kz_cudnn_take(set, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                              CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_CONFIGS, configs);
    if (set->status != CUDNN_STATUS_SUCCESS)
        return kz_cudnn_fail(conv->cudnn, conv->log, KZ_LOG_VERBOSE, set->status,
                             "cuDNN knows no engines for a convolution");
    for (int64_t i = 0; i < n; i++) {
        kz_cudnn_engine engine;
        if (take_engine(conv, configs[i], &engine))
            append(list, &engine);
    }
    return 0;
}

int kz_cudnn_conv_engines(kz_cudnn_conv *conv, kz_cudnn_device *device, kz_cudnn_engine *engines,
                          int most)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B,
                                                   CUDNN_HEUR_MODE_FALLBACK};
    engine_list list = {.engines = engines, .most = most};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        kz_cudnn_set set = {.cudnn = conv->cudnn};
        int ret = ask(conv, device, modes[i], &set, &list);
        kz_cudnn_clear(&set);
        if (ret == KZ_ERROR_MEMORY)
            return ret;
    }
    return list.n;
}
