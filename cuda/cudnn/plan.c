/* A convolution with one of its engines, ready to run. */
#include "base/mem.h"
#include "cuda/cudnn/graph.h"

struct kz_cudnn_plan {
    kz_cudnn_conv *conv;
    kz_cudnn_device *device;
    kz_cudnn_set set;
    cudnnBackendDescriptor_t plan;
    int64_t workspace;
};

static cudnnBackendDescriptor_t make_engine(kz_cudnn_plan *plan, int index)
{
    kz_cudnn_set *set = &plan->set;
    cudnnBackendDescriptor_t made = kz_cudnn_make(set, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    kz_cudnn_put_descriptor(set, made, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, plan->conv->graph);
    kz_cudnn_put_integer(set, made, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, index);
    if (plan->device->described)
        kz_cudnn_put_descriptor(set, made, CUDNN_ATTR_ENGINE_DEVICEPROP, plan->device->described);
    kz_cudnn_finalize(set, made);
    return made;
}

static cudnnBackendDescriptor_t make_knob(kz_cudnn_set *set, const kz_cudnn_knob *knob)
{
    cudnnBackendKnobType_t type = (cudnnBackendKnobType_t)knob->type;
    cudnnBackendDescriptor_t made = kz_cudnn_make(set, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    kz_cudnn_put_one(set, made, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, &type);
    kz_cudnn_put_integer(set, made, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, knob->value);
    kz_cudnn_finalize(set, made);
    return made;
}

static cudnnBackendDescriptor_t make_config(kz_cudnn_set *set, cudnnBackendDescriptor_t engine,
                                            const kz_cudnn_engine *choice)
{
    cudnnBackendDescriptor_t knobs[KZ_CUDNN_MAX_KNOBS];
    for (int i = 0; i < choice->n_knobs; i++)
        knobs[i] = make_knob(set, &choice->knobs[i]);
    cudnnBackendDescriptor_t made = kz_cudnn_make(set, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    kz_cudnn_put_descriptor(set, made, CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    if (choice->n_knobs)
        kz_cudnn_put(set, made, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                     choice->n_knobs, knobs);
    kz_cudnn_finalize(set, made);
    return made;
}

static int build(kz_cudnn_plan *plan, const kz_cudnn_engine *choice)
{
    kz_cudnn_set *set = &plan->set;
    kz_cudnn_conv *conv = plan->conv;
    cudnnBackendDescriptor_t engine = make_engine(plan, choice->index);
    bool exact = kz_cudnn_engine_is_exact(set, engine, &conv->params);
    if (set->status == CUDNN_STATUS_SUCCESS && !exact) {
        kz_log_line(conv->log, KZ_LOG_VERBOSE, "cuDNN's engine %d rounds too much", choice->index);
        return KZ_ERROR_FAILED;
    }
    cudnnBackendDescriptor_t config = make_config(set, engine, choice);
    plan->plan = kz_cudnn_make(set, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    kz_cudnn_put_descriptor(set, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    kz_cudnn_finalize(set, plan->plan);
    kz_cudnn_take(set, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                  &plan->workspace);
    if (set->status != CUDNN_STATUS_SUCCESS)
        return kz_cudnn_fail(conv->cudnn, conv->log, KZ_LOG_VERBOSE, set->status, "cuDNN's engine");
    return 0;
}

int kz_cudnn_plan_open(kz_cudnn_plan **plan, kz_cudnn_conv *conv, kz_cudnn_device *device,
                       const kz_cudnn_engine *engine)
{
    *plan = kz_alloc(1, sizeof(**plan));
    if (!*plan)
        return kz_fail_memory(conv->log, "cuDNN's plan");
    (*plan)->conv = conv;
    (*plan)->device = device;
    (*plan)->set.cudnn = conv->cudnn;
    int ret = build(*plan, engine);
    if (ret < 0)
        kz_cudnn_plan_close(plan);
    return ret;
}

void kz_cudnn_plan_close(kz_cudnn_plan **plan)
{
    if (!*plan)
        return;
    kz_cudnn_clear(&(*plan)->set);
    kz_free(*plan);
    *plan = NULL;
}

int64_t kz_cudnn_plan_workspace(const kz_cudnn_plan *plan)
{
    return plan->workspace;
}

/* What a run hands to cuDNN, each address under its name. */
enum { MAX_ADDRESSES = 6 + 2 * KZ_CUDNN_RESIDUALS };

typedef struct addresses {
    int64_t ids[MAX_ADDRESSES];
    const void *addresses[MAX_ADDRESSES];
    int n;
    int wrong; /* name of the first one that is missing or badly aligned, or 0 */
} addresses;

static void add_address(addresses *pack, int64_t id, const void *address, int alignment)
{
    if (!pack->wrong && (!address || (uintptr_t)address % (unsigned)alignment))
        pack->wrong = (int)id;
    pack->ids[pack->n] = id;
    pack->addresses[pack->n++] = address;
}

static void fill_pack(addresses *pack, const kz_cudnn_conv *conv, const kz_cudnn_buffers *buffers)
{
    const kz_cudnn_conv_params *p = &conv->params;
    add_address(pack, KZ_CUDNN_ID_IN, buffers->in, kz_cudnn_alignment(p, &p->in));
    add_address(pack, KZ_CUDNN_ID_WEIGHTS, buffers->weights, 16);
    add_address(pack, KZ_CUDNN_ID_OUT, buffers->out, kz_cudnn_alignment(p, &p->out));
    if (p->bias)
        add_address(pack, KZ_CUDNN_ID_BIAS, buffers->bias, 16);
    if (p->act == KZ_ACT_PRELU) {
        add_address(pack, KZ_CUDNN_ID_SLOPES, buffers->slopes, 16);
        add_address(pack, KZ_CUDNN_ID_ZERO, &conv->zero, 1);
    }
    for (int i = 0; i < p->n_residuals; i++) {
        add_address(pack, KZ_CUDNN_ID_RESIDUAL + i, buffers->residuals[i],
                    kz_cudnn_alignment(p, &p->residuals[i]));
        if (p->coefs[i] != 1)
            add_address(pack, KZ_CUDNN_ID_COEF + i, &p->coefs[i], 1);
    }
}

static const char *name_of(int id)
{
    static const char *const names[] = {[KZ_CUDNN_ID_IN] = "input",
                                        [KZ_CUDNN_ID_WEIGHTS] = "weights",
                                        [KZ_CUDNN_ID_BIAS] = "bias",
                                        [KZ_CUDNN_ID_SLOPES] = "slopes",
                                        [KZ_CUDNN_ID_OUT] = "output"};
    return id < KZ_CUDNN_ID_ZERO ? names[id] : "residual";
}

static cudnnStatus_t execute(kz_cudnn_plan *plan, void *stream, const addresses *pack,
                             void *workspace)
{
    const kz_cudnn *cudnn = plan->conv->cudnn;
    cudnnHandle_t handle = plan->device->handle;
    kz_cudnn_set set = {.cudnn = cudnn};
    cudnnBackendDescriptor_t made = kz_cudnn_make(&set, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    kz_cudnn_put(&set, made, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, pack->n,
                 pack->ids);
    kz_cudnn_put(&set, made, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pack->n,
                 pack->addresses);
    kz_cudnn_put_one(&set, made, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR,
                     &workspace);
    kz_cudnn_finalize(&set, made);
    if (set.status == CUDNN_STATUS_SUCCESS)
        set.status = cudnn->set_stream(handle, stream);
    if (set.status == CUDNN_STATUS_SUCCESS)
        set.status = cudnn->execute(handle, plan->plan, made);
    cudnnStatus_t status = set.status;
    kz_cudnn_clear(&set);
    return status;
}

int kz_cudnn_plan_run(kz_cudnn_plan *plan, void *stream, const kz_cudnn_buffers *buffers)
{
    kz_cudnn_conv *conv = plan->conv;
    addresses pack = {0};
    fill_pack(&pack, conv, buffers);
    if (pack.wrong)
        return kz_fail(conv->log, KZ_ERROR_FAILED, "cuDNN: the address of the %s is badly aligned",
                       name_of(pack.wrong));
    if (plan->workspace > 0 && !buffers->workspace)
        return kz_fail(conv->log, KZ_ERROR_FAILED, "cuDNN: the workspace is missing");
    if (!plan->device->handle)
        return kz_fail(conv->log, KZ_ERROR_FAILED, "cuDNN: this GPU is only described");
    cudnnStatus_t status = execute(plan, stream, &pack, buffers->workspace);
    if (status != CUDNN_STATUS_SUCCESS)
        return kz_cudnn_fail(conv->cudnn, conv->log, KZ_LOG_ERROR, status, "cuDNN failed");
    return 0;
}
