/*
 * A library to preload under the server: its wall clock is that of the machine plus an offset. A test changes the
 * offset while the server runs, as an administrator or NTP would step the clock.
 *
 * Deliberately only the times that the C library's functions tell: times of files stay the machine's. A wait until an
 * instant of the wall clock would not be cut short; nothing in the server makes one.
 *
 *   CLOCK_SHIM_CONTROL  a file of one number (i64, this machine's order), mapped: the offset in milliseconds
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset_ms;
static int (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_SHIM_CONTROL");
    real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset_ms, PROT_READ, MAP_SHARED, fd, 0);
    /* Without it, a test would believe that the clock had jumped. */
    if (at == MAP_FAILED) abort();
    close(fd);
    offset_ms = at;
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    /* Before the constructor ran, the function that it looks up is not there yet. */
    int result = real_clock ? real_clock(clock, out) : (int)syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && offset_ms && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ms = *offset_ms, ns = out->tv_nsec + ms % 1000 * 1000000;
        out->tv_sec += ms / 1000 + (ns >= 1000000000) - (ns < 0);
        out->tv_nsec = ns >= 1000000000 ? ns - 1000000000 : ns < 0 ? ns + 1000000000 : ns;
    }
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
