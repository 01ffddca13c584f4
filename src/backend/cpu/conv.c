#include "backend/cpu/conv.h"

#include <string.h>

#include <dnnl.h>

#include "base/mem.h"

enum { MAX_ARGS = 5 + KZ_CONV_RESIDUALS };

struct binding {
    dnnl_stream_t stream;
    dnnl_exec_arg_t args[MAX_ARGS];
    dnnl_memory_t owned[MAX_ARGS]; /* what close() destroys: weights and bias are shared */
    int n_args, n_owned;
};

struct kz_conv {
    dnnl_engine_t engine;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t src, dst;
    dnnl_memory_t weights, bias;
    float *bias_data;
    int n_residuals, residual_at[KZ_CONV_RESIDUALS]; /* places in the chain of post-operations */
    struct binding *bindings;
    int workers;
};

/* ---- descriptors ---- */

static dnnl_format_tag_t tag_of(const kz_layout *layout)
{
    if (layout->run == 16)
        return dnnl_nChw16c;
    if (layout->run == 8)
        return dnnl_nChw8c;
    return layout->run == 1 ? dnnl_nchw : dnnl_nhwc;
}

static dnnl_status_t describe(dnnl_memory_desc_t *md, const kz_layout *layout, int channels)
{
    dnnl_dims_t dims = {1, channels, layout->height, layout->width};
    return dnnl_memory_desc_init_by_tag(md, 4, dims, layout->bf16 ? dnnl_bf16 : dnnl_f32,
                                        tag_of(layout));
}

/* y = conv + c1 r1 + c2 r2 as a chain of additions and scalings: the weights are divided by
 * c1 beforehand, r1 is added, the sum multiplied by c1 / c2, r2 added, the sum multiplied by c2. */
static dnnl_status_t append_residuals(kz_conv *c, dnnl_post_ops_t ops, const kz_conv_params *p)
{
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < p->n_residuals && !status; i++) {
        float next = i + 1 < p->n_residuals ? p->coefs[i + 1] : 1;
        c->residual_at[i] = dnnl_post_ops_len(ops);
        status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, &c->dst);
        if (!status && p->coefs[i] != next)
            status =
                dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_linear, p->coefs[i] / next, 0);
    }
    c->n_residuals = p->n_residuals;
    return status;
}

static dnnl_status_t make_attributes(kz_conv *c, dnnl_primitive_attr_t *attr,
                                     const kz_conv_params *p)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (!status)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (!status)
        status = dnnl_post_ops_create(&ops);
    if (!status && p->leaky)
        status = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, p->slope, 0);
    if (!status)
        status = append_residuals(c, ops, p);
    if (!status)
        status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t make_desc(kz_conv *c, const kz_conv_params *p, dnnl_primitive_attr_t attr)
{
    dnnl_dims_t w = {p->out_channels, p->in_channels, p->kernel, p->kernel};
    dnnl_dims_t b = {p->out_channels}, strides = {1, 1};
    dnnl_dims_t before = {p->pad_top, p->pad_left}, after = {p->pad_bottom, p->pad_right};
    dnnl_memory_desc_t weights, bias;
    dnnl_convolution_desc_t desc;
    dnnl_data_type_t type = p->src.bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&weights, 4, w, type, dnnl_format_tag_any);
    if (!status)
        status = dnnl_memory_desc_init_by_tag(&bias, 1, b, dnnl_f32, dnnl_a);
    if (!status)
        status = dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference,
                                                    dnnl_convolution_direct, &c->src, &weights,
                                                    &bias, &c->dst, strides, before, after);
    if (!status)
        status = dnnl_primitive_desc_create(&c->desc, &desc, attr, c->engine, NULL);
    return status;
}

/* The naive code is a hundred times slower: better to say so than to seem hung. */
static int check_implementation(const kz_conv *c, const kz_conv_params *p, kz_log *log)
{
    const char *name = "";
    dnnl_primitive_desc_query(c->desc, dnnl_query_impl_info_str, 0, (void *)&name);
    if (strncmp(name, "ref", 3) != 0 && !strstr(name, ":ref"))
        return 0;
    return kz_fail(log, KZ_ERROR_FAILED,
                   "layer %s: oneDNN has no fast convolution for %d to %d channels, %d×%d, in %s "
                   "on this CPU (only %s)",
                   p->layer, p->in_channels, p->out_channels, p->kernel, p->kernel,
                   p->src.bf16 ? "bf16" : "fp32", name);
}

/* ---- weights ---- */

static dnnl_status_t reorder(dnnl_engine_t engine, dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_memory_desc_t *src, *dst;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    dnnl_status_t status = dnnl_memory_get_memory_desc(from, &src);
    if (!status)
        status = dnnl_memory_get_memory_desc(to, &dst);
    if (!status)
        status = dnnl_reorder_primitive_desc_create(&desc, src, engine, dst, engine, NULL);
    if (!status)
        status = dnnl_primitive_create(&primitive, desc);
    if (!status)
        status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (!status)
        status = dnnl_primitive_execute(primitive, stream, 2, args);
    if (!status)
        status = dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static dnnl_status_t pack_weights(kz_conv *c, const kz_conv_params *p, float *scaled)
{
    const dnnl_memory_desc_t *packed =
        dnnl_primitive_desc_query_md(c->desc, dnnl_query_weights_md, 0);
    dnnl_dims_t dims = {p->out_channels, p->in_channels, p->kernel, p->kernel};
    dnnl_memory_desc_t plain;
    dnnl_memory_t from = NULL;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_f32, dnnl_oihw);
    if (!status)
        status = dnnl_memory_create(&from, &plain, c->engine, scaled);
    if (!status)
        status = dnnl_memory_create(&c->weights, packed, c->engine, DNNL_MEMORY_ALLOCATE);
    if (!status)
        status = reorder(c->engine, from, c->weights);
    dnnl_memory_destroy(from);
    return status;
}

static int load_weights(kz_conv *c, const kz_conv_params *p, kz_log *log)
{
    size_t count =
        (size_t)p->out_channels * (size_t)p->in_channels * (size_t)(p->kernel * p->kernel);
    float scale = p->n_residuals ? 1 / p->coefs[0] : 1;
    float *scaled = kz_alloc_raw(count, sizeof(*scaled));
    c->bias_data = kz_alloc((size_t)p->out_channels, sizeof(*c->bias_data));
    if (!scaled || !c->bias_data) {
        kz_free(scaled);
        return kz_fail_memory(log, p->layer);
    }
    for (size_t i = 0; i < count; i++)
        scaled[i] = p->weights[i] * scale;
    for (int i = 0; i < p->out_channels && p->bias; i++)
        c->bias_data[i] = p->bias[i] * scale;
    dnnl_status_t status = pack_weights(c, p, scaled);
    kz_free(scaled);
    dnnl_dims_t dims = {p->out_channels};
    dnnl_memory_desc_t bias;
    if (!status)
        status = dnnl_memory_desc_init_by_tag(&bias, 1, dims, dnnl_f32, dnnl_a);
    if (!status)
        status = dnnl_memory_create(&c->bias, &bias, c->engine, c->bias_data);
    return status ? kz_fail(log, KZ_ERROR_FAILED, "layer %s: oneDNN error %d packing its weights",
                            p->layer, status)
                  : 0;
}

/* ---- life ---- */

static int open_conv(kz_conv *c, const kz_conv_params *p, kz_log *log)
{
    dnnl_primitive_attr_t attr = NULL;
    c->workers = p->workers;
    c->bindings = kz_alloc((size_t)p->workers, sizeof(*c->bindings));
    if (!c->bindings)
        return kz_fail_memory(log, p->layer);
    dnnl_status_t status = dnnl_engine_create(&c->engine, dnnl_cpu, 0);
    if (!status)
        status = describe(&c->src, &p->src, p->in_channels);
    if (!status)
        status = describe(&c->dst, &p->dst, p->out_channels);
    if (!status)
        status = make_attributes(c, &attr, p);
    if (!status)
        status = make_desc(c, p, attr);
    dnnl_primitive_attr_destroy(attr);
    int error = status ? 0 : check_implementation(c, p, log);
    if (error)
        return error;
    if (!status)
        status = dnnl_primitive_create(&c->primitive, c->desc);
    if (status)
        return kz_fail(log, KZ_ERROR_FAILED,
                       "layer %s: oneDNN has no convolution for %d to %d channels, %d×%d, in %s "
                       "(error %d)",
                       p->layer, p->in_channels, p->out_channels, p->kernel, p->kernel,
                       p->src.bf16 ? "bf16" : "fp32", status);
    return load_weights(c, p, log);
}

int kz_conv_open(kz_conv **conv, const kz_conv_params *params, kz_log *log)
{
    kz_conv *c = *conv = kz_alloc(1, sizeof(*c));
    if (!c)
        return kz_fail_memory(log, params->layer);
    int error = open_conv(c, params, log);
    if (error)
        kz_conv_close(conv);
    return error;
}

void kz_conv_close(kz_conv **conv)
{
    kz_conv *c = *conv;
    if (!c)
        return;
    for (int w = 0; w < c->workers && c->bindings; w++) {
        for (int i = 0; i < c->bindings[w].n_owned; i++)
            dnnl_memory_destroy(c->bindings[w].owned[i]);
        dnnl_stream_destroy(c->bindings[w].stream);
    }
    kz_free(c->bindings);
    dnnl_memory_destroy(c->weights);
    dnnl_memory_destroy(c->bias);
    kz_free(c->bias_data);
    dnnl_primitive_destroy(c->primitive);
    dnnl_primitive_desc_destroy(c->desc);
    dnnl_engine_destroy(c->engine);
    kz_free(c);
    *conv = NULL;
}

static size_t query_bytes(const kz_conv *c, dnnl_query_t what)
{
    return dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(c->desc, what, 0));
}

size_t kz_conv_weight_bytes(const kz_conv *c)
{
    return query_bytes(c, dnnl_query_weights_md);
}

size_t kz_conv_scratch_bytes(const kz_conv *c)
{
    return query_bytes(c, dnnl_query_scratchpad_md);
}

/* ---- run ---- */

static dnnl_status_t add_arg(struct binding *b, dnnl_engine_t engine, int arg,
                             const dnnl_memory_desc_t *desc, void *data)
{
    dnnl_memory_t memory;
    dnnl_status_t status = dnnl_memory_create(&memory, desc, engine, data);
    if (status)
        return status;
    b->owned[b->n_owned++] = memory;
    b->args[b->n_args++] = (dnnl_exec_arg_t){arg, memory};
    return dnnl_success;
}

int kz_conv_bind(kz_conv *c, int worker, void *src, void *dst, void *const *residuals,
                 void *scratch, kz_log *log)
{
    struct binding *b = &c->bindings[worker];
    const dnnl_memory_desc_t *pad =
        dnnl_primitive_desc_query_md(c->desc, dnnl_query_scratchpad_md, 0);
    b->args[b->n_args++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, c->weights};
    b->args[b->n_args++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, c->bias};
    dnnl_status_t status = dnnl_stream_create(&b->stream, c->engine, dnnl_stream_default_flags);
    if (!status)
        status = add_arg(b, c->engine, DNNL_ARG_SRC, &c->src, src);
    if (!status)
        status = add_arg(b, c->engine, DNNL_ARG_DST, &c->dst, dst);
    if (!status)
        status = add_arg(b, c->engine, DNNL_ARG_SCRATCHPAD, pad, scratch);
    for (int i = 0; i < c->n_residuals && !status; i++)
        status = add_arg(b, c->engine,
                         DNNL_ARG_ATTR_MULTIPLE_POST_OP(c->residual_at[i]) | DNNL_ARG_SRC_1,
                         &c->dst, residuals[i]);
    return status
               ? kz_fail(log, KZ_ERROR_FAILED, "oneDNN error %d binding a layer's memory", status)
               : 0;
}

int kz_conv_run(const kz_conv *c, int worker)
{
    const struct binding *b = &c->bindings[worker];
    if (dnnl_primitive_execute(c->primitive, b->stream, b->n_args, b->args))
        return KZ_ERROR_FAILED;
    return dnnl_stream_wait(b->stream) ? KZ_ERROR_FAILED : 0;
}
