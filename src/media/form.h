/* What an encoder's stream is like, which outlives the encoder. */
#ifndef KZ_MEDIA_FORM_H
#define KZ_MEDIA_FORM_H

#include "media/encode.h"

typedef struct kz_form kz_form;

/* 0 or KZ_ERROR_MEMORY (not reported). */
int kz_form_open(kz_form **form, const kz_encoder *encoder);
void kz_form_close(kz_form **form);

/* Another encoder's stream goes on this one: same codec, size and headers. */
bool kz_form_matches(const kz_form *form, const kz_encoder *encoder);

#endif
