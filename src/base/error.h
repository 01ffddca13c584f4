/* The one error convention: a function returns 0 or one of these negative codes.
 * Whoever detects a failure reports it once, with kz_fail() and its context; callers only return.
 */
#ifndef KZ_BASE_ERROR_H
#define KZ_BASE_ERROR_H

enum kz_error {
    KZ_OK = 0,
    KZ_ERROR_FAILED = -1,    /* the work could not be done: file, codec, device; exit code 1 */
    KZ_ERROR_USAGE = -2,     /* the request itself is wrong: option, argument; exit code 2 */
    KZ_ERROR_MEMORY = -3,    /* out of memory; exit code 1 */
    KZ_ERROR_CANCELLED = -4, /* stopped by the user; not reported; exit code 255 */
    KZ_END = -5,             /* end of file or of a stream: not a failure, never reported */
    KZ_AGAIN = -6,           /* nothing to give yet: not a failure, never reported */
    KZ_CLOSED = -7,          /* the other end of a ring is gone: its owner has reported why */
    KZ_ERROR_ROOM = -8       /* a device's memory is short: less may fit; never reported */
};

#endif
