// Says hello twice a second. The other end: listener.cpp, or the one in another language.
#include <ipcnet.hpp>

int main() {
  ipcnet::Client client;
  ipcnet::AdvertiseOptions cbor;
  cbor.encoding = "cbor";
  auto hello = client.advertise("talk/hello", cbor);
  for (int count = 1; client.poll(500) >= 0; count++) hello.publish_json("{\"text\":\"hello from C++\",\"count\":" + std::to_string(count) + "}");
}
