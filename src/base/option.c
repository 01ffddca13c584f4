#include "base/option.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void *value_of(const kz_option *option, void *values)
{
    return (char *)values + option->offset;
}

/* ---- one value ---- */

static int set_string(void *value, const char *text, const char *who, kz_log *log)
{
    char **string = value;
    char *copy = kz_strdup(text);
    if (!copy)
        return kz_fail_memory(log, who);
    kz_free(*string);
    *string = copy;
    return 0;
}

static bool parse_real(const char *text, double *number)
{
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    return end != text && !*end && !errno && isfinite(*number);
}

static int set_number(const kz_option *o, void *value, const char *text, const char *who,
                      kz_log *log)
{
    double number;
    bool whole = o->type == KZ_OPTION_INT;
    if (!parse_real(text, &number) || (whole && number != floor(number)) || number < o->least ||
        number > o->most)
        return kz_fail(log, KZ_ERROR_USAGE, "%s: '%s' is not a%s number from %.10g to %.10g", who,
                       text, whole ? " whole" : "", o->least, o->most);
    if (whole)
        *(int *)value = (int)number;
    else
        *(double *)value = number;
    return 0;
}

/* Parts are worth 60 times what follows: hours, minutes, seconds. */
static int set_time(void *value, const char *text, const char *who, kz_log *log)
{
    double seconds = 0;
    const char *p = text;
    for (int part = 0; part < 3; part++) {
        char *end;
        double number = strtod(p, &end);
        if (end == p || !(number >= 0) || !isfinite(number) || (*end && *end != ':'))
            break;
        seconds = seconds * 60 + number;
        p = end + 1;
        if (!*end) {
            *(double *)value = seconds;
            return 0;
        }
    }
    return kz_fail(log, KZ_ERROR_USAGE, "%s: '%s' is not a time like 90, 12.5 or 1:02:03.5", who,
                   text);
}

static int set_choice(const kz_option *o, void *value, const char *text, const char *who,
                      kz_log *log)
{
    size_t length = strlen(text);
    const char *word = o->choices;
    for (int index = 0; word; index++) {
        if (strcspn(word, "|") == length && strncmp(word, text, length) == 0) {
            *(int *)value = index;
            return 0;
        }
        word = strchr(word, '|');
        word = word ? word + 1 : NULL;
    }
    return kz_fail(log, KZ_ERROR_USAGE, "%s: '%s' is not one of %s", who, text, o->choices);
}

static int set_flag(void *value, const char *text, const char *who, kz_log *log)
{
    bool on = strcmp(text, "true") == 0;
    if (!on && strcmp(text, "false") != 0)
        return kz_fail(log, KZ_ERROR_USAGE, "%s: '%s' is not true or false", who, text);
    *(bool *)value = on;
    return 0;
}

int kz_option_set(const kz_option *option, void *values, const char *text, const char *who,
                  kz_log *log)
{
    void *value = value_of(option, values);
    switch (option->type) {
    case KZ_OPTION_STRING:
        return set_string(value, text, who, log);
    case KZ_OPTION_INT:
    case KZ_OPTION_REAL:
        return set_number(option, value, text, who, log);
    case KZ_OPTION_TIME:
        return set_time(value, text, who, log);
    case KZ_OPTION_CHOICE:
        return set_choice(option, value, text, who, log);
    case KZ_OPTION_FLAG:
        return set_flag(value, text, who, log);
    }
    return KZ_ERROR_USAGE;
}

/* ---- all values ---- */

static void clear(const kz_option *option, void *values)
{
    void *value = value_of(option, values);
    switch (option->type) {
    case KZ_OPTION_STRING:
        kz_free(*(char **)value);
        *(char **)value = NULL;
        break;
    case KZ_OPTION_INT:
    case KZ_OPTION_CHOICE:
        *(int *)value = 0;
        break;
    case KZ_OPTION_REAL:
    case KZ_OPTION_TIME:
        *(double *)value = 0;
        break;
    case KZ_OPTION_FLAG:
        *(bool *)value = false;
        break;
    }
}

void kz_options_free(kz_option_table table, void *values)
{
    for (int i = 0; i < table.count; i++)
        clear(&table.options[i], values);
}

int kz_options_init(kz_option_table table, void *values)
{
    kz_options_free(table, values);
    for (int i = 0; i < table.count; i++) {
        const kz_option *o = &table.options[i];
        if (o->initial && kz_option_set(o, values, o->initial, o->name, NULL))
            return KZ_ERROR_MEMORY;
    }
    return 0;
}

static char *choice_text(const char *choices, int index)
{
    for (; index > 0 && strchr(choices, '|'); index--)
        choices = strchr(choices, '|') + 1;
    return kz_asprintf("%.*s", (int)strcspn(choices, "|"), choices);
}

char *kz_option_text(const kz_option *option, const void *values)
{
    const void *value = (const char *)values + option->offset;
    const char *text;
    switch (option->type) {
    case KZ_OPTION_STRING:
        text = *(char *const *)value;
        return kz_strdup(text ? text : "");
    case KZ_OPTION_INT:
        return kz_asprintf("%d", *(const int *)value);
    case KZ_OPTION_REAL:
    case KZ_OPTION_TIME:
        return kz_asprintf("%.17g", *(const double *)value);
    case KZ_OPTION_CHOICE:
        return choice_text(option->choices, *(const int *)value);
    case KZ_OPTION_FLAG:
        return kz_strdup(*(const bool *)value ? "yes" : "no");
    }
    return NULL;
}

const kz_option *kz_option_find(kz_option_table table, const char *name, size_t length)
{
    for (int i = 0; i < table.count; i++)
        if (strlen(table.options[i].name) == length &&
            strncmp(table.options[i].name, name, length) == 0)
            return &table.options[i];
    return NULL;
}

/* ---- command line ---- */

/* Edit distance (V. Levenshtein, 1966), up to 31 letters. */
static int distance(const char *a, size_t a_length, const char *b)
{
    int row[32], diagonal;
    size_t b_length = strlen(b);
    if (a_length > 31 || b_length > 31)
        return 99;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_length];
}

static int unknown_option(kz_option_table table, const char *argument, kz_log *log)
{
    const char *name = argument + (argument[1] == '-' ? 2 : 1), *nearest = NULL;
    size_t length = strcspn(name, "=");
    int best = 3;
    for (int i = 0; i < table.count; i++) {
        int d = distance(name, length, table.options[i].name);
        if (d < best && d < (int)length) {
            best = d;
            nearest = table.options[i].name;
        }
    }
    if (nearest)
        return kz_fail(log, KZ_ERROR_USAGE, "unknown option %s: did you mean --%s?", argument,
                       nearest);
    return kz_fail(log, KZ_ERROR_USAGE, "unknown option %s: see --help", argument);
}

/* ffmpeg's users write long names with one dash. */
static const kz_option *find_argument(kz_option_table table, const char *argument)
{
    if (argument[1] == '-')
        return kz_option_find(table, argument + 2, strcspn(argument + 2, "="));
    if (argument[2])
        return kz_option_find(table, argument + 1, strcspn(argument + 1, "="));
    for (int i = 0; i < table.count; i++)
        if (table.options[i].letter == argument[1])
            return &table.options[i];
    return NULL;
}

/* Sets the option at argv[*i] and moves *i to the last argument it took. */
static int take_option(kz_option_table table, void *values, int argc, char **argv, int *i,
                       kz_log *log)
{
    char *argument = argv[*i], *equals = argument[1] && argument[2] ? strchr(argument, '=') : NULL;
    const kz_option *option = find_argument(table, argument);
    char who[64];
    if (!option)
        return unknown_option(table, argument, log);
    snprintf(who, sizeof(who), "--%s", option->name);
    if (equals)
        return kz_option_set(option, values, equals + 1, who, log);
    if (option->type == KZ_OPTION_FLAG)
        return kz_option_set(option, values, "true", who, log);
    if (*i + 1 >= argc)
        return kz_fail(log, KZ_ERROR_USAGE, "%s needs a value (%s)", who, option->metavar);
    return kz_option_set(option, values, argv[++*i], who, log);
}

int kz_options_parse(kz_option_table table, void *values, int argc, char **argv, char **arguments,
                     int *n_arguments, kz_log *log)
{
    bool options = true;
    *n_arguments = 0;
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            int error = take_option(table, values, argc, argv, &i, log);
            if (error)
                return error;
        } else {
            arguments[(*n_arguments)++] = argv[i];
        }
    }
    return 0;
}

/* ---- help ---- */

static void print_help(const kz_option *o, FILE *stream)
{
    char left[64];
    const char *argument = o->type == KZ_OPTION_FLAG     ? ""
                           : o->type == KZ_OPTION_CHOICE ? o->choices
                                                         : o->metavar;
    if (o->letter)
        snprintf(left, sizeof(left), "-%c, --%s %s", o->letter, o->name, argument);
    else
        snprintf(left, sizeof(left), "    --%s %s", o->name, argument);
    fprintf(stream, strlen(left) > 31 ? "  %s\n%34s" : "  %-32s%s", left, "");
    for (const char *line = o->help; *line;) {
        const size_t length = strcspn(line, "\n");
        fprintf(stream, "%.*s", (int)length, line);
        line += length;
        if (*line++ != '\n')
            break;
        fprintf(stream, "\n%34s", "");
    }
    if (o->initial && o->type != KZ_OPTION_FLAG && *o->initial)
        fprintf(stream, " [%s]", o->initial);
    fprintf(stream, "\n");
}

void kz_options_help(kz_option_table table, FILE *stream)
{
    for (int i = 0; i < table.count; i++)
        print_help(&table.options[i], stream);
}
