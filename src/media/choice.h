/* Which of an input's streams and other parts the user wants carried over. */
#ifndef KZ_MEDIA_CHOICE_H
#define KZ_MEDIA_CHOICE_H

#include <stdbool.h>

#include "base/log.h"

/* The texts as the user wrote them; NULL: everything. They outlive whatever was opened with them.
 */
typedef struct kz_choice {
    const char *audio; /* "all", "none", or languages as the streams are tagged: "jpn,eng" */
    const char *subs;  /* the same for subtitles */
    const char *drop;  /* words of kz_choice_words and stream numbers, with commas */
} kz_choice;

/* What --drop knows besides stream numbers: "data, attachments, …". */
extern const char kz_choice_words[];

/* 0, or KZ_ERROR_USAGE naming the word that `drop` doesn't know (reported). */
int kz_choice_check(const kz_choice *choice, kz_log *log);

/* `drop` has this word. */
bool kz_choice_drops(const kz_choice *choice, const char *word);

/* `drop` has this stream's number. */
bool kz_choice_drops_stream(const kz_choice *choice, int stream);

/* The largest of the numbers; -1: there is none. */
int kz_choice_last_dropped(const kz_choice *choice);

/* `wanted` ("all", "none", languages, NULL) takes a stream of this language (NULL: untagged). */
bool kz_choice_takes_language(const char *wanted, const char *language);

#endif
