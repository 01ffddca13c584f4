/* How a value of the network lies in memory: [planes][height][width][run]. */
#ifndef KZ_BACKEND_CPU_LAYOUT_H
#define KZ_BACKEND_CPU_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct kz_layout {
    int channels; /* stored, padding to whole runs included */
    int run;      /* neighbouring channels of one pixel: 1 planar, 8 or 16 blocked, all: NHWC */
    bool bf16;
    int height, width;
} kz_layout;

static inline size_t kz_layout_element(const kz_layout *layout)
{
    return layout->bf16 ? 2 : 4;
}

static inline size_t kz_layout_row(const kz_layout *layout)
{
    return (size_t)layout->width * (size_t)layout->run * kz_layout_element(layout);
}

static inline size_t kz_layout_plane(const kz_layout *layout)
{
    return (size_t)layout->height * kz_layout_row(layout);
}

static inline size_t kz_layout_bytes(const kz_layout *layout)
{
    return (size_t)(layout->channels / layout->run) * kz_layout_plane(layout);
}

/* Bytes from the value's start to row y of the plane that holds a channel, at its first pixel. */
static inline size_t kz_layout_offset(const kz_layout *layout, int channel, int y)
{
    return (size_t)(channel / layout->run) * kz_layout_plane(layout) +
           (size_t)y * kz_layout_row(layout) +
           (size_t)(channel % layout->run) * kz_layout_element(layout);
}

#endif
