/*
 * A library to preload under the server. It records every change to files below one folder, in one order, with all
 * bytes. It can make that disk fail: full, EIO at the n-th call, death at an instant, slow.
 *
 * Deliberately not a file system: it sees calls of the C library and passes them on. A call that it could not record
 * (shared mappings that can be written, io_uring, copies inside of the kernel) ends the process with a message. The
 * test compares a replay with the real folder byte for byte, which finds missed changes.
 *
 *   DISK_SHIM_ROOT     the folder, an absolute path without links
 *   DISK_SHIM_RECORD   the file to append records to, outside of the folder; optional
 *   DISK_SHIM_MAX      bytes of records at most; beyond, the process ends
 *   DISK_SHIM_CONTROL  a file of SLOTS numbers (u64, this machine's order), mapped; optional
 *
 * A record: magic u32, kind u32, handle u64, a u64, b u64, n1 u32, n2 u32, then n1 + n2 bytes. See record.rs.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC 0x43455250u
#define FD_MAX 65536
#define SLOTS 16
#define PAGES_MAX (1u << 20)

enum kind { START = 1, OPEN, WRITE, RESIZE, ZERO, RENAME, LINK, UNLINK, MKDIR, SYNC_BEGIN, SYNC_END };

/* Kinds of calls that can be told to fail, as bits. */
enum call { C_OPEN = 1, C_WRITE = 2, C_SYNC = 4, C_RENAME = 8, C_UNLINK = 16, C_MKDIR = 32, C_RESIZE = 64, C_READ = 128 };

/* Slots of the control file. */
enum slot { CAPACITY, DIE, FAIL_KINDS, FAIL_AT, CALLS, FAIL_STAYS, FAILED, USED, SLOW_MS };

struct entry { uint64_t handle; dev_t dev; ino_t ino; int flags; uint64_t errors_told; };

/* A file whose sync failed, and how often. */
struct failed { dev_t dev; ino_t ino; uint64_t errors; };

/* A file and which of its pages were read. */
struct cached { dev_t dev; ino_t ino; unsigned char *pages; };

static struct entry table[FD_MAX];
static struct cached cached_files[64];
static size_t cached_count;
static struct failed failed_files[64];
static size_t failed_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static int record_fd = -1;
static uint64_t record_bytes, record_max = UINT64_MAX, next_handle = 1, next_sync = 1;
static volatile uint64_t *control;
static long (*real_syscall)(long, ...);

static long call(long number, long a, long b, long c, long d, long e, long f) {
    return real_syscall(number, a, b, c, d, e, f);
}

static void die(const char *why) {
    char text[256];
    int n = snprintf(text, sizeof text, "disk shim: %s\n", why);
    call(SYS_write, 2, (long)text, n, 0, 0, 0);
    abort();
}

/* === the record === */

static void put(const void *bytes, size_t count) {
    const char *at = bytes;
    while (count > 0) {
        long n = call(SYS_write, record_fd, (long)at, count, 0, 0, 0);
        if (n <= 0) die("the record cannot be written");
        at += n;
        count -= n;
    }
}

/* The caller holds the lock. */
static void record(enum kind kind, uint64_t handle, uint64_t a, uint64_t b, const void *one, size_t n1, const void *two,
                   size_t n2) {
    if (record_fd >= 0) {
        char head[40];
        uint32_t small[2] = {MAGIC, kind}, sizes[2] = {n1, n2};
        uint64_t large[3] = {handle, a, b};
        memcpy(head, small, 8);
        memcpy(head + 8, large, 24);
        memcpy(head + 32, sizes, 8);
        record_bytes += sizeof head + n1 + n2;
        if (record_bytes > record_max) die("the record is full");
        put(head, sizeof head);
        put(one, n1);
        put(two, n2);
    }
    if (control && control[DIE] && kind != START) {
        call(SYS_kill, getpid(), SIGKILL, 0, 0, 0, 0);
        for (;;) pause();
    }
}

/* === faults === */

/* True if this call has to fail; errno is set then. The caller holds the lock. */
static int fails(enum call kind) {
    if (!control || !(control[FAIL_KINDS] & kind)) return 0;
    uint64_t n = ++control[CALLS], at = control[FAIL_AT];
    if (at == 0 || (control[FAIL_STAYS] ? n < at : n != at)) return 0;
    control[FAILED]++;
    errno = EIO;
    return 1;
}

/* The number of failed syncs of a file. */
static uint64_t errors_of(dev_t dev, ino_t ino) {
    for (size_t i = 0; i < failed_count; i++)
        if (failed_files[i].dev == dev && failed_files[i].ino == ino) return failed_files[i].errors;
    return 0;
}

/*
 * True if a sync has to fail; errno is set then. As Linux does it: one failure is told once to every description of the
 * file that was open by then. A description that is opened later is not told. The caller holds the lock.
 */
static int sync_fails(struct entry *entry) {
    uint64_t errors = errors_of(entry->dev, entry->ino);
    if (entry->errors_told < errors) {
        entry->errors_told = errors;
        errno = EIO;
        return 1;
    }
    if (!fails(C_SYNC)) return 0;
    size_t i = 0;
    while (i < failed_count && (failed_files[i].dev != entry->dev || failed_files[i].ino != entry->ino)) i++;
    if (i == sizeof failed_files / sizeof *failed_files) die("too many files whose sync failed");
    if (i == failed_count) failed_files[failed_count++] = (struct failed){entry->dev, entry->ino, 0};
    entry->errors_told = ++failed_files[i].errors;
    errno = EIO;
    return 1;
}

/* How many bytes of `growth` there is room for, which are taken. The caller holds the lock. */
static uint64_t take_room(uint64_t growth) {
    if (!control) return growth;
    uint64_t capacity = control[CAPACITY], used = control[USED];
    uint64_t room = capacity == 0 ? growth : capacity > used ? capacity - used : 0;
    uint64_t taken = growth < room ? growth : room;
    control[USED] = used + taken;
    if (taken < growth) control[FAILED]++;
    return taken;
}

static void give_room(uint64_t bytes) {
    if (control) control[USED] -= bytes < control[USED] ? bytes : control[USED];
}

static uint64_t size_below(const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0) return 0;
    if (S_ISREG(st.st_mode)) return st.st_size;
    DIR *dir = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    uint64_t sum = 0;
    struct dirent *item;
    while (dir && (item = readdir(dir)) != NULL) {
        char below[PATH_MAX];
        if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, "..")) continue;
        if (snprintf(below, sizeof below, "%s/%s", path, item->d_name) < (int)sizeof below) sum += size_below(below);
    }
    if (dir) closedir(dir);
    return sum;
}

/* === start === */

static void setup(void) {
    real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    const char *folder = getenv("DISK_SHIM_ROOT"), *path = getenv("DISK_SHIM_RECORD");
    const char *max = getenv("DISK_SHIM_MAX"), *slots = getenv("DISK_SHIM_CONTROL");
    if (folder && realpath(folder, root)) root_len = strlen(root);
    if (max) record_max = strtoull(max, NULL, 10);
    if (slots) {
        int fd = call(SYS_openat, AT_FDCWD, (long)slots, O_RDWR | O_CLOEXEC, 0, 0, 0);
        long at = call(SYS_mmap, 0, SLOTS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || at == -1) die("the control file cannot be mapped");
        control = (volatile uint64_t *)at;
        control[USED] = root_len ? size_below(root) : 0;
    }
    if (path) {
        /* High up, so that nobody's idea of the next descriptor changes. */
        int fd = call(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600, 0, 0);
        if (fd < 0) die("the record cannot be opened");
        record_fd = call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 200, 0, 0, 0);
        call(SYS_close, fd, 0, 0, 0, 0, 0);
        record_bytes = lseek(record_fd, 0, SEEK_END);
        record(START, 0, getpid(), 0, root, root_len, NULL, 0);
    }
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
#define READY() pthread_once(&once, setup)

__attribute__((constructor)) static void begin(void) { READY(); }

/* === names and descriptors === */

static int is_below(const char *path) {
    return root_len && !strncmp(path, root, root_len) && (path[root_len] == '/' || path[root_len] == 0);
}

/* The absolute path of an entry, its folder resolved and its own name not; true if it is below the root. */
static int full_path(int dirfd, const char *path, char out[PATH_MAX]) {
    char joined[PATH_MAX * 2], resolved[PATH_MAX];
    if (!root_len) return 0;
    if (path[0] == '/') {
        snprintf(joined, sizeof joined, "%s", path);
    } else {
        char base[PATH_MAX], link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        ssize_t n = dirfd == AT_FDCWD ? (getcwd(base, sizeof base) ? (ssize_t)strlen(base) : -1)
                                      : readlink(link, base, sizeof base - 1);
        if (n < 0) return 0;
        base[n] = 0;
        snprintf(joined, sizeof joined, "%s/%s", base, path);
    }
    size_t length = strlen(joined);
    while (length > 1 && joined[length - 1] == '/') joined[--length] = 0;
    char *name = strrchr(joined, '/');
    if (!name) return 0;
    *name++ = 0;
    if (!realpath(joined[0] ? joined : "/", resolved)) return 0;
    if (snprintf(out, PATH_MAX, "%s/%s", strcmp(resolved, "/") ? resolved : "", name) >= PATH_MAX) return 0;
    return is_below(out);
}

/* The entry of a descriptor on a file of ours. Numbers are reused behind our back (closedir), so the file is compared. */
static struct entry *tracked(int fd) {
    struct stat st;
    if (fd < 0 || fd >= FD_MAX || table[fd].handle == 0) return NULL;
    if (fstat(fd, &st) != 0 || st.st_ino != table[fd].ino || st.st_dev != table[fd].dev) {
        table[fd].handle = 0;
        return NULL;
    }
    return &table[fd];
}

static void forget(int fd) {
    if (fd >= 0 && fd < FD_MAX) table[fd].handle = 0;
}

static void copy_entry(int from, int to) {
    if (to < 0 || to >= FD_MAX) return;
    struct entry *entry = tracked(from);
    if (entry) table[to] = *entry; else table[to].handle = 0;
}

static int do_open(int dirfd, const char *path, int flags, mode_t mode) {
    READY();
    char full[PATH_MAX];
    if (!root_len || !full_path(dirfd, path, full)) {
        int fd = call(SYS_openat, dirfd, (long)path, flags, mode, 0, 0);
        forget(fd);
        return fd;
    }
    pthread_mutex_lock(&lock);
    int fd = -1;
    if (!fails(C_OPEN)) {
        struct stat before, st;
        uint64_t freed = flags & O_TRUNC && stat(full, &before) == 0 ? before.st_size : 0;
        if ((flags & O_TMPFILE) == O_TMPFILE) die("O_TMPFILE is not recorded");
        fd = call(SYS_openat, dirfd, (long)path, flags, mode, 0, 0);
        if (fd >= FD_MAX) die("too many descriptors");
        if (fd >= 0 && fstat(fd, &st) == 0) {
            give_room(freed);
            table[fd] = (struct entry){next_handle++, st.st_dev, st.st_ino, flags, errors_of(st.st_dev, st.st_ino)};
            record(OPEN, table[fd].handle, flags, st.st_mode, full, strlen(full), NULL, 0);
        }
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN_MODE(flags, mode)                                                                                         \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list list;                                                                                                  \
        va_start(list, flags);                                                                                         \
        mode = va_arg(list, mode_t);                                                                                   \
        va_end(list);                                                                                                  \
    }

int open(const char *path, int flags, ...) { OPEN_MODE(flags, mode) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_MODE(flags, mode) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { OPEN_MODE(flags, mode) return do_open(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { OPEN_MODE(flags, mode) return do_open(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    READY();
    pthread_mutex_lock(&lock);
    forget(fd);
    pthread_mutex_unlock(&lock);
    return call(SYS_close, fd, 0, 0, 0, 0, 0);
}

static int do_dup(long number, int fd, int to, long flags) {
    READY();
    pthread_mutex_lock(&lock);
    int copy = call(number, fd, to, flags, 0, 0, 0), error = errno;
    copy_entry(fd, copy);
    pthread_mutex_unlock(&lock);
    errno = error;
    return copy;
}

int dup(int fd) { return do_dup(SYS_dup, fd, 0, 0); }
int dup2(int fd, int to) { return fd == to ? to : do_dup(SYS_dup3, fd, to, 0); }
int dup3(int fd, int to, int flags) { return do_dup(SYS_dup3, fd, to, flags); }

static int do_fcntl(int fd, int command, long argument) {
    READY();
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) return do_dup(SYS_fcntl, fd, command, argument);
    pthread_mutex_lock(&lock);
    int result = call(SYS_fcntl, fd, command, argument, 0, 0, 0), error = errno;
    struct entry *entry = command == F_SETFL && result == 0 ? tracked(fd) : NULL;
    if (entry) entry->flags = (entry->flags & ~O_APPEND) | (argument & O_APPEND);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

#define FCNTL(name)                                                                                                    \
    int name(int fd, int command, ...) {                                                                               \
        va_list list;                                                                                                  \
        va_start(list, command);                                                                                       \
        long argument = va_arg(list, long);                                                                            \
        va_end(list);                                                                                                  \
        return do_fcntl(fd, command, argument);                                                                        \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* === bytes === */

/* Writes to a file of ours; `at` is -1 for the descriptor's own position. The caller holds the lock. */
static ssize_t write_ours(int fd, struct entry *entry, const void *bytes, size_t count, int64_t at, int durable) {
    struct stat st;
    if (fails(C_WRITE) || fstat(fd, &st) != 0) return -1;
    int append = entry->flags & O_APPEND;
    int64_t offset = append ? st.st_size : at >= 0 ? at : lseek(fd, 0, SEEK_CUR);
    uint64_t end = offset + count, size = st.st_size, growth = end > size ? end - size : 0, taken = take_room(growth);
    count -= growth - taken;
    if (growth > taken && count == 0) {
        errno = ENOSPC;
        return -1;
    }
    ssize_t n = at >= 0 ? call(SYS_pwrite64, fd, (long)bytes, count, at, 0, 0) : call(SYS_write, fd, (long)bytes, count, 0, 0, 0);
    if (n > 0) record(WRITE, entry->handle, offset, durable || entry->flags & O_DSYNC, NULL, 0, bytes, n);
    return n;
}

static ssize_t do_write(int fd, const void *bytes, size_t count, int64_t at) {
    READY();
    pthread_mutex_lock(&lock);
    struct entry *entry = tracked(fd);
    ssize_t n = entry ? write_ours(fd, entry, bytes, count, at, 0) : 0;
    int error = errno;
    pthread_mutex_unlock(&lock);
    /* Others may block, and must not do so under the lock. */
    if (!entry) return at >= 0 ? call(SYS_pwrite64, fd, (long)bytes, count, at, 0, 0) : call(SYS_write, fd, (long)bytes, count, 0, 0, 0);
    errno = error;
    return n;
}

ssize_t write(int fd, const void *bytes, size_t count) { return do_write(fd, bytes, count, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return do_write(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { return do_write(fd, bytes, count, at); }

static ssize_t do_writev(int fd, const struct iovec *parts, int count, int64_t at, int flags) {
    READY();
    pthread_mutex_lock(&lock);
    struct entry *entry = tracked(fd);
    ssize_t done = 0;
    int error = 0;
    for (int i = 0; entry && i < count; i++) {
        if (parts[i].iov_len == 0) continue;
        ssize_t n = write_ours(fd, entry, parts[i].iov_base, parts[i].iov_len, at < 0 ? -1 : at + done, flags & (RWF_DSYNC | RWF_SYNC));
        if (n < 0 && done == 0) done = -1;
        if (n < 0) break;
        done += n;
        if ((size_t)n < parts[i].iov_len) break;
    }
    error = errno;
    pthread_mutex_unlock(&lock);
    if (!entry && flags) return call(SYS_pwritev2, fd, (long)parts, count, at, 0, flags);
    if (!entry) return at >= 0 ? call(SYS_pwritev, fd, (long)parts, count, at, 0, 0) : call(SYS_writev, fd, (long)parts, count, 0, 0, 0);
    errno = error;
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) { return do_writev(fd, parts, count, -1, 0); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return do_writev(fd, parts, count, at, 0); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return do_writev(fd, parts, count, at, 0); }
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) { return do_writev(fd, parts, count, at, flags); }
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t at, int flags) { return do_writev(fd, parts, count, at, flags); }

/*
 * True if a read has to fail; errno is set then. Only a read that goes to the disk can: pages that were read before are
 * in memory. The caller holds the lock.
 */
static int read_fails(int fd, struct entry *entry, size_t count, int64_t at) {
    struct stat st;
    if (fstat(fd, &st) != 0) return 0;
    uint64_t from = at >= 0 ? at : lseek(fd, 0, SEEK_CUR), end = from + count < (uint64_t)st.st_size ? from + count : (uint64_t)st.st_size;
    size_t i = 0;
    while (i < cached_count && (cached_files[i].dev != entry->dev || cached_files[i].ino != entry->ino)) i++;
    if (i == sizeof cached_files / sizeof *cached_files) die("too many files are read");
    if (i == cached_count) {
        cached_files[cached_count++] = (struct cached){entry->dev, entry->ino, calloc(1, PAGES_MAX)};
        if (!cached_files[i].pages) die("no memory");
    }
    int uncached = 0;
    for (uint64_t page = from / 4096; page * 4096 < end; page++) {
        if (page >= PAGES_MAX) die("a file is too large");
        uncached |= !cached_files[i].pages[page];
    }
    if (uncached && fails(C_READ)) return 1;
    for (uint64_t page = from / 4096; page * 4096 < end; page++) cached_files[i].pages[page] = 1;
    return 0;
}

static ssize_t do_read(int fd, void *bytes, size_t count, int64_t at) {
    READY();
    int failed = 0, error = errno;
    if (control && control[FAIL_KINDS] & C_READ) {
        pthread_mutex_lock(&lock);
        struct entry *entry = tracked(fd);
        failed = entry && read_fails(fd, entry, count, at);
        error = failed ? errno : error;
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    if (failed) return -1;
    return at >= 0 ? call(SYS_pread64, fd, (long)bytes, count, at, 0, 0) : call(SYS_read, fd, (long)bytes, count, 0, 0, 0);
}

ssize_t read(int fd, void *bytes, size_t count) { return do_read(fd, bytes, count, -1); }
ssize_t pread(int fd, void *bytes, size_t count, off_t at) { return do_read(fd, bytes, count, at); }
ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) { return do_read(fd, bytes, count, at); }

/* === sizes === */

static int do_resize(int fd, off64_t size) {
    READY();
    pthread_mutex_lock(&lock);
    struct entry *entry = tracked(fd);
    struct stat st;
    int result = -1;
    if (!entry) {
        result = call(SYS_ftruncate, fd, size, 0, 0, 0, 0);
    } else if (!fails(C_RESIZE) && fstat(fd, &st) == 0 && (result = call(SYS_ftruncate, fd, size, 0, 0, 0, 0)) == 0) {
        /* A longer file is a hole, which takes no room. Here it counts as if it did: the disk is only fuller. */
        if (size > st.st_size) take_room(size - st.st_size); else give_room(st.st_size - size);
        record(RESIZE, entry->handle, size, 0, NULL, 0, NULL, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t size) { return do_resize(fd, size); }
int ftruncate64(int fd, off64_t size) { return do_resize(fd, size); }

static int do_truncate(const char *path, off64_t size) {
    int fd = do_open(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    int result = do_resize(fd, size), error = errno;
    close(fd);
    errno = error;
    return result;
}

int truncate(const char *path, off_t size) { return do_truncate(path, size); }
int truncate64(const char *path, off64_t size) { return do_truncate(path, size); }

static int do_fallocate(int fd, int mode, off64_t at, off64_t count) {
    READY();
    pthread_mutex_lock(&lock);
    struct entry *entry = tracked(fd);
    struct stat st;
    int result = -1;
    if (!entry) {
        result = call(SYS_fallocate, fd, mode, at, count, 0, 0);
    } else if (!fails(C_RESIZE) && fstat(fd, &st) == 0) {
        uint64_t growth = !(mode & FALLOC_FL_KEEP_SIZE) && at + count > st.st_size ? at + count - st.st_size : 0;
        uint64_t taken = take_room(growth);
        if (taken < growth) {
            give_room(taken);
            errno = ENOSPC;
        } else if ((result = call(SYS_fallocate, fd, mode, at, count, 0, 0)) == 0) {
            if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) die("this fallocate is not recorded");
            if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) record(ZERO, entry->handle, at, count, NULL, 0, NULL, 0);
            if (growth) record(RESIZE, entry->handle, at + count, 0, NULL, 0, NULL, 0);
        }
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fallocate(int fd, int mode, off_t at, off_t count) { return do_fallocate(fd, mode, at, count); }
int fallocate64(int fd, int mode, off64_t at, off64_t count) { return do_fallocate(fd, mode, at, count); }
int posix_fallocate(int fd, off_t at, off_t count) { return do_fallocate(fd, 0, at, count) == 0 ? 0 : errno; }
int posix_fallocate64(int fd, off64_t at, off64_t count) { return do_fallocate(fd, 0, at, count) == 0 ? 0 : errno; }

/* === names === */

static int do_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    READY();
    char one[PATH_MAX], two[PATH_MAX];
    int ours = full_path(from_dir, from, one), theirs = full_path(to_dir, to, two);
    if (!ours && !theirs) return call(SYS_renameat2, from_dir, (long)from, to_dir, (long)to, flags, 0);
    if (!ours || !theirs || flags & ~1u) die("a rename into or out of the folder, or of two at once, is not recorded");
    pthread_mutex_lock(&lock);
    struct stat st;
    uint64_t freed = lstat(two, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
    int result = fails(C_RENAME) ? -1 : call(SYS_renameat2, from_dir, (long)from, to_dir, (long)to, flags, 0);
    if (result == 0) {
        give_room(freed);
        record(RENAME, 0, 0, 0, one, strlen(one), two, strlen(two));
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return do_rename(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return do_rename(a, from, b, to, flags); }

static int do_link(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    READY();
    char one[PATH_MAX], two[PATH_MAX];
    int ours = full_path(from_dir, from, one), theirs = full_path(to_dir, to, two);
    if (!ours && !theirs) return call(SYS_linkat, from_dir, (long)from, to_dir, (long)to, flags, 0);
    if (!ours || !theirs || flags) die("a link into or out of the folder is not recorded");
    pthread_mutex_lock(&lock);
    int result = fails(C_RENAME) ? -1 : call(SYS_linkat, from_dir, (long)from, to_dir, (long)to, flags, 0);
    if (result == 0) record(LINK, 0, 0, 0, one, strlen(one), two, strlen(two));
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int link(const char *from, const char *to) { return do_link(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return do_link(a, from, b, to, flags); }

int symlinkat(const char *target, int dir, const char *path) {
    READY();
    char full[PATH_MAX];
    if (full_path(dir, path, full)) die("a symbolic link is not recorded");
    return call(SYS_symlinkat, (long)target, dir, (long)path, 0, 0, 0);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int unlinkat(int dir, const char *path, int flags) {
    READY();
    char full[PATH_MAX];
    if (!full_path(dir, path, full)) return call(SYS_unlinkat, dir, (long)path, flags, 0, 0, 0);
    pthread_mutex_lock(&lock);
    struct stat st;
    uint64_t freed = lstat(full, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 ? st.st_size : 0;
    int result = fails(C_UNLINK) ? -1 : call(SYS_unlinkat, dir, (long)path, flags, 0, 0, 0);
    if (result == 0) {
        give_room(freed);
        record(UNLINK, 0, 0, 0, full, strlen(full), NULL, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode) {
    READY();
    char full[PATH_MAX];
    if (!full_path(dir, path, full)) return call(SYS_mkdirat, dir, (long)path, mode, 0, 0, 0);
    pthread_mutex_lock(&lock);
    struct stat st;
    int result = fails(C_MKDIR) ? -1 : call(SYS_mkdirat, dir, (long)path, mode, 0, 0, 0);
    if (result == 0 && stat(full, &st) == 0) record(MKDIR, 0, st.st_mode, 0, full, strlen(full), NULL, 0);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* === durability === */

/* Waits as long as a slow disk takes. Not under the lock: others may read and write meanwhile. */
static void be_slow(void) {
    uint64_t ms = control ? control[SLOW_MS] : 0;
    if (ms > 0) usleep(ms * 1000);
}

/* Not under the lock: bytes that others write meanwhile are not covered, and the record must show that. */
static int do_sync(long number, int fd) {
    READY();
    pthread_mutex_lock(&lock);
    struct entry *entry = tracked(fd);
    uint64_t id = 0;
    int failed = entry && sync_fails(entry), error = errno;
    if (entry && !failed) record(SYNC_BEGIN, entry->handle, id = next_sync++, 0, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    if (failed) return -1;
    if (entry) be_slow();
    int result = call(number, fd, 0, 0, 0, 0, 0);
    error = errno;
    if (entry && result == 0) {
        pthread_mutex_lock(&lock);
        record(SYNC_END, 0, id, 0, NULL, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return result;
}

int fsync(int fd) { return do_sync(SYS_fsync, fd); }
int fdatasync(int fd) { return do_sync(SYS_fdatasync, fd); }

/* Writes no metadata and does not empty the drive's cache: makes nothing durable, so it is not recorded. */
int sync_file_range(int fd, off64_t at, off64_t count, unsigned flags) {
    READY();
    pthread_mutex_lock(&lock);
    struct entry *entry = tracked(fd);
    int failed = entry && sync_fails(entry), error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed ? -1 : call(SYS_sync_file_range, fd, at, count, flags, 0, 0);
}

/* === calls that are not recorded === */

static void *do_mmap(void *at, size_t count, int protection, int flags, int fd, off64_t offset) {
    READY();
    if (fd >= 0 && (flags & MAP_TYPE) != MAP_PRIVATE) {
        pthread_mutex_lock(&lock);
        struct entry *entry = tracked(fd);
        if (entry && (entry->flags & O_ACCMODE) != O_RDONLY) die("a shared mapping of a file that can be written");
        pthread_mutex_unlock(&lock);
    }
    return (void *)call(SYS_mmap, (long)at, count, protection, flags, fd, offset);
}

void *mmap(void *at, size_t count, int protection, int flags, int fd, off_t offset) { return do_mmap(at, count, protection, flags, fd, offset); }
void *mmap64(void *at, size_t count, int protection, int flags, int fd, off64_t offset) { return do_mmap(at, count, protection, flags, fd, offset); }

static void refuse_target(int fd) {
    READY();
    pthread_mutex_lock(&lock);
    if (tracked(fd)) die("a copy inside of the kernel is not recorded");
    pthread_mutex_unlock(&lock);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags) {
    refuse_target(out);
    return call(SYS_copy_file_range, in, (long)from, out, (long)to, count, flags);
}
ssize_t sendfile(int out, int in, off_t *from, size_t count) {
    refuse_target(out);
    return call(SYS_sendfile, out, in, (long)from, count, 0, 0);
}
ssize_t sendfile64(int out, int in, off64_t *from, size_t count) {
    refuse_target(out);
    return call(SYS_sendfile, out, in, (long)from, count, 0, 0);
}
ssize_t splice(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags) {
    refuse_target(out);
    return call(SYS_splice, in, (long)from, out, (long)to, count, flags);
}

long syscall(long number, ...) {
    READY();
    va_list list;
    va_start(list, number);
    long v[6];
    for (int i = 0; i < 6; i++) v[i] = va_arg(list, long);
    va_end(list);
    switch (number) {
    case SYS_write: case SYS_pwrite64: case SYS_writev: case SYS_pwritev: case SYS_pwritev2: case SYS_ftruncate:
    case SYS_fallocate: case SYS_fsync: case SYS_fdatasync: case SYS_openat: case SYS_unlinkat: case SYS_renameat2:
    case SYS_mkdirat: case SYS_linkat: case SYS_symlinkat: case SYS_copy_file_range: case SYS_io_uring_setup:
        die("a call that changes files went past the C library's functions");
    }
    return call(number, v[0], v[1], v[2], v[3], v[4], v[5]);
}

/* === room on the disk, as told === */

static uint64_t told_free(void) {
    uint64_t capacity = control[CAPACITY], used = control[USED];
    return capacity > used ? capacity - used : 0;
}

static int told(void) { return control && control[CAPACITY]; }

#define STATVFS(name, type, real, first, as_call)                                                                      \
    int name(first, struct type *out) {                                                                                \
        READY();                                                                                                       \
        static int (*next)(first, struct type *);                                                                      \
        if (!next) next = (int (*)(first, struct type *))dlsym(RTLD_NEXT, real);                                       \
        int result = next(as_call, out);                                                                               \
        if (result == 0 && told()) {                                                                                   \
            out->f_blocks = control[CAPACITY] / out->f_bsize;                                                          \
            out->f_bavail = out->f_bfree = told_free() / out->f_bsize;                                                 \
            TELL_FRAGMENT(type)                                                                                        \
        }                                                                                                              \
        return result;                                                                                                 \
    }
#define TELL_FRAGMENT(type) out->f_frsize = out->f_bsize;
STATVFS(statvfs, statvfs, "statvfs", const char *which, which)
STATVFS(statvfs64, statvfs64, "statvfs64", const char *which, which)
STATVFS(fstatvfs, statvfs, "fstatvfs", int which, which)
STATVFS(fstatvfs64, statvfs64, "fstatvfs64", int which, which)
STATVFS(statfs, statfs, "statfs", const char *which, which)
STATVFS(statfs64, statfs64, "statfs64", const char *which, which)
STATVFS(fstatfs, statfs, "fstatfs", int which, which)
STATVFS(fstatfs64, statfs64, "fstatfs64", int which, which)
