/* slowflush: LD_PRELOAD it to measure on a disk whose every flush takes FSYNC_US microseconds more.
 * Flushes wait for each other within a process, as on one device. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t device = PTHREAD_MUTEX_INITIALIZER;

static int flush(const char *call, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    const char *cost = getenv("FSYNC_US");

    pthread_mutex_lock(&device);
    usleep(cost ? atoi(cost) : 0);
    int result = real(fd);
    pthread_mutex_unlock(&device);
    return result;
}

int fsync(int fd)
{
    return flush("fsync", fd);
}

int fdatasync(int fd)
{
    return flush("fdatasync", fd);
}
