/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole files. Temporary names are fixed in length and shape, so that any name can be staged and what is
 * left over can be told from what a person put there. */
#include "util/io.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "util/macro.h"

#define TEMP_PREFIX   ".cgp-temp-"
#define TEMP_DIGITS   16
#define TEMP_NAME_MAX (sizeof(TEMP_PREFIX) + TEMP_DIGITS)

/* Files of procfs and cgroupfs say that they are empty: then this is where reading starts. */
#define READ_SIZE_MIN 4096U

static bool io_is_component(const char *name) {
        return name[0] != '\0' && !streq(name, ".") && !streq(name, "..") && !strchr(name, '/');
}

static int io_open_regular(
        int dir_fd, const char *name, size_t max, int *ret_fd, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EBADFD;
        if (st.st_size > 0 && (uintmax_t)st.st_size > max)
                return -EFBIG;

        *ret_size = (size_t)st.st_size;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int io_read_file(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size) {
        _cleanup_free_ char *buf = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size = 0, room = 0;
        int r;

        assert(name);
        assert(max < SIZE_MAX - 1);
        assert(ret);

        r = io_open_regular(dir_fd, name, max, &fd, &room);
        if (r < 0)
                return r;
        /* One byte more than expected, so that the end is seen without growing. */
        room = MAX(room + 1, (size_t)READ_SIZE_MIN);

        for (;;) {
                char *grown = NULL;
                ssize_t n;

                room = MIN(room, max + 1);
                grown = realloc(buf, room + 1);
                if (!grown)
                        return -ENOMEM;
                buf = grown;

                do {
                        n = read(fd, buf + size, room - size);
                        if (n < 0 && errno != EINTR)
                                return -errno;
                        if (n > 0)
                                size += (size_t)n;
                } while (n != 0 && size < room);

                if (size > max)
                        return -EFBIG;
                if (n == 0)
                        break;
                room = room > SIZE_MAX / 2 ? max + 1 : room * 2;
        }

        buf[size] = '\0';
        if (!ret_size && strlen(buf) != size)
                return -EBADMSG;
        if (ret_size)
                *ret_size = size;
        *ret = TAKE_PTR(buf);
        return 0;
}

int io_write_all(int fd, const void *data, size_t size) {
        const uint8_t *p = data;

        assert(data || size == 0);

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                p += n;
                size -= (size_t)n;
        }
        return 0;
}

static int io_temp_name(char **ret) {
        char *name = NULL;
        uint64_t random;

        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -errno;
        if (asprintf(&name, TEMP_PREFIX "%0*" PRIx64, TEMP_DIGITS, random) < 0)
                return -ENOMEM;
        *ret = name;
        return 0;
}

bool io_is_temp_name(const char *name) {
        const char *digits = startswith(name, TEMP_PREFIX);

        return digits && strlen(digits) == TEMP_DIGITS &&
                strspn(digits, "0123456789abcdef") == TEMP_DIGITS;
}

static int io_fill_file(int fd, const void *data, size_t size, mode_t mode) {
        int r;

        r = io_write_all(fd, data, size);
        if (r < 0)
                return r;
        if (fchmod(fd, mode) < 0)
                return -errno;
        if (fsync(fd) < 0)
                return -errno;
        return 0;
}

int io_stage_file(
        int dir_fd, const char *name, const void *data, size_t size, mode_t mode, char **ret_temp) {
        _cleanup_free_ char *temp = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        assert(name);
        assert(ret_temp);

        if (!io_is_component(name))
                return -EINVAL;
        r = io_temp_name(&temp);
        if (r < 0)
                return r;

        /* 64 random bits: an existing file of this name is an attack or a broken generator, not bad luck
         * worth a second try. */
        fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
                0600);
        if (fd < 0)
                return -errno;
        r = io_fill_file(fd, data, size, mode);
        if (r < 0) {
                (void)unlinkat(dir_fd, temp, 0);
                return r;
        }

        *ret_temp = TAKE_PTR(temp);
        return 0;
}

/* dir_fd may be O_PATH or AT_FDCWD, of which fsync() knows neither. */
static int io_sync_dir(int dir_fd) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

int io_link_temp(int dir_fd, const char *name, char **ret_temp) {
        _cleanup_free_ char *temp = NULL;
        int r;

        assert(name);
        assert(ret_temp);

        if (!io_is_component(name))
                return -EINVAL;
        r = io_temp_name(&temp);
        if (r < 0)
                return r;
        if (linkat(dir_fd, name, dir_fd, temp, 0) < 0)
                return -errno;
        *ret_temp = TAKE_PTR(temp);
        return 0;
}

int io_replace(int dir_fd, const char *temp, const char *name) {
        assert(temp);
        assert(name);

        /* A rename over a file makes ext4 allocate the new one's blocks there and then, over a millisecond;
         * an exchange does not. */
        if (renameat2(dir_fd, temp, dir_fd, name, RENAME_EXCHANGE) >= 0) {
                (void)unlinkat(dir_fd, temp, 0);
                return 0;
        }
        return renameat(dir_fd, temp, dir_fd, name) < 0 ? -errno : 0;
}

int io_commit_file(int dir_fd, const char *temp, const char *name) {
        assert(temp);
        assert(name);

        if (!io_is_temp_name(temp) || !io_is_component(name))
                return -EINVAL;
        if (renameat(dir_fd, temp, dir_fd, name) < 0)
                return -errno;
        return io_sync_dir(dir_fd) < 0 ? 1 : 0;
}

int io_discard_file(int dir_fd, const char *temp) {
        assert(temp);

        if (!io_is_temp_name(temp))
                return -EINVAL;
        if (unlinkat(dir_fd, temp, 0) < 0 && errno != ENOENT)
                return -errno;
        return 0;
}

int io_write_file(int dir_fd, const char *name, const void *data, size_t size, mode_t mode) {
        _cleanup_free_ char *temp = NULL;
        int r;

        r = io_stage_file(dir_fd, name, data, size, mode, &temp);
        if (r < 0)
                return r;
        r = io_commit_file(dir_fd, temp, name);
        if (r < 0)
                (void)io_discard_file(dir_fd, temp);
        return r;
}

int io_remove_temps(int dir_fd) {
        _cleanup_closedir_ DIR *dir = NULL;
        _cleanup_close_ int fd = -EBADF;
        int n_removed = 0, failure = 0;

        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void)TAKE_FD(fd);

        for (;;) {
                struct dirent *entry;

                errno = 0;
                entry = readdir(dir);
                if (!entry) {
                        if (errno != 0 && failure == 0)
                                failure = -errno;
                        break;
                }
                if (!io_is_temp_name(entry->d_name))
                        continue;
                if (unlinkat(dir_fd, entry->d_name, 0) >= 0)
                        n_removed++;
                else if (errno != ENOENT && failure == 0)
                        failure = -errno;
        }
        return failure < 0 ? failure : n_removed;
}

int io_mkdir_open(int dir_fd, const char *name, mode_t mode, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        bool made;
        int r;

        assert(name);
        assert(ret_fd);

        /* Without rights for others until the mode is set: the umask may not widen what was asked for. */
        made = mkdirat(dir_fd, name, mode & 0700) >= 0;
        if (!made && errno != EEXIST)
                return -errno;

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 || (made && fchmod(fd, mode) < 0) ? -errno : 0;
        if (r < 0) {
                if (made)
                        (void)unlinkat(dir_fd, name, AT_REMOVEDIR);
                return r;
        }

        *ret_fd = TAKE_FD(fd);
        return made;
}

int io_opendir(int dir_fd, const char *name, DIR **ret) {
        _cleanup_close_ int fd = -EBADF;
        DIR *d;

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        d = fdopendir(fd);
        if (!d)
                return -errno;
        (void)TAKE_FD(fd);
        *ret = d;
        return 0;
}
