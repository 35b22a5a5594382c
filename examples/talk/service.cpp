// Adds two numbers for whoever asks. The other end: caller.cpp, or the one in another language.
#include <iostream>
#include <ipcnet.hpp>

int main() try {
  ipcnet::ConnectOptions who;
  who.name = "adder";
  who.reconnect = true;
  ipcnet::Client client(who);
  auto adding = client.offer("talk/add", [](ipcnet::Call &call) {
    const auto body = call.body();
    call.answer(ipcnet::CborWriter().map(1).text("sum").number(body["a"].number() + body["b"].number()).bytes());
  });
  while (client.poll() >= 0) {}
  std::cerr << "service: " << client.last_error() << std::endl;
  return 1;
} catch (const std::exception &error) {
  std::cerr << "service: " << error.what() << std::endl;
  return 1;
}
