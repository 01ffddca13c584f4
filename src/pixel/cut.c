#include "pixel/cut.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

/* A frame is seen as the means of a grid of cells, in steps of 8 bit. A change of scene moves the
 * mean cell by many steps at once and by far more than the frames before did; flashes and fast pans
 * move it too, and cost nothing but a segment that another place would have suited better. The
 * longer a segment is, the less of a change it takes. */
enum { COLUMNS = 32, ROWS = 18, CELLS = COLUMNS * ROWS };

#define CHANGE_AT_LEAST 12.0 /* steps, for a segment of the least length */
#define CHANGE_AT_MOST 3.0   /* steps, for one of the greatest */
#define CHANGE_RATIO 3.0     /* to the mean change of the frames before */

struct kz_cutter {
    bool begun;
    double began;    /* seconds */
    int frames;      /* of the segment so far */
    double activity; /* running mean of the changes from frame to frame */
    float cells[CELLS];
};

int kz_cutter_open(kz_cutter **cutter)
{
    *cutter = kz_alloc(1, sizeof(**cutter));
    return *cutter ? 0 : KZ_ERROR_MEMORY;
}

void kz_cutter_close(kz_cutter **cutter)
{
    kz_free(*cutter);
    *cutter = NULL;
}

static uint32_t sum_line(const kz_plane *luma, int y, int x0, int x1)
{
    const uint8_t *narrow = kz_plane_row(luma, y);
    const uint16_t *wide = kz_plane_row(luma, y);
    uint32_t sum = 0;
    for (int x = x0; x < x1; x++)
        sum += luma->bytes == 1 ? narrow[x] : wide[x];
    return sum;
}

/* Every second line says enough. */
static float mean_of_cell(const kz_plane *luma, int column, int row)
{
    const int x0 = luma->width * column / COLUMNS, x1 = luma->width * (column + 1) / COLUMNS;
    const int y0 = luma->height * row / ROWS, y1 = luma->height * (row + 1) / ROWS;
    uint64_t sum = 0;
    int lines = 0;
    for (int y = y0; y < y1; y += 2, lines++)
        sum += sum_line(luma, y, x0, x1);
    const double samples = (double)lines * (x1 - x0);
    return samples > 0 ? (float)((double)sum / samples / (1 << (luma->depth - 8))) : 0;
}

/* The mean change of a cell; the new cells take the place of the old ones. */
static double change(kz_cutter *cutter, const kz_plane *luma)
{
    double sum = 0;
    for (int i = 0; i < CELLS; i++) {
        const float mean = mean_of_cell(luma, i % COLUMNS, i / COLUMNS);
        sum += fabsf(mean - cutter->cells[i]);
        cutter->cells[i] = mean;
    }
    return sum / CELLS;
}

static bool is_cut(const kz_cutter *cutter, double changed, double length)
{
    if (length < KZ_CUT_LEAST_SECONDS)
        return cutter->frames >= KZ_CUT_MOST_FRAMES;
    if (length >= KZ_CUT_MOST_SECONDS || cutter->frames >= KZ_CUT_MOST_FRAMES)
        return true;
    const double part =
        (length - KZ_CUT_LEAST_SECONDS) / (KZ_CUT_MOST_SECONDS - KZ_CUT_LEAST_SECONDS);
    return changed > CHANGE_AT_LEAST + part * (CHANGE_AT_MOST - CHANGE_AT_LEAST) &&
           changed > CHANGE_RATIO * cutter->activity;
}

bool kz_cutter_next(kz_cutter *cutter, const kz_plane *luma, double seconds)
{
    const double changed = change(cutter, luma);
    const bool cut = !cutter->begun || is_cut(cutter, changed, seconds - cutter->began);
    if (cut) {
        cutter->begun = true;
        cutter->began = seconds;
        cutter->frames = 0;
        cutter->activity = 0;
    } else {
        cutter->activity += (changed - cutter->activity) / 8;
    }
    cutter->frames++;
    return cut;
}
