#include "media/choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char kz_choice_words[] = "data,attachments,cover,video,chapters,captions,alpha,hdr10plus,"
                               "dovi,unsupported";

/* `list` has `word` among its parts between commas, whatever the case. */
static bool has_word(const char *list, const char *word, size_t length)
{
    while (list && *list) {
        const size_t part = strcspn(list, ",");
        if (part == length && strncasecmp(list, word, length) == 0)
            return true;
        list += part + (list[part] == ',');
    }
    return false;
}

static bool is_number(const char *text, size_t length)
{
    return length > 0 && length < 8 && strspn(text, "0123456789") >= length;
}

int kz_choice_check(const kz_choice *choice, kz_log *log)
{
    for (const char *rest = choice->drop; rest && *rest;) {
        const size_t part = strcspn(rest, ",");
        if (!is_number(rest, part) && (part == 0 || !has_word(kz_choice_words, rest, part)))
            return kz_fail(log, KZ_ERROR_USAGE,
                           "--drop: '%.*s' is neither a stream's number nor one of %s", (int)part,
                           rest, kz_choice_words);
        rest += part + (rest[part] == ',');
    }
    return 0;
}

int kz_choice_last_dropped(const kz_choice *choice)
{
    int last = -1;
    for (const char *rest = choice->drop; rest && *rest;) {
        const size_t part = strcspn(rest, ",");
        if (is_number(rest, part) && atoi(rest) > last)
            last = atoi(rest);
        rest += part + (rest[part] == ',');
    }
    return last;
}

bool kz_choice_drops(const kz_choice *choice, const char *word)
{
    return has_word(choice->drop, word, strlen(word));
}

bool kz_choice_drops_stream(const kz_choice *choice, int stream)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", stream);
    return has_word(choice->drop, number, strlen(number));
}

bool kz_choice_takes_language(const char *wanted, const char *language)
{
    if (!wanted || strcasecmp(wanted, "all") == 0)
        return true;
    if (strcasecmp(wanted, "none") == 0)
        return false;
    return has_word(wanted, language ? language : "und", strlen(language ? language : "und"));
}
