/* As much of Arduino, its Wi-Fi and PubSubClient as the sketch names, for the test that compiles it on this machine. None of it does anything. */
#pragma once
#include <stddef.h>
#include <stdint.h>

extern "C" unsigned long millis();
enum { WL_CONNECTED = 3 };
struct WiFiClass {
  int begin(const char *name, const char *password);
  int status();
};
extern WiFiClass WiFi;
struct WiFiClient {};
struct PubSubClient {
  explicit PubSubClient(WiFiClient &client);
  PubSubClient &setServer(const char *host, uint16_t port);
  bool connect(const char *id, const char *user, const char *password);
  bool connected();
  bool publish(const char *topic, const uint8_t *payload, unsigned int length, bool retained);
  bool loop();
};
#define WIFI_NAME ""
#define WIFI_PASSWORD ""
#define BROKER ""
#define MQTT_PASSWORD ""
