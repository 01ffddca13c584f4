#include "job/size.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST_SIDE = 16384 };

static int even(double length)
{
    int rounded = 2 * (int)lround(length / 2);
    return rounded < 2 ? 2 : rounded;
}

static bool named_box(kz_size *box, const char *text)
{
    static const struct {
        const char *name;
        kz_size box;
    } names[] = {{"720p", {1280, 720}},
                 {"1080p", {1920, 1080}},
                 {"1440p", {2560, 1440}},
                 {"4k", {3840, 2160}},
                 {"8k", {7680, 4320}}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i].name, text) == 0) {
            *box = names[i].box;
            return true;
        }
    return false;
}

static double fit(kz_size box, kz_size in)
{
    return fmin((double)box.width / in.width, (double)box.height / in.height);
}

static int factor(double *ratio, const char *text, kz_size in, int most_scale, kz_log *log)
{
    kz_size box;
    char end;
    if (strlen(text) == 1 && strchr("234", *text)) {
        *ratio = *text - '0';
    } else if (named_box(&box, text)) {
        *ratio = fmin(fit(box, in), most_scale);
    } else if (sscanf(text, "%5dx%5d%c", &box.width, &box.height, &end) == 2 && box.width >= 16 &&
               box.height >= 16) {
        *ratio = fit(box, in);
    } else {
        return kz_fail(
            log, KZ_ERROR_USAGE,
            "--scale: '%s' is not 2, 3, 4, 720p, 1080p, 1440p, 4k, 8k or WxH from 16x16 to "
            "99999x99999",
            text);
    }
    return 0;
}

int kz_job_size(kz_size *out, const char *text, kz_size in, int most_scale, kz_log *log)
{
    double ratio = 1;
    int error = factor(&ratio, text, in, most_scale, log);
    if (error)
        return error;
    double width = in.width * ratio, height = in.height * ratio;
    if (width > LARGEST_SIDE || height > LARGEST_SIDE)
        return kz_fail(log, KZ_ERROR_USAGE, "--scale %s makes %.0fx%.0f, more than %d on a side",
                       text, width, height, LARGEST_SIDE);
    *out = (kz_size){even(width), even(height)};
    return 0;
}
