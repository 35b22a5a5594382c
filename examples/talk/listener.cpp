// Prints what anybody says. The other end: talker.cpp, or the one in another language.
#include <iostream>
#include <ipcnet.hpp>

int main() try {
  ipcnet::ConnectOptions who;
  who.name = "listener";
  who.reconnect = true;
  ipcnet::Client client(who);
  ipcnet::SubscribeOptions queue;
  queue.policy = IPCNET_QUEUE;
  auto listening = client.subscribe("talk/hello", [](const ipcnet::Message &message) { std::cout << message.sequence() << " " << message.json() << std::endl; }, queue);
  while (client.poll() >= 0) {}
  std::cerr << "listener: " << client.last_error() << std::endl;
  return 1;
} catch (const std::exception &error) {
  std::cerr << "listener: " << error.what() << std::endl;
  return 1;
}
