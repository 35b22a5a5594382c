/* The reflex as a whole, with an outside that is played. */
#include <stdio.h>

#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;

static void test_ready_and_armed(void)
{
  rig_ready(&rig);
  struct ipcnet_reflex_lack lacks[16];
  size_t count = ipcnet_reflex_missing(rig.reflex, rig.now_us, lacks, 16);
  for (size_t i = 0; i < count; i++) fprintf(stderr, "missing %u of %u\n", lacks[i].reason, lacks[i].subject);
  CHECK_INT(count, 0);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  CHECK_INT(rig_refusal(&rig, &command), 0);
  CHECK(rig_last_sent(&rig, ARM_BUS, 0x101) != NULL);
  rig_end(&rig);
}

int main(void)
{
  test_ready_and_armed();
  return checks_report("reflex_core");
}
