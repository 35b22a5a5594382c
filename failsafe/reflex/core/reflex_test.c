#include <stdio.h>
#include "../../../drivers/can/core/check.h"
#include "table_rig.h"
#include "reflex.h"
int main(void)
{
  CHECK(ipcnet_reflex_size() < 1u << 20);
  printf("%zu bytes\n", ipcnet_reflex_size());
  return checks_report("reflex_core");
}
