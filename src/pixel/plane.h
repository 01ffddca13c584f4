/* A plane of samples and a picture of one to three of them, as views: they never own memory. */
#ifndef KZ_PIXEL_PLANE_H
#define KZ_PIXEL_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Samples in the memory of the device that computes, as its decoder has left them. */
typedef struct kz_plane_there {
    void *data;   /* NULL: nowhere; not to be written to */
    size_t pitch; /* bytes from one row to the next */
    int step;     /* samples from one to the next: 1; 2: interleaved chroma */
    int shift;    /* zero bits below the significant ones: P010 has 6 */
} kz_plane_there;

typedef struct kz_plane {
    void *data;           /* first sample */
    ptrdiff_t stride;     /* bytes from one row to the next; may be negative */
    int width;            /* samples */
    int height;           /* rows */
    int bytes;            /* per sample: 1 or 2 unsigned integer (host order), 4 float */
    int depth;            /* significant low bits of an integer sample, 8 to 16 */
    kz_plane_there there; /* the same samples once more, for who may read them there */
} kz_plane;

typedef struct kz_rect {
    int x0, y0, x1, y1; /* ends excluded */
} kz_rect;

/* Where chroma samples lie relative to luma, as H.273 names them; `left` is the usual 4:2:0. */
enum kz_chroma_site {
    KZ_SITE_LEFT,
    KZ_SITE_CENTER,
    KZ_SITE_TOP_LEFT,
    KZ_SITE_TOP,
    KZ_SITE_BOTTOM_LEFT,
    KZ_SITE_BOTTOM
};

/* Luma coefficients of H.273 matrix coefficients: Y = kr R + (1 - kr - kb) G + kb B. */
typedef struct kz_luma_weights {
    float r, g, b;
} kz_luma_weights;

typedef struct kz_picture {
    kz_plane plane[3]; /* Y, Cb, Cr */
    int planes;        /* 1 (grey) or 3 */
    bool full_range;   /* code values 0 … 2^n-1 for black … white; else 16 … 235 at 8 bit */
    enum kz_chroma_site site;
} kz_picture;

/* A code value of 8 bit, in the plane's. */
static inline double kz_plane_unit(const kz_plane *plane)
{
    return plane->bytes == 4 ? 1.0 / 255 : 1 << (plane->depth - 8);
}

static inline void *kz_plane_row(const kz_plane *plane, int y)
{
    return (char *)plane->data + y * plane->stride;
}

/* A view of a part of the plane, on the host. */
static inline kz_plane kz_plane_part(const kz_plane *plane, kz_rect part)
{
    kz_plane view = *plane;
    view.data = (char *)kz_plane_row(plane, part.y0) + (ptrdiff_t)part.x0 * plane->bytes;
    view.width = part.x1 - part.x0;
    view.height = part.y1 - part.y0;
    view.there.data = NULL;
    return view;
}

/* Between planes of one size and one kind of sample. */
static inline void kz_plane_copy(const kz_plane *from, const kz_plane *to)
{
    for (int y = 0; y < from->height; y++)
        memcpy(kz_plane_row(to, y), kz_plane_row(from, y),
               (size_t)from->width * (size_t)from->bytes);
}

#endif
