/*
 * An IMU on an ESP32 (Arduino) that shows itself on MQTT as examples/arm wants it: topic imu/torso/state, CBOR in an envelope of E2E profile 8 (docs/specs/mqtt.md).
 *
 * Copy beside this sketch: drivers/nodekit/ipcnet_mqtt.{h,c}, schemas/e2e/c/ipcnet_e2e.{h,c}, schemas/crc/c/ipcnet_crc{.h,.c,_table.h}; write secrets.h with WIFI_NAME, WIFI_PASSWORD, BROKER, MQTT_PASSWORD.
 * Libraries: PubSubClient. Its values and bytes are tested on the host against the gateway's readers; the sketch was compiled against stand-ins of these libraries and not tried on a chip.
 *
 * It only reports. What moves something belongs on a line whose delay is known: Wi-Fi's is not.
 */
#include <PubSubClient.h>
#include <WiFi.h>

#include "ipcnet_mqtt.h"
#include "secrets.h"

/* Derived from examples/arm/imu.schema.json, as the gateway does: another schema, another number, and neither end takes the other for its own. */
static const uint32_t IMU_DATA_ID = 0x17d16792;
static const uint32_t PERIOD_MS = 20, RETRY_MS = 1000;
static const char TOPIC[] = "imu/torso/state";

struct Attitude {
  float roll, pitch, yaw, az; /* rad, m/s² */
};

/* Where the sensor is read: true when it has a new value. */
static bool readAttitude(Attitude &attitude) {
  attitude = Attitude{ 0.0f, 0.0f, 0.0f, 9.81f };
  return true;
}

static WiFiClient network;
static PubSubClient broker(network);
static uint32_t counter = 0, reportedMs = 0, triedMs = 0;

void setup() {
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  broker.setServer(BROKER, 1883);
}

static void report(const Attitude &attitude) {
  uint8_t bytes[80];
  struct ipcnet_mqtt_payload payload;
  ipcnet_mqtt_begin(&payload, bytes, sizeof bytes);
  ipcnet_mqtt_map(&payload, 4);
  ipcnet_mqtt_text(&payload, "roll");
  ipcnet_mqtt_float(&payload, attitude.roll);
  ipcnet_mqtt_text(&payload, "pitch");
  ipcnet_mqtt_float(&payload, attitude.pitch);
  ipcnet_mqtt_text(&payload, "yaw");
  ipcnet_mqtt_float(&payload, attitude.yaw);
  ipcnet_mqtt_text(&payload, "az");
  ipcnet_mqtt_float(&payload, attitude.az);
  const size_t length = ipcnet_mqtt_end(&payload, IMU_DATA_ID, counter);
  /* Never retained: whoever subscribes later must not take an old attitude for the present one. Counted only when it went out. */
  if (length > 0 && broker.publish(TOPIC, bytes, length, false)) counter++;
}

void loop() {
  const uint32_t nowMs = millis();
  if (!broker.connected()) {
    if (nowMs - triedMs >= RETRY_MS && WiFi.status() == WL_CONNECTED) {
      triedMs = nowMs;
      broker.connect("imu", "imu", MQTT_PASSWORD);
    }
    return;
  }
  broker.loop();
  if (nowMs - reportedMs < PERIOD_MS) return;
  reportedMs = nowMs;
  Attitude attitude;
  if (readAttitude(attitude)) report(attitude);
}
