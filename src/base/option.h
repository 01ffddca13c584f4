/* A table of options: one row is a name, a type, a range, a default and a help text. The command
 * line, presets and whatever else sets options go through the same rows. */
#ifndef KZ_BASE_OPTION_H
#define KZ_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/log.h"

enum kz_option_type {
    KZ_OPTION_STRING, /* char *, owned by the values; NULL: not given */
    KZ_OPTION_INT,    /* int, least … most */
    KZ_OPTION_REAL,   /* double, least … most */
    KZ_OPTION_TIME,   /* double seconds, from "12.5" or "[hh:]mm:ss[.f]" */
    KZ_OPTION_CHOICE, /* int: index into the words of `choices` */
    KZ_OPTION_FLAG    /* bool, no argument on the command line */
};

typedef struct kz_option {
    const char *name; /* without dashes */
    char letter;      /* short form, 0: none */
    enum kz_option_type type;
    size_t offset;       /* of the value in its struct */
    double least, most;  /* INT, REAL */
    const char *choices; /* CHOICE: "auto|cpu" */
    const char *metavar; /* what the help calls the argument */
    const char *initial; /* default as text, NULL: 0, false, NULL */
    const char *help;    /* a line, or more with \n between */
} kz_option;

typedef struct kz_option_table {
    const kz_option *options;
    int count;
} kz_option_table;

/* Sets every value of the table to its default; 0 or KZ_ERROR_MEMORY. `values` was zeroed or
 * filled by this table before. */
int kz_options_init(kz_option_table table, void *values);

/* Frees the strings of `values`. */
void kz_options_free(kz_option_table table, void *values);

/* Sets one value from text. `who` begins the message ("--crf", "preset best: crf"). Returns 0,
 * KZ_ERROR_USAGE with the range or the choices, or KZ_ERROR_MEMORY. */
int kz_option_set(const kz_option *option, void *values, const char *text, const char *who,
                  kz_log *log);

/* The value as text that kz_option_set() takes, "" where none is given. The caller kz_free()s it;
 * NULL when memory is short. */
char *kz_option_text(const kz_option *option, const void *values);

/* The row of that name (length bytes of it), or NULL. */
const kz_option *kz_option_find(kz_option_table table, const char *name, size_t length);

/* Parses argv[1 …]: --name value, --name=value, -name value, -l value, --flag, "--" ends options,
 * "-" is an argument. Everything else is moved to arguments[0 … *n_arguments-1] (room for argc). An
 * unknown option is KZ_ERROR_USAGE, with the nearest name. */
int kz_options_parse(kz_option_table table, void *values, int argc, char **argv, char **arguments,
                     int *n_arguments, kz_log *log);

/* Prints the table as help text. */
void kz_options_help(kz_option_table table, FILE *stream);

#endif
