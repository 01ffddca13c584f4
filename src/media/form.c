#include "media/form.h"

#include <string.h>

#include "base/mem.h"
#include "media/internal.h"

int kz_form_open(kz_form **form, const kz_encoder *encoder)
{
    const AVCodecContext *context = kz_encoder_context(encoder);
    kz_form *fresh = *form = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return KZ_ERROR_MEMORY;
    fresh->time_base = context->time_base;
    fresh->frame_rate = context->framerate;
    fresh->par = avcodec_parameters_alloc();
    fresh->like = av_frame_alloc();
    if (fresh->par && fresh->like && avcodec_parameters_from_context(fresh->par, context) >= 0 &&
        av_frame_copy_props(fresh->like, kz_encoder_like(encoder)) >= 0)
        return 0;
    kz_form_close(form);
    return KZ_ERROR_MEMORY;
}

void kz_form_close(kz_form **form)
{
    if (!*form)
        return;
    avcodec_parameters_free(&(*form)->par);
    av_frame_free(&(*form)->like);
    kz_free(*form);
    *form = NULL;
}

bool kz_form_matches(const kz_form *form, const kz_encoder *encoder)
{
    const AVCodecContext *context = kz_encoder_context(encoder);
    const AVCodecParameters *par = form->par;
    return par->codec_id == context->codec_id && par->width == context->width &&
           par->height == context->height && par->extradata_size == context->extradata_size &&
           (par->extradata_size == 0 ||
            memcmp(par->extradata, context->extradata, (size_t)par->extradata_size) == 0);
}
