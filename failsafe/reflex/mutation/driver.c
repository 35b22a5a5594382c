/*
 * Reads lines "ID test:MS,test:MS,…", and for each forks a process in which that mutant is awake and those tests run, each for so many milliseconds of processor time at most. Answers "survived MS" (all of them
 * passed; in how much processor time) or "killed TEST" (it failed, crashed, or was still running when its time was over).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

int ipcnet_mutant;

#define TEST(name) int name##_main(int argc, char **argv);
TESTS
#undef TEST

static const struct { const char *name; int (*run)(int argc, char **argv); } tests[] = {
#define TEST(name) {#name, name##_main},
  TESTS
#undef TEST
};

/* A freed block is not what a mutant would be found by. */
const char *__asan_default_options(void) { return "detect_leaks=0:quarantine_size_mb=8:handle_segv=0:handle_abort=0"; }

static int run_named(const char *names, volatile size_t *running)
{
  char list[1024];
  snprintf(list, sizeof list, "%s", names);
  for (char *name = strtok(list, ","); name != NULL; name = strtok(NULL, ",")) {
    char *ms = strchr(name, ':');
    *ms++ = 0;
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
      if (strcmp(tests[i].name, name) != 0) continue;
      *running = i;
      long limit_ms = strtol(ms, NULL, 10);
      struct itimerval limit = {.it_value = {limit_ms / 1000, limit_ms % 1000 * 1000}};
      setitimer(ITIMER_PROF, &limit, NULL); /* its signal ends us */
      char *argv[] = {(char *)tests[i].name, "1", "2", NULL};
      if (tests[i].run(3, argv) != 0) return 1;
    }
  }
  return 0;
}

static int survives(int mutant, const char *names, volatile size_t *running, long *took_ms)
{
  pid_t child = fork();
  if (child == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    ipcnet_mutant = mutant;
    _exit(run_named(names, running));
  }
  int status = 0;
  struct rusage usage;
  wait4(child, &status, 0, &usage);
  *took_ms = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
  char line[1200], names[1024];
  int mutant = 0;
  volatile size_t *running = mmap(NULL, sizeof *running, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "%d %1023s", &mutant, names) != 2) continue;
    long took_ms = 0;
    if (survives(mutant, names, running, &took_ms)) printf("survived %ld\n", took_ms);
    else printf("killed %s\n", tests[*running].name);
    fflush(stdout);
  }
  return 0;
}
