#include "media/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static kz_finding *grow(kz_report *report)
{
    if (report->count == report->capacity) {
        const int capacity = report->capacity ? report->capacity * 2 : 32;
        kz_finding *grown = kz_alloc((size_t)capacity, sizeof(*grown));
        if (!grown)
            return NULL;
        if (report->count)
            memcpy(grown, report->findings, (size_t)report->count * sizeof(*grown));
        kz_free(report->findings);
        report->findings = grown;
        report->capacity = capacity;
    }
    return &report->findings[report->count++];
}

void kz_report_add(kz_report *report, bool ok, const char *what, const char *format, ...)
{
    kz_finding *finding = grow(report);
    va_list args;
    if (!finding) {
        report->short_of_memory = true;
        return;
    }
    finding->ok = ok;
    report->failures += !ok;
    snprintf(finding->what, sizeof(finding->what), "%s", what);
    va_start(args, format);
    vsnprintf(finding->text, sizeof(finding->text), format, args);
    va_end(args);
}

void kz_report_close(kz_report *report)
{
    kz_free(report->findings);
    *report = (kz_report){0};
}

bool kz_report_is_good(const kz_report *report)
{
    return report->failures == 0 && !report->short_of_memory;
}
