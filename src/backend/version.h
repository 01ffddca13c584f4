/* Versions of the libraries that the back ends use. */
#ifndef KZ_BACKEND_VERSION_H
#define KZ_BACKEND_VERSION_H

#include <stddef.h>

/* Writes "oneDNN 2.6.3" into `text` and returns it. */
const char *kz_backend_versions(char *text, size_t size);

#endif
