#include "mail/date.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Years 0 to 9999: what the formats can say. A time beyond is shown as the nearest one. */
#define EARLIEST (-62167219200LL)
#define LATEST 253402300799LL

static struct tm civil(int64_t at)
{
    struct tm tm;
    time_t seconds = at < EARLIEST ? EARLIEST : at > LATEST ? LATEST : at;
    if (!gmtime_r(&seconds, &tm))
        panic("gmtime_r: %lld", (long long)seconds);
    return tm;
}

const char *date_rfc5322(int64_t at, char out[DATE_SIZE])
{
    /* Not strftime(): it speaks the locale's language. */
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = civil(at);
    snprintf(out, DATE_SIZE, "%s, %d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return out;
}

const char *date_rfc3339(int64_t at, char out[DATE_SIZE])
{
    struct tm tm = civil(at);
    snprintf(out, DATE_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return out;
}

/* Takes `digits` digits and the byte `behind` them (0: nothing). */
static bool take(struct slice *in, size_t digits, char behind, unsigned max, int *out)
{
    uint64_t value = 0;
    struct slice sign = slice_sub(*in, digits, behind != '\0');
    if (in->len < digits || !slice_number(slice_sub(*in, 0, digits), max, &value))
        return false;
    if (behind != '\0' && !slice_equal_nocase(sign, (struct slice){&behind, 1}))
        return false;
    *in = slice_sub(*in, digits + sign.len, in->len);
    *out = (int)value;
    return true;
}

/* ".123" and then "Z" or "+01:00", to the end. */
static bool take_zone(struct slice in, int *offset)
{
    if (in.len > 1 && in.data[0] == '.') {
        size_t digits = 1;
        while (digits < in.len && in.data[digits] >= '0' && in.data[digits] <= '9')
            digits++;
        if (digits == 1)
            return false;
        in = slice_sub(in, digits, in.len);
    }
    *offset = 0;
    if (slice_equal_nocase(in, SLICE("Z")))
        return true;
    int hours = 0, minutes = 0;
    if (in.len != 6 || (in.data[0] != '+' && in.data[0] != '-'))
        return false;
    int sign = in.data[0] == '-' ? -1 : 1;
    in = slice_sub(in, 1, 5);
    if (!take(&in, 2, ':', 23, &hours) || !take(&in, 2, '\0', 59, &minutes))
        return false;
    *offset = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool date_parse_rfc3339(struct slice in, int64_t *at)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm tm = {0};
    int year = 0, month = 0, offset = 0;
    if (!take(&in, 4, '-', 9999, &year) || !take(&in, 2, '-', 12, &month) || month == 0 ||
        !take(&in, 2, 'T', 31, &tm.tm_mday) || tm.tm_mday == 0 ||
        !take(&in, 2, ':', 23, &tm.tm_hour) || !take(&in, 2, ':', 59, &tm.tm_min) ||
        !take(&in, 2, '\0', 60, &tm.tm_sec) || !take_zone(in, &offset))
        return false;
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (tm.tm_mday > lengths[month - 1] + (month == 2 && is_leap))
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    *at = (int64_t)timegm(&tm) - offset;
    return true;
}

static struct timespec wall_clock(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        panic("clock_gettime: no wall clock");
    return now;
}

int64_t date_now(void)
{
    return wall_clock().tv_sec;
}

int64_t date_now_ms(void)
{
    struct timespec now = wall_clock();
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
