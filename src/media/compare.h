/* What a file holds against what it has to hold. */
#ifndef KZ_MEDIA_COMPARE_H
#define KZ_MEDIA_COMPARE_H

#include "media/found.h"
#include "media/ledger.h"
#include "media/report.h"

typedef struct kz_comparison {
    const kz_ledger *ledger;         /* what went in */
    const AVFormatContext *expected; /* the streams, tags and chapters it was given: kz_fill() */
    kz_found *found;
    kz_track *encoded;         /* the video's packets as the encoder gave them; NULL: unknown */
    const kz_checker *checker; /* the decoded video; NULL: not decoded */
    const int64_t *moved;      /* per stream: packets that got another time; NULL: unknown */
} kz_comparison;

/* Adds a finding for the video, each other stream, the attachments, the chapters and the tags. 0 or
 * KZ_ERROR_MEMORY (not reported). */
int kz_compare(const kz_comparison *comparison, kz_report *report);

#endif
