/* Preloaded in front of the C library: names that end in ".silent.test" are not answered for SILENT_S seconds, names
 * that end in ".near.test" are loopback. All other names are the C library's. Once the file exists that the variable
 * NAMES_ANSWERED names, silent names are loopback too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENT_S 20

typedef int (*lookup_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int ends_in(const char *text, const char *end)
{
    size_t text_len = strlen(text), end_len = strlen(end);
    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

static int are_answered(void)
{
    const char *file = getenv("NAMES_ANSWERED");
    return file != NULL && access(file, F_OK) == 0;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    lookup_fn real = (lookup_fn)dlsym(RTLD_NEXT, "getaddrinfo");
    if (node != NULL && ends_in(node, ".silent.test")) {
        for (int second = 0; second < SILENT_S && !are_answered(); second++)
            sleep(1);
        return are_answered() ? real("127.0.0.1", service, hints, found) : EAI_AGAIN;
    }
    if (node != NULL && ends_in(node, ".near.test"))
        return real("127.0.0.1", service, hints, found);
    return real(node, service, hints, found);
}
