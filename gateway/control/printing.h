/* printing.h - what the files that print answers share: values out of JSON as people write them.
 * Main thread of sealpostctl. */
#ifndef GATEWAY_CONTROL_PRINTING_H
#define GATEWAY_CONTROL_PRINTING_H

#include <jansson.h>
#include <stdio.h>

#include "gateway/control/table.h"
#include "mail/slice.h"

#define PRINT_INDENT 4
#define SHOWN_SIZE ((size_t)2 * ADDRESS_SIZE) /* an address as show_address() writes it */
#define PRINT_TEXT_SIZE 1400 /* a recipient's line: an address, a reason, and words around them */
#define TIME_SIZE 40
#define SIZE_TEXT_SIZE 24

struct printing {
    FILE *out;
    const char *command;
    bool with_unicode;
    size_t count; /* of elements printed */
    struct table table;
};

const char *member_text(const json_t *object, const char *key); /* "" where there is none */
json_int_t member_number(const json_t *object, const char *key);
bool member_flag(const json_t *object, const char *key);
/* An address, or a domain, with U-labels where no label can be taken for another. */
const char *show_address(const struct printing *p, const char *text, char out[SHOWN_SIZE]);
const char *show_domain(const struct printing *p, const char *text, char out[SHOWN_SIZE]);
/* "2026-11-22 15:28:50Z"; "" for null. */
const char *show_time(const json_t *object, const char *key, char out[TIME_SIZE]);
const char *show_size(json_int_t size, char out[SIZE_TEXT_SIZE]); /* "1.5 MiB" */
/* What is due is tried at once, but only by a daemon. */
bool waits_for_daemon(const json_t *result);
/* "Guarantee:   encrypt"; nothing for "". */
void print_pair(const struct printing *p, const char *name, const char *value);

/* print_user.c */
void print_user(struct printing *p, const json_t *user);
void print_user_row(struct printing *p, const json_t *user);
void print_forward_row(struct printing *p, const json_t *forward);
void print_forward(struct printing *p, const json_t *result);
/* print_message.c */
void print_queue_element(struct printing *p, const json_t *m);
void print_held_element(struct printing *p, const json_t *m);
void print_mail(struct printing *p, const json_t *m);
void print_released(struct printing *p, const json_t *result);
/* print_learnt.c */
void print_exception_row(struct printing *p, const json_t *exception);
void print_exception(struct printing *p, const json_t *exception);
void print_finding(struct printing *p, const json_t *finding);
void print_posture(struct printing *p, const json_t *host);
void print_policy(struct printing *p, const json_t *policy);
void print_purged(struct printing *p, const json_t *result);
/* print_check.c */
void print_check(struct printing *p, const json_t *result);
int check_status(const json_t *result); /* what sealpostctl exits with */

#endif
