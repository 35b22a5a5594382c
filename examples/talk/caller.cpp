// Asks for a sum. The other end: service.cpp, or the one in another language.
#include <iostream>
#include <ipcnet.hpp>

int main(int count, char **words) try {
  ipcnet::Client client;
  ipcnet::CborWriter body;
  body.map(2).text("a").number(count > 2 ? std::stod(words[1]) : 2).text("b").number(count > 2 ? std::stod(words[2]) : 3);
  std::cout << client.request("talk/add", body.bytes()).body()["sum"].number() << std::endl;
} catch (const std::exception &error) {
  std::cerr << "caller: " << error.what() << std::endl;
  return 1;
}
