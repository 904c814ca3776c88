/* Scripts of looks: "tSECONDS" goes on to that second, "+" TLS, "-" lost, "o" none where nothing
 * was known, "s" secure, "b" bogus, each with the groups "aFROM..TO" or one name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/posture/breaker.h"
#include "mail/slice.h"

static struct breaker b;
static int64_t now;
static char heard[256]; /* "open@60 closed@90" */

static void hear(const struct breaker_fuse *f)
{
    size_t used = strlen(heard);
    if (f)
        snprintf(heard + used, sizeof heard - used, "%s%s@%d", used ? " " : "",
                 f->is_open ? "open" : "closed", (int)now);
}

/* "mx.host.example", which is the domain, too, or "mx.host.example/domain.example". */
static void look(const char *text, enum breaker_look what)
{
    char host[64];
    const char *slash = strchr(text, '/');
    snprintf(host, sizeof host, "%.*s", slash ? (int)(slash - text) : (int)strlen(text), text);
    hear(breaker_look(&b, slash ? slash + 1 : host, host, what, now));
}

static enum breaker_look look_of(char sign)
{
    switch (sign) {
    case '+':
        return BREAKER_TLS;
    case '-':
        return BREAKER_TLS_LOST;
    case 'o':
        return BREAKER_NO_TLS;
    case 's':
        return BREAKER_SECURE;
    case 'b':
        return BREAKER_BOGUS;
    }
    panic("no such look: %c", sign);
}

/* "-1..5": destinations 1 to 5; "-1..5/one.example": with these hosts of their own for one domain;
 * "-mx3.evil.example": that host. */
static void step(const char *word)
{
    char host[96];
    char *end;
    enum breaker_look what = look_of(word[0]);
    long from = strtol(word + 1, &end, 10);
    if (end == word + 1 || (*end == '.' && end[1] != '.')) {
        look(word + 1, what);
        return;
    }
    long to = strncmp(end, "..", 2) == 0 ? strtol(end + 2, NULL, 10) : from;
    for (long i = from; i <= to; i++) {
        snprintf(host, sizeof host, "mx.site%ld.example%s", i,
                 strchr(word, '/') ? strchr(word, '/') : "");
        look(host, what);
    }
}

static void play(const char *script)
{
    struct slice left = slice_of(script);
    struct slice item;
    char word[64];
    while (slice_cut(&left, ' ', &item)) {
        snprintf(word, sizeof word, "%.*s", SLICE_ARG(item));
        if (word[0] != 't') {
            step(word);
            continue;
        }
        now = strtol(word + 1, NULL, 10);
        hear(breaker_tick(&b, now));
    }
}

struct script {
    const char *what;
    const char *script;
    const char *want;
};

static void play_all(const struct script *scripts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        breaker_init(&b);
        now = 0;
        heard[0] = '\0';
        play(scripts[i].script);
        if (strcmp(heard, scripts[i].want) != 0)
            fail_msg("%s: got \"%s\", want \"%s\"", scripts[i].what, heard, scripts[i].want);
    }
}

static void what_opens_it_and_what_does_not(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        {"five lost, nothing else", "t10 -1..5", "open@10"},
        {"four lost", "t10 -1..4", ""},
        {"the same ones again and again", "t10 -1..4 t20 -1..4 t30 -1..4", ""},
        {"five lost and five well", "t10 +6..10 t20 -1..5", "open@20"},
        {"five lost and six well", "t10 +6..11 t20 -1..5", ""},
        {"half of many", "t10 +1..40 t60 -1..19 t70 -20", "open@70"},
        {"well an hour ago does not count", "t10 +6..30 t3700 -1..5", "open@3700"},
        {"slowly, one in three minutes", "t0 -1 t180 -2 t360 -3 t540 -4 t720 -5", ""},
        {"five within the ten minutes", "t0 -1 t150 -2 t300 -3 t450 -4 t599 -5", "open@599"},
        {"the first is out of the window", "t0 -1 t150 -2 t300 -3 t450 -4 t600 -5", ""},
        {"thirty were well until a minute ago", "t0 +6..35 t60 -1..4 t61 -5", "open@61"},
        {"others are well since the first was lost", "t0 -1 t200 +6..11 t300 -2..5", ""},
        {"well ones grow old, but nothing more is lost", "t0 -1..4 +6..11 t60 -5 t601 +12", ""},
        {"lost and there again", "t0 -1..4 t60 +1..4 t90 -5..8", ""},
        {"ten unknown ones, none with TLS", "t10 o1..10", "open@10"},
        {"nine unknown ones", "t10 o1..9", ""},
        {"one with TLS among the unknown", "t10 +99 o1..30", ""},
        {"lost and unknown together", "t10 -1..4 o5..10", "open@10"},
        {"unknown ones dilute the lost", "t10 +99 o1..6 -11..15", ""},
        {"one attacker, many hosts of one operator",
         "t10 -mx1.evil.example -mx2.evil.example -mx3.evil.example -mx4.evil.example "
         "-mx5.evil.example -mx6.evil.example -a.b.c.evil.example -evil.example "
         "oz1.evil.example oz2.evil.example oz3.evil.example oz4.evil.example",
         ""},
        {"a small site with three destinations",
         "t10 +1..3 t60 -1..3 t120 -1..3 t180 -1..3 t240 -1..3", ""},
        {"a small site that never saw TLS", "t10 o1..3 t70 o1..3 t130 o1..3", ""},
        {"everything at once", "t10 -1..300 o301..500", "open@10"},
        {"five zones bogus, none secure", "t10 b1..5", "open@10"},
        {"four zones bogus", "t10 b1..4 b1..4", ""},
        {"one secure among the bogus", "t10 s9 b1..8", ""},
        {"secure long ago", "t10 s9 t620 b1..5", "open@620"},
        {"many names of one bogus zone",
         "t10 ba.evil.example bb.evil.example bc.evil.example bd.evil.example be.evil.example "
         "bf.evil.example",
         ""},
        {"bogus and lost do not add up", "t10 b1..4 -1..4", ""},
        {"TLS does not speak for DNSSEC", "t10 +1..20 b1..5", "open@10"},
    };
    play_all(scripts, COUNT_OF(scripts));
}

static void it_closes_by_itself(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        {"three of the lost come back", "t10 -1..5 t60 +1..2 t70 +3", "open@10 closed@70"},
        {"two come back", "t10 -1..5 t60 +1..2 t61 +1..2", "open@10"},
        {"three come back, three stay lost", "t10 -1..6 t50 -4..6 t60 +1..3", "open@10"},
        {"four come back, three stay lost", "t10 -1..7 t50 -5..7 t60 +1..4", "open@10 closed@60"},
        {"those that were well all the time say nothing", "t10 +6..10 -1..5 t60 +6..10 +6..10",
         "open@10"},
        {"well for hours before, not lately", "t10 +6..10 t3700 -1..5 t3800 +6..8",
         "open@3700 closed@3800"},
        {"unless they were lost, too", "t10 +6..8 -1..5 t60 -6..8 t120 +6..8",
         "open@10 closed@120"},
        {"new ones are a sign", "t10 -1..5 t60 +11..13", "open@10 closed@60"},
        {"an hour of silence", "t10 -1..5 t3609 t3610", "open@10 closed@3610"},
        {"an hour in which the same stay lost",
         "t10 -1..5 t900 -1..5 t1800 -1..5 t3600 -1..5 t3610", "open@10 closed@3610"},
        {"a new loss begins the hour anew", "t10 -1..5 t1800 -6 t3610 t5399 t5400",
         "open@10 closed@5400"},
        {"one that comes and goes does not",
         "t10 -1..5 t600 +1 t700 -1 t1800 +1 t1900 -1 t3500 +1 t3550 -1 t3610",
         "open@10 closed@3610"},
        {"what stayed lost for an hour does not open it again",
         "t10 -1..5 t3610 t3620 -1..5 t3700 -1..5", "open@10 closed@3610"},
        {"but others do", "t10 -1..5 t3610 t3620 -1..5 t3700 -6..10",
         "open@10 closed@3610 open@3700"},
        {"and the same, once they were well", "t10 -1..5 t3610 t3620 +1..5 t9000 -1..5",
         "open@10 closed@3610 open@9000"},
        {"three zones answer again", "t10 b1..5 t60 s1..3", "open@10 closed@60"},
        {"TLS does not close the other fuse", "t10 b1..5 t60 +1..9", "open@10"},
        {"an hour without bogus answers", "t10 b1..5 t3610", "open@10 closed@3610"},
    };
    play_all(scripts, COUNT_OF(scripts));
}

static void flapping_needs_as_much_every_time(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        {"five down, up, down, up", "t10 -1..5 t60 +1..5 t100 -1..5 t160 +1..5",
         "open@10 closed@60 open@100 closed@160"},
        {"after recovery four are not enough", "t10 -1..5 t60 +1..5 t100 -1..4",
         "open@10 closed@60"},
        {"those that did not come back are forgotten", "t10 -1..7 t60 +1..5 t100 -8..10",
         "open@10 closed@60"},
        {"so that they count again", "t10 -1..7 t60 +1..4 t100 -5..9",
         "open@10 closed@60 open@100"},
        {"those that did come back still count", "t10 -1..11 t60 +1..6 t100 -12..16",
         "open@10 closed@60"},
        {"what was written off stays so through other troubles",
         "t10 -1..5 t3610 t3700 -6..10 t3800 +6..8 t3900 -1..5",
         "open@10 closed@3610 open@3700 closed@3800"},
        {"one that flaps alone", "t10 +1 t20 -1 t30 +1 t40 -1 t50 +1 t60 -1 t70 +1 t80 -1", ""},
        {"both fuses", "t10 -1..5 b1..5 t60 +1..3 t70 s1..3",
         "open@10 open@10 closed@60 closed@70"},
    };
    play_all(scripts, COUNT_OF(scripts));
}

static void it_is_open_while_one_fuse_is(void **state)
{
    (void)state;
    breaker_init(&b);
    play("t10 -1..5");
    assert_true(breaker_is_open(&b));
    assert_int_equal(breaker_open_until(&b), 3610);
    play("t20 b1..5");
    assert_int_equal(breaker_open_until(&b), 3620);
    play("t60 +1..3");
    assert_true(breaker_is_open(&b));
    play("t70 s1..3");
    assert_false(breaker_is_open(&b));
    assert_int_equal(breaker_open_until(&b), 0);
}

static void a_vote_takes_a_new_domain_and_a_new_host(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        {"one domain with ten hosts of ten operators", "t10 o1..10/evil.example", ""},
        {"and one more stranger", "t10 o1..10/evil.example o11", ""},
        {"one domain that lost its hosts", "t10 -1..40/evil.example", ""},
        {"hosts below the domain of another", "t10 -1..40/a.evil.example -41..80/b.evil.example",
         ""},
        {"a busy site, where it had been well",
         "t0 +101..200 t100 +201..250 t400 -1..40/evil.example", ""},
        {"one host for many domains",
         "t10 omx.evil.example/a.example omx.evil.example/b.example omx.evil.example/c.example "
         "omx.evil.example/d.example omx.evil.example/e.example omx.evil.example/f.example "
         "omx.evil.example/g.example omx.evil.example/h.example omx.evil.example/i.example "
         "omx.evil.example/j.example",
         ""},
        {"many hosts and many domains, but all by way of one of each",
         "t10 -1..9/evil.example -mx.evil.example/a.example -mx.evil.example/b.example "
         "-mx.evil.example/c.example -mx.evil.example/d.example -mx.evil.example/e.example",
         ""},
        {"each domain at a host of its own", "t10 o1/one.example o2/two.example o3..10", "open@10"},
        {"one domain that is well has one vote, too", "t10 +11..30/well.example -1..5", "open@10"},
        {"nor does it tell of recovery with many hosts", "t10 -1..5 t60 +11..30/well.example",
         "open@10"},
        {"literals",
         "t10 o192.0.2.1 o192.0.2.2 o192.0.2.3 o192.0.2.4 o192.0.2.5 o192.0.2.6 "
         "o192.0.2.7 o192.0.2.8 o192.0.2.9 o192.0.2.10 o192.0.2.11",
         ""},
        {"domains at addresses",
         "t10 -192.0.2.1/a.example -192.0.2.2/b.example "
         "-192.0.2.3/c.example -192.0.2.4/d.example -192.0.2.5/e.example",
         ""},
        {"a literal with TLS says as little", "t10 +[192.0.2.1] o1..10", "open@10"},
    };
    play_all(scripts, COUNT_OF(scripts));
}

static void nobody_can_hold_it_open(void **state)
{
    (void)state;
    static const struct script scripts[] = {
        {"hosts of which no TLS was known are no news",
         "t10 -1..5 t1800 o6 t2400 o7 t3000 o8 t3600 o9 t3610", "open@10 closed@3610"},
        {"nor do they outvote recovery", "t10 -1..5 t60 o11..30 t70 +1..3", "open@10 closed@70"},
        {"new hosts of the same domain are no news",
         "t10 -1..4 -5/evil.example t1800 -6/evil.example t3000 -7/evil.example t3610",
         "open@10 closed@3610"},
        {"nor do they outvote recovery, either",
         "t10 -1..4 -5/evil.example t60 -6..30/evil.example "
         "t70 +1..3",
         "open@10 closed@70"},
    };
    play_all(scripts, COUNT_OF(scripts));
}

/* New losses every half an hour. */
static void lose_on(int64_t from, int64_t to)
{
    static int fresh = 1000;
    char script[48];
    for (int64_t t = from; t < to; t += 1800) {
        snprintf(script, sizeof script, "t%d -%d..%d", (int)t, fresh, fresh + 5);
        play(script);
        fresh += 6;
    }
}

static void it_is_open_for_four_hours_of_a_day_at_most(void **state)
{
    (void)state;
    const char *limit = "stops go on, as they were suspended for 4 hours of a day; ";
    breaker_init(&b);
    heard[0] = '\0';
    lose_on(1000, 80000);
    assert_string_equal(heard, "open@1000 closed@15400");
    assert_int_equal(strncmp(b.tls.words, limit, strlen(limit)), 0);
    lose_on(80000, 150000); /* the next day */
    assert_string_equal(heard, "open@1000 closed@15400 open@89000 closed@103400");
}

static void the_hours_of_a_day_add_up_and_both_fuses_share_them(void **state)
{
    (void)state;
    breaker_init(&b);
    heard[0] = '\0';
    play("t0 b1..5 t1800 b6 t3600 b7 t5400 b8 t7200 b9 t7300 s11..15"); /* two hours */
    assert_string_equal(heard, "open@0 closed@7300");
    play("t10000 -1..5 t12000 -6 t14000 -7 t16000 -8 b21..25 t16500");
    assert_int_equal(breaker_open_until(&b), 17100);
    play("t17100 t17100");
    assert_string_equal(heard,
                        "open@0 closed@7300 open@10000 open@16000 closed@17100 closed@17100");
    play("t17200 -31..45 b31..45 t86399 -51..65 b51..65");
    assert_false(breaker_is_open(&b));
    play("t89100 -71..75");
    assert_true(breaker_is_open(&b));
    assert_int_equal(breaker_open_until(&b), 92700);
}

static void a_clock_set_back_does_not_keep_it_closed(void **state)
{
    (void)state;
    breaker_init(&b);
    heard[0] = '\0';
    lose_on(1000000, 1020000);
    assert_false(breaker_is_open(&b));
    play("t100 -1..5");
    assert_true(breaker_is_open(&b));
}

static void the_words_have_the_counts_and_some_names(void **state)
{
    (void)state;
    char words[2 * BREAKER_WORDS_SIZE];
    breaker_init(&b);
    breaker_words(&b, words, sizeof words);
    assert_string_equal(words, "closed");
    play("t10 +9 -1..5");
    breaker_words(&b, words, sizeof words);
    assert_string_equal(words, "open: 5 of 6 unrelated destinations lost TLS within 10 minutes "
                               "(site1.example, site2.example, site3.example, ...)");
    assert_int_equal(b.tls.bad, 5);
    assert_int_equal(b.tls.looked, 6);
    play("t20 b1..5");
    breaker_words(&b, words, sizeof words);
    assert_non_null(strstr(words,
                           "; 5 unrelated signed zones were bogus within 10 minutes, and none "
                           "answered securely (site1.example"));
    play("t60 +1..3 s1..3");
    breaker_words(&b, words, sizeof words);
    assert_string_equal(words, "closed");
    assert_string_equal(b.tls.words, "3 of 3 destinations looked at since show TLS again");
    breaker_init(&b);
    play("t0 o1..10");
    assert_string_equal(b.tls.words,
                        "none of 10 unrelated destinations showed TLS within 10 minutes "
                        "(site1.example, site2.example, site3.example, ...)");
}

static void a_group_is_the_last_two_labels_of_a_name(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        const char *want;
    } cases[] = {
        {"mx.example.org", "example.org"},
        {"a.b.c.example.org", "example.org"},
        {"example.org", "example.org"},
        {"localhost", "localhost"},
        {"192.0.2.1", ""},
        {"[192.0.2.1]", ""},
        {"2001:db8::1", ""},
        {"", ""},
    };
    char group[BREAKER_GROUP_SIZE];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(breaker_group(cases[i].host, group), cases[i].want[0] != '\0');
        assert_string_equal(group, cases[i].want);
    }
}

static void memory_is_bounded_and_keeps_the_latest(void **state)
{
    (void)state;
    breaker_init(&b);
    heard[0] = '\0';
    for (int i = 0; i < 4 * BREAKER_FUSE_SIGHTS; i++) {
        char word[32];
        now = i;
        snprintf(word, sizeof word, "+%d", i);
        step(word);
    }
    assert_int_equal(b.tls.count, BREAKER_FUSE_SIGHTS);
    now = 4 * BREAKER_FUSE_SIGHTS + BREAKER_WINDOW - 3;
    play("-5001..5005");
    assert_string_equal(heard, "open@1621");
    assert_int_equal(b.tls.looked, 5);
}

static void a_clock_set_back_does_not_keep_it_open(void **state)
{
    (void)state;
    breaker_init(&b);
    heard[0] = '\0';
    play("t1000000 -1..5 t100 -1 t3700");
    assert_string_equal(heard, "open@1000000 closed@3700");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_opens_it_and_what_does_not),
        cmocka_unit_test(it_closes_by_itself),
        cmocka_unit_test(flapping_needs_as_much_every_time),
        cmocka_unit_test(it_is_open_while_one_fuse_is),
        cmocka_unit_test(a_vote_takes_a_new_domain_and_a_new_host),
        cmocka_unit_test(nobody_can_hold_it_open),
        cmocka_unit_test(it_is_open_for_four_hours_of_a_day_at_most),
        cmocka_unit_test(the_hours_of_a_day_add_up_and_both_fuses_share_them),
        cmocka_unit_test(a_clock_set_back_does_not_keep_it_closed),
        cmocka_unit_test(the_words_have_the_counts_and_some_names),
        cmocka_unit_test(a_group_is_the_last_two_labels_of_a_name),
        cmocka_unit_test(memory_is_bounded_and_keeps_the_latest),
        cmocka_unit_test(a_clock_set_back_does_not_keep_it_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
