/* What a march computes, where, and in which order: everything but the memory and the weights. */
#ifndef KZ_BACKEND_MARCH_SHAPE_H
#define KZ_BACKEND_MARCH_SHAPE_H

#include "backend/kernels/kernel.h"
#include "backend/march/march.h"

/* Columns of zeros beside what a row holds. */
enum { KZ_MARCH_LEFT = 2, KZ_MARCH_RIGHT = 24 };

/* Blocks that a kernel reads or writes at most. */
enum { KZ_MARCH_BLOCKS = 24 };

typedef struct kz_march_value {
    int channels, scale, blocks;
    bool planar, bf16;         /* bf16: of blocks */
    int producer;              /* node, -1: the picture */
    int last_reader;           /* node */
    bool stored;               /* a whole plane: it is the picture or goes from group to group */
    bool ringed;               /* read inside the group that makes it, or the result */
    int ring_rows, ring_pitch; /* pixels */
    size_t offset;             /* of the plane, among the planes */
    size_t ring_offset;        /* among the rings */
} kz_march_value;

typedef struct kz_march_node {
    enum kz_kernel_kind kind;
    int graph_node; /* whose weights it has */
    int n_inputs, inputs[KZ_KERNEL_INPUTS];
    int n_residuals, residuals[KZ_KERNEL_RESIDUALS];
    float coefs[KZ_KERNEL_RESIDUALS];
    int output;       /* value */
    int factor;       /* output size by input size */
    kz_kernel kernel; /* measured; packed by the march */
    char name[KZ_NAME_SIZE];
    double macs, executed; /* of a run; see kz_layer */
} kz_march_node;

typedef struct kz_march_group {
    int first, end;              /* nodes */
    kz_rect needed;              /* of what it makes, picture pixels: what its cells cover */
    int columns, rows;           /* of cells */
    int cell_width, cell_height; /* picture pixels, multiples of KZ_MARCH_CELL but for the last */
    size_t ring_bytes;
} kz_march_group;

/* Cells lie multiples of this many pixels apart. */
enum { KZ_MARCH_CELL = 16 };

typedef struct kz_march_shape {
    kz_march_params params;
    kz_rect own;                   /* pixels of the picture whose result is wanted */
    bool is_small;                 /* plain 3×3 convolutions of few channels: one group */
    const kz_small_kernels *small; /* NULL, or what computes them: values are fp32 */
    int n_values, n_nodes, n_groups;
    int result; /* value */
    kz_march_value *values;
    kz_march_node *nodes;
    kz_march_group *groups;
    size_t plane_bytes, ring_bytes, scratch_bytes, weight_bytes, zero_bytes;
    double macs;
} kz_march_shape;

/* 0, KZ_ERROR_MEMORY, or KZ_ERROR_FAILED when our kernels lack something. */
int kz_march_shape_open(kz_march_shape *shape, const kz_graph *graph,
                        const kz_march_params *params);
void kz_march_shape_close(kz_march_shape *shape);

/* Lays everything out anew for a picture of another size, and a part of it whose result is wanted.
 * After kz_march_shape_open() all of it is. 0 or KZ_ERROR_MEMORY. */
int kz_march_shape_resize(kz_march_shape *shape, int width, int height, kz_rect own);

/* Memory that is enough for the shape's picture, for every smaller one, and for parts of them. */
typedef struct kz_march_room {
    size_t plane_bytes, ring_bytes, scratch_bytes, zero_bytes;
} kz_march_room;

/* Resizes the shape and back. 0 or KZ_ERROR_MEMORY. */
int kz_march_find_room(kz_march_room *room, kz_march_shape *shape);

/* The kernel's parameters for a node, for flat pictures to be added; its arrays are the graph's,
 * but for `slopes` [channels], which the caller gives room for. */
kz_kernel_params kz_march_kernel_params(const kz_march_shape *shape, const kz_graph *graph,
                                        const kz_march_node *node, float *slopes);

static inline size_t kz_march_pixel(const kz_march_value *value)
{
    return value->planar ? sizeof(float) : KZ_PIXEL_BYTES;
}

/* Pixels from one row of a plane to the next. */
int kz_march_plane_pitch(const kz_march_shape *shape, const kz_march_value *value);

/* ---- groups.c ---- */

/* Cuts the nodes into groups, whatever the size. 0 or KZ_ERROR_MEMORY. */
int kz_march_group_nodes(kz_march_shape *shape);

/* Finds what is needed of each group, and cuts it into cells. 0 or KZ_ERROR_MEMORY. */
int kz_march_cut_groups(kz_march_shape *shape);

/* Pixels of the picture across a cell of the group, at most. */
int kz_march_cell_width(const kz_march_shape *shape, const kz_march_group *group);

/* Cell `index` of a group, in pixels of the picture. */
kz_rect kz_march_cell(const kz_march_group *group, int index);

/* For each value that the group makes or reads what is needed of it for a cell: rects[n_values]. */
void kz_march_needs(const kz_march_shape *shape, const kz_march_group *group, kz_rect cell,
                    kz_rect *rects);

/* Rows of `value`, an input or a residual, that the node reads to make rows `y` … of its output;
 * the end is clipped to what is needed of the value at all. */
void kz_march_rows_read(const kz_march_node *node, int value, int y, const kz_rect *rects,
                        int *first, int *end);

/* ---- walk.c ---- */

/* Where each node of a group stands in a cell: the next row of its output. */
typedef struct kz_march_walk {
    const kz_march_shape *shape;
    const kz_march_group *group;
    const kz_rect *rects; /* of this cell */
    int *next;            /* [n_nodes] */
} kz_march_walk;

/* Calls call(context, node, y) for every call of a kernel, in order: it makes rows y … of the
 * node's output. Stops when call() returns other than 0, and returns that. */
int kz_march_walk_cell(kz_march_walk *walk, int (*call)(void *context, int node, int y),
                       void *context);

/* Sets the rings' sizes and places. 0 or KZ_ERROR_MEMORY. */
int kz_march_size_rings(kz_march_shape *shape);

static inline int kz_march_out_rows(const kz_march_node *node)
{
    return node->kernel.ops->out_rows * node->kernel.factor;
}

/* Rows and columns that a kernel reads around what it makes. */
static inline int kz_march_reach(const kz_march_node *node)
{
    return node->kind == KZ_KERNEL_SHUFFLE ? 0 : 1;
}

static inline bool kz_march_has_input(const kz_march_node *node, int value)
{
    for (int i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] == value)
            return true;
    return false;
}

static inline bool kz_march_has_residual(const kz_march_node *node, int value)
{
    for (int i = 0; i < node->n_residuals; i++)
        if (node->residuals[i] == value)
            return true;
    return false;
}

static inline int kz_march_grain(const kz_march_node *node)
{
    return node->kernel.ops->grain * node->kernel.factor;
}

#endif
