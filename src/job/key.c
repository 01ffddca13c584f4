#include "job/key.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

int kz_key_add(kz_key *key, const char *name, const char *value)
{
    kz_fact *fact = &key->facts[key->count];
    if (key->count == KZ_MAX_KEY)
        return KZ_ERROR_MEMORY;
    fact->name = kz_strdup(name);
    fact->value = kz_strdup(value);
    key->count++;
    return fact->name && fact->value ? 0 : KZ_ERROR_MEMORY;
}

void kz_key_close(kz_key *key)
{
    for (int i = 0; i < key->count; i++) {
        kz_free(key->facts[i].name);
        kz_free(key->facts[i].value);
    }
    *key = (kz_key){0};
}

/* What a segment's bytes don't depend on. A preset is what it sets. Which other streams are wanted
 * matters when the file is put together: the input is read anew then. What else --drop says is what
 * may be lost, not whether it is. */
static bool is_part(const char *option)
{
    static const char *const others[] = {"output",    "preset",    "threads",      "overwrite",
                                         "restart",   "on-change", "no-overwrite", "progress",
                                         "no-resume", "reuse-map", "verbose",      "quiet",
                                         "help",      "audio",     "subs",         "drop"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcmp(option, others[i]) == 0)
            return false;
    return true;
}

int kz_key_add_options(kz_key *key, const kz_job_options *options)
{
    const kz_option_table table = kz_job_option_table();
    int error = 0;
    for (int i = 0; i < table.count && !error; i++) {
        char name[64];
        if (!is_part(table.options[i].name))
            continue;
        char *value = kz_option_text(&table.options[i], options);
        snprintf(name, sizeof(name), "option.%s", table.options[i].name);
        error = value ? kz_key_add(key, name, value) : KZ_ERROR_MEMORY;
        kz_free(value);
    }
    return error;
}

/* For people: "--crf was 18, is 20". */
static void describe(char *text, size_t size, const kz_fact *now, const char *before)
{
    static const char option[] = "option.";
    const size_t length = strlen(option);
    if (strncmp(now->name, option, length) == 0)
        snprintf(text, size, "--%s was %s, is %s", now->name + length,
                 before && *before ? before : "not given", *now->value ? now->value : "not given");
    else if (strcmp(now->name, "input") == 0)
        snprintf(text, size, "it was of another input");
    else if (strcmp(now->name, "model") == 0)
        snprintf(text, size, "the model's weights were others");
    else
        snprintf(text, size, "%s was %s, is %s", now->name, before && *before ? before : "unknown",
                 now->value);
}

int kz_key_compare(const kz_key *key, const kz_journal *journal, const char *output, kz_log *log)
{
    char list[600] = "", one[300];
    int different = 0;
    for (int i = 0; i < key->count; i++) {
        const char *before = kz_journal_fact(journal, key->facts[i].name);
        if (before && strcmp(before, key->facts[i].value) == 0)
            continue;
        describe(one, sizeof(one), &key->facts[i], before);
        if (different++ < 3)
            snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
                     different > 1 ? "; " : "", one);
    }
    if (!different)
        return 0;
    return kz_fail(log, KZ_ERROR_USAGE,
                   "%s: an unfinished run of it differs: %s%s; --restart begins anew", output, list,
                   different > 3 ? "; and more" : "");
}
