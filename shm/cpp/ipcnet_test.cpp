// The C++ wrapper without a gateway: values, ownership, errors; and that every part of the header compiles. What needs a gateway: hil-tests/cProgramsTalkToTheGateway.
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>

#include "ipcnet.hpp"

#define CHECK(condition) do { if (!(condition)) { std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); std::exit(1); } } while (0)

template <typename Function>
static int status_of(Function &&function) {
  try {
    function();
  } catch (const ipcnet::Error &error) {
    return error.status();
  }
  return 0;
}

int main() {
  ipcnet::CborWriter writer;
  writer.map(3).text("a").number(2.5).text("list").array(2).integer(-1).boolean(true).text("text").text("grüße");
  const ipcnet::Cbor value(writer.bytes());
  CHECK(value["a"].number() == 2.5 && value["list"].items().size() == 2 && value["list"].items()[0].integer() == -1 && value["list"].items()[1].boolean());
  CHECK(value["text"].text() == "grüße" && !value["none"] && value.json() == "{\"a\":2.5,\"list\":[-1,true],\"text\":\"grüße\"}");
  CHECK(status_of([&] { (void)value["text"].number(); }) == IPCNET_UNPROCESSABLE_CONTENT);
  CHECK(status_of([] { ipcnet::Cbor(ipcnet::Bytes("\xff", 1)); }) == IPCNET_BAD_REQUEST);
  CHECK(status_of([] { ipcnet::CborWriter().map(1).bytes(); }) == IPCNET_UNPROCESSABLE_CONTENT);
  CHECK(status_of([] { ipcnet::CborWriter().json("{\"a\":}"); }) == IPCNET_UNPROCESSABLE_CONTENT);
  CHECK(ipcnet::Cbor(ipcnet::CborWriter().json("[1,2]").bytes()).json() == "[1,2]");
  ipcnet::ConnectOptions nowhere;
  nowhere.socket_path = "/nowhere/at/all";
  CHECK(status_of([&] { ipcnet::Client client(nowhere); }) == IPCNET_SERVICE_UNAVAILABLE);
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    ipcnet::Descriptor first(fd), second(std::move(first));
    CHECK(!first && second.get() == fd);
    first = std::move(second);
    CHECK(first.get() == fd);
  }
  CHECK(fcntl(fd, F_GETFD) < 0);
  ipcnet::Subscription no_subscription;
  ipcnet::Writer no_writer;
  ipcnet::Offer no_offer;
  ipcnet::Reply no_reply;
  no_subscription = ipcnet::Subscription();
  CHECK(no_reply.text().empty() && !no_reply.body() && !no_reply.take_fd(0));
  std::puts("ipcnet.hpp: ok");
}
