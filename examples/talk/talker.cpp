// Says hello twice a second. The other end: listener.cpp, or the one in another language.
#include <iostream>
#include <ipcnet.hpp>

int main() try {
  ipcnet::Client client;
  ipcnet::AdvertiseOptions cbor;
  cbor.encoding = "cbor";
  auto hello = client.advertise("talk/hello", cbor);
  for (int count = 1; client.poll(500) >= 0; count++) hello.publish_json("{\"text\":\"hello from C++\",\"count\":" + std::to_string(count) + "}");
} catch (const std::exception &error) {
  std::cerr << "talker: " << error.what() << std::endl;
  return 1;
}
