#include <libavfilter/avfilter.h>
#include <stdio.h>
#include <string.h>

#include "media/internal.h"

static kz_av_note *note_of(void *context)
{
    const AVClass *class = *(const AVClass *const *)context;
    if (class == avcodec_get_class())
        return ((AVCodecContext *)context)->opaque;
    if (class == avformat_get_class())
        return ((AVFormatContext *)context)->opaque;
    if (class == avfilter_get_class())
        return ((AVFilterContext *)context)->graph->opaque;
    if (strcmp(class->class_name, "AVFilterGraph") == 0)
        return ((AVFilterGraph *)context)->opaque;
    return NULL;
}

/* Libav has one log function for the whole process. This one keeps no state of its own: it writes
 * into the note that belongs to the context that complains, so that two jobs don't mix. */
static void take_line(void *context, int level, const char *format, va_list args)
{
    if (!context || level > AV_LOG_WARNING)
        return;
    kz_av_note *note = note_of(context);
    /* Of several complaints the first of the gravest is the cause. */
    if (!note || (note->text[0] && level >= note->level))
        return;
    note->level = level;
    vsnprintf(note->text, sizeof(note->text), format, args);
    size_t end = strlen(note->text);
    while (end && (note->text[end - 1] == '\n' || note->text[end - 1] == '.'))
        note->text[--end] = '\0';
}

void kz_av_log_setup(void)
{
    av_log_set_callback(take_line);
}

kz_av_reason kz_av_reason_of(int code, const kz_av_note *note)
{
    kz_av_reason reason = {""};
    char text[AV_ERROR_MAX_STRING_SIZE];
    av_strerror(code, text, sizeof(text));
    if (note && note->text[0])
        snprintf(reason.text, sizeof(reason.text), "%s (%.180s)", text, note->text);
    else
        snprintf(reason.text, sizeof(reason.text), "%s", text);
    return reason;
}
