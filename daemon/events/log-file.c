/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bounded log: one writer, which never has a cut line in front of what it appends, and a reader that
 * goes backwards, so that the last lines of a long log cost what they are long. */
#include "events/log-file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "util/io.h"
#include "util/macro.h"

#define READ_WINDOW (2 * LOG_FILE_LINE_MAX)

struct LogFile {
        int dir_fd;
        int fd;   /* -EBADF: to be opened by the next append */
        bool cut; /* the file may end with part of a line */
        uint64_t half_size;
        uint64_t n_lost;
        char *name;
        char *old_name;
};

/* Where a line stands that the reader was asked for. */
typedef struct LogPlace {
        uint64_t offset;
        uint32_t size;
        unsigned file;
} LogPlace;

typedef struct LogTail {
        int fds[2]; /* the current file and the old one */
        char *window;
        LogPlace *places; /* newest first */
        size_t n_places;
        size_t n_room;
        size_t n_max;
        LogFileWanted wanted;
        void *userdata;
} LogTail;

static int pread_all(int fd, char *buf, size_t size, uint64_t offset) {
        while (size > 0) {
                ssize_t n = pread(fd, buf, size, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO; /* somebody else made it shorter */
                buf += n;
                size -= (size_t)n;
                offset += (size_t)n;
        }
        return 0;
}

static int log_open_regular(
        int dir_fd, const char *name, int flags, int *ret_fd, uint64_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADFD;
        *ret_size = (uint64_t)st.st_size;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Removes what follows the last newline. */
static int log_file_mend(LogFile *log, uint64_t size) {
        uint64_t pos = size;
        char buf[4096];

        while (pos > 0) {
                size_t n = (size_t)MIN(pos, (uint64_t)sizeof(buf));
                const char *newline;
                int r;

                r = pread_all(log->fd, buf, n, pos - n);
                if (r < 0)
                        return r;
                newline = memrchr(buf, '\n', n);
                if (newline) {
                        pos -= n - (size_t)(newline + 1 - buf);
                        break;
                }
                pos -= n;
        }
        if (pos < size && ftruncate(log->fd, (off_t)pos) < 0)
                return -errno;
        log->cut = false;
        return 0;
}

static int log_file_open_current(LogFile *log) {
        uint64_t size;
        int r;

        r = log_open_regular(log->dir_fd, log->name, O_RDWR | O_APPEND | O_CREAT, &log->fd, &size);
        if (r < 0)
                return r;
        if (size > log->half_size) {
                log->fd = close_keep_errno(log->fd);
                if (unlinkat(log->dir_fd, log->name, 0) < 0)
                        return -errno;
                r = log_open_regular(log->dir_fd, log->name, O_RDWR | O_APPEND | O_CREAT | O_EXCL,
                        &log->fd, &size);
                if (r < 0)
                        return r;
        }
        log->cut = true;
        if (fchmod(log->fd, 0600) < 0)
                r = -errno;
        else
                r = log_file_mend(log, size);
        if (r < 0)
                log->fd = close_keep_errno(log->fd);
        return r;
}

/* The old file is of no use to the writer, except that it counts for the bound. */
static int log_file_check_old(LogFile *log) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        int r;

        r = log_open_regular(log->dir_fd, log->old_name, O_RDONLY, &fd, &size);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (size > log->half_size && unlinkat(log->dir_fd, log->old_name, 0) < 0)
                return -errno;
        return 0;
}

int log_file_open(int dir_fd, const char *name, uint64_t max_size, LogFile **ret) {
        _cleanup_(log_file_closep) LogFile *log = NULL;
        int r;

        assert(name);
        assert(ret);

        if (max_size < 2ULL * LOG_FILE_LINE_MAX || max_size > INT64_MAX)
                return -EINVAL;
        log = malloc(sizeof(*log));
        if (!log)
                return -ENOMEM;
        *log = (LogFile){ .dir_fd = -EBADF, .fd = -EBADF, .half_size = max_size / 2 };
        log->name = strdup(name);
        if (!log->name || asprintf(&log->old_name, "%s.1", name) < 0)
                return -ENOMEM;
        log->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
        if (log->dir_fd < 0)
                return -errno;
        r = log_file_check_old(log);
        if (r < 0)
                return r;
        r = log_file_open_current(log);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(log);
        return 0;
}

LogFile *log_file_close(LogFile *log) {
        if (!log)
                return NULL;
        (void)close_keep_errno(log->fd);
        (void)close_keep_errno(log->dir_fd);
        free(log->name);
        free(log->old_name);
        free(log);
        return NULL;
}

uint64_t log_file_get_lost(const LogFile *log) {
        return log->n_lost;
}

static int log_file_rotate(LogFile *log) {
        if (renameat(log->dir_fd, log->name, log->dir_fd, log->old_name) < 0)
                return -errno;
        log->fd = close_keep_errno(log->fd);
        return log_file_open_current(log);
}

/* Makes the file one that ends with a whole line and has room for n bytes more. */
static int log_file_prepare(LogFile *log, size_t n, uint64_t *ret_size) {
        struct stat st = { 0 };
        int r;

        if (log->fd >= 0) {
                if (fstat(log->fd, &st) < 0)
                        return -errno;
                /* Somebody removed it: what is written to it now would be seen by nobody. */
                if (st.st_nlink == 0)
                        log->fd = close_keep_errno(log->fd);
        }
        if (log->fd < 0)
                r = log_file_open_current(log);
        else
                r = log->cut ? log_file_mend(log, (uint64_t)st.st_size) : 0;
        if (r < 0)
                return r;

        if (fstat(log->fd, &st) < 0)
                return -errno;
        if ((uint64_t)st.st_size + n > log->half_size) {
                r = log_file_rotate(log);
                if (r < 0)
                        return r;
                st.st_size = 0;
        }
        *ret_size = (uint64_t)st.st_size;
        return 0;
}

static int log_file_write(LogFile *log, const char *line, size_t size) {
        struct iovec iov[2] = {
                { .iov_len = size },
                { .iov_len = 1 },
        };
        static char newline[] = "\n";
        uint64_t old_size = 0;
        ssize_t n;
        int r;

        r = log_file_prepare(log, size + 1, &old_size);
        if (r < 0)
                return r;

        /* writev() takes no const. */
        memcpy(&iov[0].iov_base, &line, sizeof(line));
        iov[1].iov_base = newline;
        do
                n = writev(log->fd, iov, 2);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if ((size_t)n == size + 1)
                return 0;

        log->cut = ftruncate(log->fd, (off_t)old_size) < 0;
        return -ENOSPC;
}

int log_file_append(LogFile *log, const char *line) {
        size_t size;
        int r;

        assert(log);
        assert(line);

        size = strlen(line);
        if (size == 0 || strchr(line, '\n'))
                r = -EINVAL;
        else if (size + 1 > LOG_FILE_LINE_MAX)
                r = -EMSGSIZE;
        else
                r = log_file_write(log, line, size);
        if (r < 0)
                log->n_lost++;
        return r;
}

static void log_tail_done(LogTail *t) {
        for (size_t i = 0; i < ELEMENTSOF(t->fds); i++)
                (void)close_keep_errno(t->fds[i]);
        free(t->window);
        free(t->places);
}

/* Asks for one line; its newline may be overwritten. */
static int log_tail_consider(LogTail *t, unsigned file, char *line, size_t size, uint64_t offset) {
        int r;

        /* A file system may leave zeroes where it lost data: such a line is not one of ours. */
        if (size == 0 || size + 1 > LOG_FILE_LINE_MAX || memchr(line, '\0', size))
                return 0;
        line[size] = '\0';
        r = t->wanted ? t->wanted(t->userdata, line) : 1;
        if (r <= 0)
                return r;

        if (t->n_places == t->n_room) {
                size_t n_room = MAX(t->n_room * 2, (size_t)64);
                LogPlace *grown = reallocarray(t->places, n_room, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                t->places = grown;
                t->n_room = n_room;
        }
        t->places[t->n_places++] =
                (LogPlace){ .offset = offset, .size = (uint32_t)size, .file = file };
        return 0;
}

static bool log_tail_is_full(const LogTail *t) {
        return t->n_max > 0 && t->n_places >= t->n_max;
}

/* Goes backwards through the lines that end in the window of n bytes at offset. *ret_rest is how many bytes
 * at its begin are still to be looked at, with what stands before them. */
static int log_tail_window(LogTail *t, unsigned file, size_t n, uint64_t offset, size_t *ret_rest) {
        size_t end = n;

        while (end > 0 && !log_tail_is_full(t)) {
                const char *newline;
                size_t start;
                int r;

                newline = memrchr(t->window, '\n', end);
                if (!newline) {
                        end = 0;
                        break;
                }
                end = (size_t)(newline - t->window);

                newline = memrchr(t->window, '\n', end);
                if (!newline && offset > 0) {
                        /* It begins before the window; if it fills the window, it is none of ours. */
                        end = end + 1 < n ? end + 1 : 0;
                        break;
                }
                start = newline ? (size_t)(newline + 1 - t->window) : 0;
                r = log_tail_consider(t, file, t->window + start, end - start, offset + start);
                if (r < 0)
                        return r;
                end = start;
        }
        *ret_rest = end;
        return 0;
}

static int log_tail_scan(LogTail *t, unsigned file) {
        struct stat st;
        uint64_t pos;

        if (fstat(t->fds[file], &st) < 0)
                return -errno;
        pos = (uint64_t)st.st_size;

        while (pos > 0 && !log_tail_is_full(t)) {
                size_t n = (size_t)MIN(pos, (uint64_t)READ_WINDOW), rest = 0;
                int r;

                r = pread_all(t->fds[file], t->window, n, pos - n);
                if (r < 0)
                        return r;
                r = log_tail_window(t, file, n, pos - n, &rest);
                if (r < 0)
                        return r;
                pos = pos - n + rest;
        }
        return 0;
}

static int log_tail_open(LogTail *t, LogFile *log) {
        static const unsigned n_files = ELEMENTSOF(t->fds);
        const char *const names[] = { log->name, log->old_name };

        t->window = malloc(READ_WINDOW);
        if (!t->window)
                return -ENOMEM;
        /* Both before the first callback: it may append, and so rename. */
        for (unsigned i = 0; i < n_files; i++) {
                uint64_t size;
                int r;

                r = log_open_regular(log->dir_fd, names[i], O_RDONLY, &t->fds[i], &size);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

int log_file_tail(
        LogFile *log, size_t n_max, LogFileWanted wanted, LogFileLine line, void *userdata) {
        _cleanup_(log_tail_done) LogTail t = {
                .fds = { -EBADF, -EBADF },
                .n_max = n_max,
                .wanted = wanted,
                .userdata = userdata,
        };
        int r;

        assert(log);
        assert(line);

        r = log_tail_open(&t, log);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < ELEMENTSOF(t.fds); i++) {
                r = t.fds[i] >= 0 ? log_tail_scan(&t, i) : 0;
                if (r < 0)
                        return r;
        }

        while (t.n_places > 0) {
                const LogPlace *place = &t.places[--t.n_places];

                r = pread_all(t.fds[place->file], t.window, place->size, place->offset);
                if (r < 0)
                        return r;
                t.window[place->size] = '\0';
                r = line(userdata, t.window);
                if (r < 0)
                        return r;
        }
        return 0;
}
