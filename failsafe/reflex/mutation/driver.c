/* Reads lines "ID test,test,…", and for each forks a process in which that mutant is awake and those tests run. Prints "survived ID" where all of them passed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

#define SECONDS_MAX 4 /* of processor time: a loop that never ends is noticed too */

static int run_named(const char *names)
{
  char list[256];
  snprintf(list, sizeof list, "%s", names);
  for (char *name = strtok(list, ","); name != NULL; name = strtok(NULL, ",")) {
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
      if (strcmp(tests[i].name, name) != 0) continue;
      char *argv[] = {(char *)tests[i].name, "1", "2", NULL};
      if (tests[i].run(3, argv) != 0) return 1;
    }
  }
  return 0;
}

static int survives(int mutant, const char *names)
{
  pid_t child = fork();
  if (child == 0) {
    struct rlimit time = {SECONDS_MAX, SECONDS_MAX}, none = {0, 0}, memory = {1ul << 31, 1ul << 31};
    setrlimit(RLIMIT_CPU, &time);
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_AS, &memory);
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    ipcnet_mutant = mutant;
    _exit(run_named(names));
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
  char line[512], names[256];
  int mutant = 0;
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
    if (!survives(0, tests[i].name)) {
      fprintf(stderr, "%s fails without a mutant\n", tests[i].name);
      return 1;
    }
  }
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "%d %255s", &mutant, names) != 2) continue;
    if (survives(mutant, names)) printf("survived %d\n", mutant);
  }
  return 0;
}
