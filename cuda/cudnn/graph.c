#include "cuda/cudnn/graph.h"

/* conv, bias, four for PReLU, two for each residual. */
enum { MAX_OPERATIONS = 6 + 2 * KZ_CUDNN_RESIDUALS };

/* The operations so far; each works on what the one before made. */
typedef struct chain {
    kz_cudnn_conv *conv;
    kz_cudnn_set *set;
    cudnnBackendDescriptor_t operations[MAX_OPERATIONS];
    int n_operations;
    int left;       /* links of the chain after this one; the last writes the output */
    int64_t unused; /* the next tensor's name */
} chain;

static cudnnDataType_t data_type(enum kz_cudnn_type type)
{
    switch (type) {
    case KZ_CUDNN_FP16:
        return CUDNN_DATA_HALF;
    case KZ_CUDNN_BF16:
        return CUDNN_DATA_BFLOAT16;
    default:
        return CUDNN_DATA_FLOAT;
    }
}

typedef struct tensor {
    int64_t id;
    cudnnDataType_t type;
    int64_t dims[4], strides[4]; /* N, C, H, W */
    int64_t alignment;
    bool is_virtual, by_value;
} tensor;

static cudnnBackendDescriptor_t make_tensor(kz_cudnn_set *set, const tensor *t)
{
    cudnnBackendDescriptor_t made = kz_cudnn_make(set, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    kz_cudnn_put_integer(set, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, t->id);
    kz_cudnn_put_one(set, made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, &t->type);
    kz_cudnn_put(set, made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t->dims);
    kz_cudnn_put(set, made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, t->strides);
    kz_cudnn_put_integer(set, made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, t->alignment);
    kz_cudnn_put_one(set, made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, &t->is_virtual);
    kz_cudnn_put_one(set, made, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, &t->by_value);
    kz_cudnn_finalize(set, made);
    return made;
}

static cudnnBackendDescriptor_t picture(chain *c, int64_t id, int channels, int height, int width,
                                        const kz_cudnn_strides *s)
{
    const kz_cudnn_conv_params *p = &c->conv->params;
    return make_tensor(c->set, &(tensor){.id = id,
                                         .type = data_type(p->type),
                                         .dims = {p->batch, channels, height, width},
                                         .strides = {s->picture, 1, s->row, s->pixel},
                                         .alignment = kz_cudnn_alignment(p, s)});
}

static cudnnBackendDescriptor_t like_output(chain *c, int64_t id, const kz_cudnn_strides *s)
{
    return picture(c, id, c->conv->params.out_channels, c->conv->out_height, c->conv->out_width, s);
}

static cudnnBackendDescriptor_t make_weights(chain *c)
{
    const kz_cudnn_conv_params *p = &c->conv->params;
    int64_t column = p->in_channels, row = column * p->kernel_w, filter = row * p->kernel_h;
    return make_tensor(
        c->set, &(tensor){.id = KZ_CUDNN_ID_WEIGHTS,
                          .type = data_type(p->type),
                          .dims = {p->out_channels, p->in_channels, p->kernel_h, p->kernel_w},
                          .strides = {filter, 1, row, column},
                          .alignment = 16});
}

static cudnnBackendDescriptor_t per_channel(chain *c, int64_t id)
{
    int64_t channels = c->conv->params.out_channels;
    return make_tensor(c->set, &(tensor){.id = id,
                                         .type = CUDNN_DATA_FLOAT,
                                         .dims = {1, channels, 1, 1},
                                         .strides = {channels, 1, channels, channels},
                                         .alignment = 16});
}

/* A number in host memory, read when the plan runs. */
static cudnnBackendDescriptor_t number(chain *c, int64_t id)
{
    return make_tensor(c->set, &(tensor){.id = id,
                                         .type = CUDNN_DATA_FLOAT,
                                         .dims = {1, 1, 1, 1},
                                         .strides = {1, 1, 1, 1},
                                         .alignment = sizeof(float),
                                         .by_value = true});
}

/* An intermediate result, fp32, never in memory. */
static cudnnBackendDescriptor_t passing(chain *c)
{
    const kz_cudnn_conv *conv = c->conv;
    int64_t channels = conv->params.out_channels, row = channels * conv->out_width;
    return make_tensor(
        c->set, &(tensor){.id = c->unused++,
                          .type = CUDNN_DATA_FLOAT,
                          .dims = {conv->params.batch, channels, conv->out_height, conv->out_width},
                          .strides = {row * conv->out_height, 1, row, channels},
                          .alignment = 16,
                          .is_virtual = true});
}

static cudnnBackendDescriptor_t link_result(chain *c)
{
    if (c->left-- > 0)
        return passing(c);
    return like_output(c, KZ_CUDNN_ID_OUT, &c->conv->params.out);
}

static void add_operation(chain *c, cudnnBackendDescriptor_t operation)
{
    kz_cudnn_finalize(c->set, operation);
    c->operations[c->n_operations++] = operation;
}

static cudnnBackendDescriptor_t make_convolution(kz_cudnn_set *set, const kz_cudnn_conv_params *p)
{
    const int64_t ones[2] = {1, 1};
    const int64_t before[2] = {p->pad_top, p->pad_left}, after[2] = {p->pad_bottom, p->pad_right};
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendDescriptor_t made = kz_cudnn_make(set, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    kz_cudnn_put_one(set, made, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, &compute);
    kz_cudnn_put_one(set, made, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
                     &mode);
    kz_cudnn_put_integer(set, made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    kz_cudnn_put(set, made, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    kz_cudnn_put(set, made, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, ones);
    kz_cudnn_put(set, made, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    kz_cudnn_put(set, made, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    kz_cudnn_finalize(set, made);
    return made;
}

static cudnnBackendDescriptor_t convolve(chain *c)
{
    const kz_cudnn_conv_params *p = &c->conv->params;
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t x =
        picture(c, KZ_CUDNN_ID_IN, p->in_channels, p->height, p->width, &p->in);
    cudnnBackendDescriptor_t w = make_weights(c), y = link_result(c);
    cudnnBackendDescriptor_t convolution = make_convolution(c->set, p);
    cudnnBackendDescriptor_t op =
        kz_cudnn_make(c->set, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    kz_cudnn_put_descriptor(c->set, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                            convolution);
    kz_cudnn_put_descriptor(c->set, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    kz_cudnn_put_descriptor(c->set, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    kz_cudnn_put_descriptor(c->set, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    kz_cudnn_put_one(c->set, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT,
                     &one);
    kz_cudnn_put_one(c->set, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT,
                     &zero);
    add_operation(c, op);
    return y;
}

/* y = x mode b, or mode(x) where b is NULL. */
static cudnnBackendDescriptor_t pointwise(chain *c, cudnnPointwiseMode_t mode, double slope,
                                          cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b,
                                          cudnnBackendDescriptor_t y)
{
    kz_cudnn_set *set = c->set;
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t what = kz_cudnn_make(set, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    kz_cudnn_put_one(set, what, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, &mode);
    kz_cudnn_put_one(set, what, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, &compute);
    if (mode == CUDNN_POINTWISE_RELU_FWD)
        kz_cudnn_put_one(set, what, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE,
                         &slope);
    kz_cudnn_finalize(set, what);
    cudnnBackendDescriptor_t op = kz_cudnn_make(set, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    kz_cudnn_put_descriptor(set, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
    kz_cudnn_put_descriptor(set, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b)
        kz_cudnn_put_descriptor(set, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    kz_cudnn_put_descriptor(set, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    add_operation(c, op);
    return y;
}

/* cuDNN has no PReLU: max(x, 0) + slope[channel] * min(x, 0). */
static cudnnBackendDescriptor_t prelu(chain *c, cudnnBackendDescriptor_t x)
{
    cudnnBackendDescriptor_t zero = number(c, KZ_CUDNN_ID_ZERO);
    cudnnBackendDescriptor_t slopes = per_channel(c, KZ_CUDNN_ID_SLOPES);
    cudnnBackendDescriptor_t above = pointwise(c, CUDNN_POINTWISE_MAX, 0, x, zero, passing(c));
    cudnnBackendDescriptor_t below = pointwise(c, CUDNN_POINTWISE_MIN, 0, x, zero, passing(c));
    below = pointwise(c, CUDNN_POINTWISE_MUL, 0, below, slopes, passing(c));
    return pointwise(c, CUDNN_POINTWISE_ADD, 0, above, below, link_result(c));
}

/* The coefficient is an operation of its own: no engine takes an addition with a factor in it. */
static cudnnBackendDescriptor_t add_residual(chain *c, cudnnBackendDescriptor_t x, int i)
{
    const kz_cudnn_conv_params *p = &c->conv->params;
    cudnnBackendDescriptor_t residual = like_output(c, KZ_CUDNN_ID_RESIDUAL + i, &p->residuals[i]);
    if (p->coefs[i] != 1)
        residual = pointwise(c, CUDNN_POINTWISE_MUL, 0, residual, number(c, KZ_CUDNN_ID_COEF + i),
                             passing(c));
    return pointwise(c, CUDNN_POINTWISE_ADD, 0, x, residual, link_result(c));
}

static void make_operations(chain *c)
{
    const kz_cudnn_conv_params *p = &c->conv->params;
    cudnnBackendDescriptor_t x = convolve(c);
    if (p->bias)
        x = pointwise(c, CUDNN_POINTWISE_ADD, 0, x, per_channel(c, KZ_CUDNN_ID_BIAS),
                      link_result(c));
    if (p->act == KZ_ACT_LEAKY)
        x = pointwise(c, CUDNN_POINTWISE_RELU_FWD, (double)p->slope, x, NULL, link_result(c));
    if (p->act == KZ_ACT_PRELU)
        x = prelu(c, x);
    for (int i = 0; i < p->n_residuals; i++)
        x = add_residual(c, x, i);
}

int kz_cudnn_graph_build(kz_cudnn_conv *conv)
{
    const kz_cudnn_conv_params *p = &conv->params;
    kz_cudnn_set *set = &conv->set;
    chain c = {.conv = conv,
               .set = set,
               .left = p->bias + (p->act != KZ_ACT_NONE) + p->n_residuals,
               .unused = KZ_CUDNN_ID_VIRTUAL};
    make_operations(&c);
    conv->graph = kz_cudnn_make(set, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    kz_cudnn_put(set, conv->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                 c.n_operations, c.operations);
    kz_cudnn_finalize(set, conv->graph);
    if (set->status != CUDNN_STATUS_SUCCESS)
        return kz_cudnn_fail(conv->cudnn, conv->log, KZ_LOG_ERROR, set->status,
                             "cuDNN refuses a convolution");
    return 0;
}
