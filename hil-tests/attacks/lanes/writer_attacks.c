#include "scene.h"
void run_writer_attacks(const char *only) { (void)only; }
