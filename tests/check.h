/* A test program is a table of cases; each prints one TAP line. A failed CHECK ends its case. */
#ifndef KZ_TESTS_CHECK_H
#define KZ_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check_case {
    const char *name;
    void (*run)(void);
};

/* Where a failed CHECK of the running case goes. */
extern jmp_buf check_escape;

__attribute__((noreturn, format(printf, 1, 2))) static inline void check_failed(const char *format,
                                                                                ...)
{
    va_list args;
    va_start(args, format);
    printf("# ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    longjmp(check_escape, 1);
}

#define CHECK(condition)                                               \
    do {                                                               \
        if (!(condition))                                              \
            check_failed("%s:%d: %s", __FILE__, __LINE__, #condition); \
    } while (0)

#define CHECK_NEAR(value, expected, bound)                                                        \
    do {                                                                                          \
        double v_ = (value), e_ = (expected), b_ = (bound);                                       \
        if (!(v_ - e_ <= b_ && e_ - v_ <= b_))                                                    \
            check_failed("%s:%d: %s is %g, not %g ± %g", __FILE__, __LINE__, #value, v_, e_, b_); \
    } while (0)

/* Defines run_cases() for a table of cases; an argument runs only those whose name holds it. */
#define CHECK_CASES(cases)                                           \
    jmp_buf check_escape;                                            \
    static int run_cases(int argc, char **argv)                      \
    {                                                                \
        volatile int failed = 0;                                     \
        int count = (int)(sizeof(cases) / sizeof(cases[0]));         \
        setvbuf(stdout, NULL, _IOLBF, 0);                            \
        printf("1..%d\n", count);                                    \
        for (volatile int i = 0; i < count; i++) {                   \
            if (argc > 1 && !strstr(cases[i].name, argv[1])) {       \
                printf("ok %d - %s # SKIP\n", i + 1, cases[i].name); \
            } else if (setjmp(check_escape) == 0) {                  \
                cases[i].run();                                      \
                printf("ok %d - %s\n", i + 1, cases[i].name);        \
            } else {                                                 \
                printf("not ok %d - %s\n", i + 1, cases[i].name);    \
                failed = 1;                                          \
            }                                                        \
        }                                                            \
        return failed;                                               \
    }

/* A program that is nothing else. */
#define CHECK_MAIN(cases)             \
    CHECK_CASES(cases)                \
    int main(int argc, char **argv)   \
    {                                 \
        return run_cases(argc, argv); \
    }

#endif
