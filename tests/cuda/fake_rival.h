/* A library of engines in the place of cuDNN's, for tests of who computes: they are right, wrong,
 * slow or failing as asked, and compute on the host. */
#ifndef KZ_TESTS_FAKE_RIVAL_H
#define KZ_TESTS_FAKE_RIVAL_H

#include "cuda/rival.h"

enum { FAKE_MOST = 4 };

extern struct fake_rival {
    const char *list[FAKE_MOST]; /* what it lists */
    bool absent, no_memory;
    size_t version;
    bool measuring;  /* a plan is being compiled */
    bool marks;      /* engines add one to what they compute */
    bool fails;      /* so do runs */
    int lists, runs; /* calls */
} fake;

#endif
