// Says hello twice a second. The other end: listener.cpp, or the one in another language.
#include <iostream>
#include <ipcnet.hpp>

int main() try {
  ipcnet::ConnectOptions who;
  who.name = "talker";
  who.reconnect = true;
  ipcnet::Client client(who);
  ipcnet::AdvertiseOptions cbor;
  cbor.encoding = "cbor";
  auto hello = client.advertise("talk/hello", cbor);
  for (int count = 1; client.poll(500) >= 0; count++) hello.publish_json("{\"text\":\"hello from C++\",\"count\":" + std::to_string(count) + "}");
  std::cerr << "talker: " << client.last_error() << std::endl;
  return 1;
} catch (const std::exception &error) {
  std::cerr << "talker: " << error.what() << std::endl;
  return 1;
}
