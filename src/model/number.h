/* Little-endian numbers as model files hold them. */
#ifndef KZ_MODEL_NUMBER_H
#define KZ_MODEL_NUMBER_H

#include <stdint.h>

/* IEEE 754 of 16 and of 32 bits, at any address. */
float kz_number_f16(const uint8_t *bytes);
float kz_number_f32(const uint8_t *bytes);

#endif
