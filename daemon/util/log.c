/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages to stderr. A message that cannot be written is lost: there is nobody left to tell. */
#include "util/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "util/io.h"
#include "util/macro.h"

#define LOG_LINE_MAX 4096

static int max_level = LOG_INFO;

void log_set_max_level(int level) {
        max_level = level;
}

int log_get_max_level(void) {
        return max_level;
}

/* The service manager says in the environment which stream it made; a program that was given another
 * stderr since (a pipe, a terminal) must not write level prefixes to it. */
static bool log_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uint64_t device, inode;
        struct stat st;
        char end;

        if (!stream || sscanf(stream, "%" SCNu64 ":%" SCNu64 "%c", &device, &inode, &end) != 2)
                return false;
        return fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
}

static void log_write(int level, const char *fmt, va_list ap) _printf_(2, 0);
static void log_write(int level, const char *fmt, va_list ap) {
        int saved = errno;
        char line[LOG_LINE_MAX];
        size_t n, start;
        int r;

        if (log_is_journal())
                r = snprintf(line, sizeof(line), "<%i>", level);
        else
                r = snprintf(line, sizeof(line), "%.64s: ", program_invocation_short_name);
        if (r < 0)
                return;
        start = (size_t)r;

        errno = saved;
        r = vsnprintf(line + start, sizeof(line) - start - 1, fmt, ap);
        if (r < 0)
                return;
        n = MIN(start + (size_t)r, sizeof(line) - 2);
        while (n > start && line[n - 1] == '\n')
                n--;
        for (size_t i = start; i < n; i++)
                if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
                        line[i] = ' ';
        line[n++] = '\n';

        (void)!io_write_all(STDERR_FILENO, line, n);
        errno = saved;
}

void log_full(int level, const char *fmt, ...) {
        va_list ap;

        if (level > max_level)
                return;
        va_start(ap, fmt);
        log_write(level, fmt, ap);
        va_end(ap);
}

int log_full_errno(int level, int error, const char *fmt, ...) {
        int saved = errno;
        va_list ap;

        error = error < 0 ? -error : error;
        if (level <= max_level) {
                errno = error;
                va_start(ap, fmt);
                log_write(level, fmt, ap);
                va_end(ap);
                errno = saved;
        }
        return -error;
}
