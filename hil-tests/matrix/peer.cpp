// The matrix in C++: `peer_cpp write SOCKET CASES NAME READERS`, `peer_cpp read SOCKET CASES NAME WRITER` `peer_cpp plain SOCKET CASES NAME -` or `peer_cpp guest SOCKET CASES NAME -`. README.md says what each does; JSON lines on stdout.
#include <cinttypes>
#include <cstring>
#include <deque>
#include <iostream>
#include <list>
#include <map>

#include <ipcnet.hpp>
#include <sys/mman.h>

#include "ipcnet_media.h"
#include "peer.h"
#include "sealed_file.h"

using ipcnet::Bytes;
using ipcnet::Cbor;
using ipcnet::CborWriter;
using Payload = std::vector<std::uint8_t>;

static std::string text_of(const Cbor &map, const char *key, const std::string &otherwise = "") { return map[key] ? map[key].text() : otherwise; }
static std::int64_t integer_of(const Cbor &map, const char *key, std::int64_t otherwise = 0) { return map[key] ? map[key].integer() : otherwise; }

static Payload pattern(std::int64_t seed, std::int64_t length) {
  Payload bytes(static_cast<std::size_t>(length));
  peer_pattern(static_cast<std::uint32_t>(seed), bytes.data(), bytes.size());
  return bytes;
}

static std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }
static void say(const std::string &line) { std::cout << "{" << line << "}" << std::endl; }

struct Peer {
  Cbor cases;
  std::string name;
  ipcnet::Client client;

  std::string at(const std::string &owner, const std::string &what) const { return "matrix/" + owner + "/" + what; }

  // Serves until `done`; ends the program with its input.
  template <typename Done>
  void until(Done &&done, int timeout_ms = -1) {
    while (!done()) {
      if (client.poll(0) < 0) throw std::runtime_error("the connection has ended");
      if (!done()) peer_wait(client.get(), timeout_ms);
    }
  }

  ipcnet::Writer advertise(const std::string &topic, const Cbor &one) {
    static const std::vector<std::string> types = {"", "f64", "f32", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"};
    ipcnet::AdvertiseOptions options;
    std::deque<std::string> texts; // which the fields point to
    options.encoding = text_of(one, "encoding");
    for (const auto &field : one["fields"].items()) {
      ::ipcnet_field_definition definition = {};
      definition.name = texts.emplace_back(text_of(field, "name")).c_str();
      definition.unit = texts.emplace_back(text_of(field, "unit")).c_str();
      if (field["minimum"]) definition.minimum = field["minimum"].number();
      if (field["maximum"]) definition.maximum = field["maximum"].number();
      for (std::uint8_t type = 1; type < types.size(); type++) {
        if (types[type] == text_of(field, "type")) definition.type = type;
      }
      options.fields.push_back(definition);
    }
    if (one["jsonSchema"]) options.json_schema = one["jsonSchema"].json();
    options.queue = static_cast<std::uint32_t>(integer_of(one, "queue"));
    options.payload_bytes_max = static_cast<std::uint64_t>(integer_of(one, "payloadBytesMax"));
    options.policy = text_of(one, "policy") == "lossless" ? IPCNET_LOSSLESS : IPCNET_QUEUE;
    options.deadline_ms = options.policy == IPCNET_LOSSLESS ? 20000 : 0;
    return client.advertise(topic, options);
  }
};

// ---------------------------------------------------------------- writing --

struct Input {
  ::ipcnet_lineage lineage;
  Payload cbor;
};

static void publish(ipcnet::Writer &writer, Bytes payload, const ::ipcnet_meta *meta = nullptr) {
  while (!writer.publish(payload, meta)) writer.wait(1000);
}

// Header and data are made in the lane itself.
template <typename Media>
static void publish_media(ipcnet::Writer &writer, const Cbor &one, const Media &media, std::size_t header_bytes, int (*encode)(const Media *, void *)) {
  writer.loan(header_bytes + media.data_bytes, [&](std::uint8_t *room) {
    if (encode(&media, room) != 0) throw std::runtime_error("the value is refused");
    peer_pattern(static_cast<std::uint32_t>(integer_of(one, "seed")), room + header_bytes, media.data_bytes);
    return header_bytes + media.data_bytes;
  });
}

static void publish_tensor(ipcnet::Writer &writer, const Cbor &one) {
  ::ipcnet_media_tensor tensor = {};
  const auto type = one["type"].items(), shape = one["shape"].items(), strides = one["strides"].items();
  tensor.code = static_cast<std::uint8_t>(type[0].integer());
  tensor.bits = static_cast<std::uint8_t>(type[1].integer());
  tensor.lanes = static_cast<std::uint16_t>(type[2].integer());
  tensor.dimensions = static_cast<std::uint32_t>(shape.size());
  for (std::size_t i = 0; i < shape.size(); i++) {
    tensor.shape[i] = static_cast<std::uint64_t>(shape[i].integer());
    tensor.strides[i] = static_cast<std::uint64_t>(strides[i].integer());
  }
  tensor.data_bytes = static_cast<std::uint64_t>(integer_of(one, "dataBytes"));
  publish_media(writer, one, tensor, IPCNET_MEDIA_TENSOR_BYTES, ipcnet_media_tensor_encode);
}

static void publish_frame(ipcnet::Writer &writer, const Cbor &one) {
  ::ipcnet_media_video video = {};
  std::memcpy(video.fourcc, text_of(one, "fourcc").data(), 4);
  video.key_frame = 1;
  video.width = static_cast<std::uint32_t>(integer_of(one, "width"));
  video.height = static_cast<std::uint32_t>(integer_of(one, "height"));
  video.pts_ns = integer_of(one, "ptsNs");
  for (const auto &plane : one["planes"].items()) {
    const auto numbers = plane.items();
    const auto number = [&](std::size_t i) { return static_cast<std::uint32_t>(numbers[i].integer()); };
    video.planes[video.plane_count++] = {number(0), number(1), number(2), number(3)};
  }
  video.data_bytes = static_cast<std::uint64_t>(integer_of(one, "dataBytes"));
  publish_media(writer, one, video, IPCNET_MEDIA_VIDEO_BYTES, ipcnet_media_video_encode);
}

static void publish_all(Peer &peer, const Cbor &topic, ipcnet::Writer &writer, const std::vector<Input> &inputs) {
  ::ipcnet_meta meta = {};
  if (topic["options"]) {
    meta.ttl_ms = static_cast<std::uint32_t>(integer_of(topic["options"], "ttlMs"));
    meta.quality = IPCNET_STALE;
    meta.flags = IPCNET_MESSAGE_KEY_FRAME;
  }
  for (const auto &value : topic["values"].items()) writer.publish_json(value.json(), &meta);
  for (const auto &one : topic["patterns"].items()) publish(writer, pattern(integer_of(one, "seed"), integer_of(one, "length")));
  for (const auto &one : topic["tensors"].items()) publish_tensor(writer, one);
  for (const auto &one : topic["frames"].items()) publish_frame(writer, one);
  if (topic["inputs"]) {
    peer.until([&] { return inputs.size() >= static_cast<std::size_t>(topic["inputs"].integer()); });
    for (const auto &input : inputs) {
      ::ipcnet_meta made_of = {};
      made_of.lineage = &input.lineage;
      made_of.lineage_count = 1;
      publish(writer, CborWriter().map(1).text("from").json(Cbor(input.cbor).json()).bytes(), &made_of);
    }
  }
  if (topic["burst"]) {
    for (std::int64_t seed = 1; seed <= integer_of(topic["burst"], "count"); seed++) publish(writer, pattern(seed, integer_of(topic["burst"], "length")));
  }
}

// A file's header as a byte string of CBOR.
static void write_file(CborWriter &cbor, const std::string &name, const std::string &type, Bytes content) {
  ::ipcnet_media_file file = {};
  std::uint8_t header[IPCNET_MEDIA_FILE_BYTES];
  std::snprintf(file.name, sizeof file.name, "%s", name.c_str());
  std::snprintf(file.type, sizeof file.type, "%s", type.c_str());
  file.size_bytes = content.size();
  file.in_descriptor = 1;
  ipcnet_sha256(content.data(), content.size(), file.sha256);
  if (ipcnet_media_file_encode(&file, header) != 0) throw std::runtime_error(name + " is no file's name");
  cbor.byte_string(Bytes(header, sizeof header));
}

// Header, seals, size and hash are checked. Throws 307.
static Payload read_file(const Cbor &body, const ipcnet::Descriptor &fd, ::ipcnet_media_file &file) {
  const std::uint8_t *header = nullptr;
  std::size_t header_bytes = 0, length = 0;
  const void *mapped = nullptr;
  if (ipcnet_cbor_view(body.raw(), &header, &header_bytes) && ipcnet_media_file_decode(header, header_bytes, &file) == 0 && ipcnet_sealed_file_map(fd.get(), &mapped, &length) == 0) {
    const auto *bytes = static_cast<const std::uint8_t *>(mapped);
    Payload content(bytes, bytes + length);
    munmap(const_cast<void *>(mapped), length);
    std::uint8_t digest[32];
    ipcnet_sha256(content.data(), content.size(), digest);
    if (length == file.size_bytes && std::memcmp(digest, file.sha256, sizeof digest) == 0) return content;
  }
  throw ipcnet::Error(IPCNET_INTEGRITY_FAILURE, "this is not the file that its header names");
}

// A stream that is answered as its caller takes it.
struct Running {
  ipcnet::Call call;
  std::int64_t next, end; // end 0: without end; -1: no items at all
};

struct Services {
  std::list<Running> running;
  std::map<std::int32_t, std::int64_t> cancelled;

  // Items as far as there is credit. The call may end with them.
  void go_on(std::list<Running>::iterator one) {
    for (; one->end >= 0; one->next++) {
      CborWriter item;
      if (one->end > 0 && one->next == one->end) {
        one->call.answer();
        running.erase(one);
        return;
      }
      if (one->end > 0) item.map(2).text("i").integer(one->next).text("square").integer(one->next * one->next);
      else item.integer(one->next);
      if (!one->call.item(item.bytes())) return;
    }
  }

  void begin(ipcnet::Call &call, std::int64_t end) {
    const auto one = running.insert(running.end(), {std::move(call), 0, end});
    one->call.on_credit([this, one](std::uint32_t) { go_on(one); });
    one->call.on_cancel([this, one](int, std::string_view) {
      cancelled[one->call.info().pid]++;
      one->call.refuse(IPCNET_REQUEST_TIMEOUT, "cancelled");
      running.erase(one);
    });
    go_on(one);
  }
};

static void hand_over(ipcnet::Call &call, const Cbor &handed) {
  std::int64_t i = 0;
  for (const auto &one : handed.items()) {
    const auto content = pattern(integer_of(one, "seed"), integer_of(one, "length"));
    const ipcnet::Descriptor sealed(ipcnet_sealed_file_make(nullptr, content.data(), content.size()));
    CborWriter number;
    number.integer(i++);
    call.item(number.bytes(), {sealed.get()});
  }
  call.answer();
}

static std::vector<ipcnet::Offer> offer_all(Peer &peer, Services &services) {
  std::vector<ipcnet::Offer> offers;
  ipcnet::OfferOptions options;
  options.capacity = 8;
  const auto offer = [&](const char *service, ipcnet::Offer::Handler handler) { offers.push_back(peer.client.offer(peer.at(peer.name, service), std::move(handler), options)); };
  for (const auto &one : peer.cases["groups"].items()) {
    const auto group = one.text();
    options.group = group;
    offer("which", [group](ipcnet::Call &call) { call.answer_json(quoted(group)); });
  }
  options.group = "";
  offer("handed", [handed = peer.cases["handed"]](ipcnet::Call &call) { hand_over(call, handed); });
  const auto refusal = peer.cases["refusal"];
  const auto count = integer_of(peer.cases["stream"], "count");
  offer("echo", [](ipcnet::Call &call) { call.answer(Bytes(call.info().body, call.info().body_bytes)); });
  offer("refuse", [refusal](ipcnet::Call &) { throw ipcnet::Error(static_cast<int>(integer_of(refusal, "status")), text_of(refusal, "text")); });
  offer("count", [&services, count](ipcnet::Call &call) { services.begin(call, count); });
  offer("endless", [&services](ipcnet::Call &call) { services.begin(call, 0); });
  offer("never", [&services](ipcnet::Call &call) { services.begin(call, -1); });
  offer("cancelled", [&services](ipcnet::Call &call) { call.answer_json(std::to_string(services.cancelled[call.info().pid])); });
  offer("file", [](ipcnet::Call &call) {
    ::ipcnet_media_file file = {};
    auto content = read_file(call.body(), call.take_fd(0), file);
    for (auto &byte : content) byte ^= 0xff;
    const ipcnet::Descriptor sealed(ipcnet_sealed_file_make(nullptr, content.data(), content.size()));
    CborWriter body;
    write_file(body, std::string("turned ") + file.name, file.type, content);
    call.answer(body.bytes(), IPCNET_OK, {sealed.get()});
  });
  return offers;
}

static void write(Peer &peer, std::uint32_t readers) {
  Services services;
  std::vector<Input> inputs;
  const auto offers = offer_all(peer, services);
  ipcnet::SubscribeOptions queue;
  queue.policy = IPCNET_QUEUE;
  const auto input = peer.client.subscribe("matrix/input", [&](const ipcnet::Message &message) { inputs.push_back({message.lineage(), Payload(message.payload().begin(), message.payload().end())}); }, queue);
  const auto topics = peer.cases["topics"].items();
  std::vector<ipcnet::Writer> writers;
  for (const auto &topic : topics) writers.push_back(peer.advertise(peer.at(peer.name, text_of(topic, "name")), topic));
  say("\"advertised\":" + std::to_string(writers.size()));
  for (const auto &writer : writers) peer.until([&] { return writer.readers() >= readers; });
  for (std::size_t i = 0; i < topics.size(); i++) publish_all(peer, topics[i], writers[i], inputs);
  say("\"published\":true");
  peer.until([] { return false; });
}

// ---------------------------------------------------------------- reading --

static std::string media(const ipcnet::Message &message) {
  const auto encoding = message.topic().encoding();
  std::string line;
  if (encoding == "tensor") {
    ::ipcnet_media_tensor tensor;
    if (ipcnet_media_tensor_decode(message.payload().data(), message.payload().size(), &tensor) != 0) throw std::runtime_error("this is no tensor");
    const auto list = [&](const std::uint64_t *numbers) {
      std::string all;
      for (std::uint32_t i = 0; i < tensor.dimensions; i++) all += (i > 0 ? "," : "") + std::to_string(numbers[i]);
      return "[" + all + "]";
    };
    line = "\"type\":[" + std::to_string(tensor.code) + "," + std::to_string(tensor.bits) + "," + std::to_string(tensor.lanes) + "],\"shape\":" + list(tensor.shape) + ",\"strides\":" + list(tensor.strides);
    return "{" + line + ",\"sha\":" + quoted(peer_sha(tensor.data, tensor.data_bytes).text) + "}";
  }
  if (encoding == "video") {
    ::ipcnet_media_video video;
    if (ipcnet_media_video_decode(message.payload().data(), message.payload().size(), &video) != 0) throw std::runtime_error("this is no frame");
    line = "\"fourcc\":" + quoted({video.fourcc, 4}) + ",\"width\":" + std::to_string(video.width) + ",\"height\":" + std::to_string(video.height) + ",\"ptsNs\":" + std::to_string(video.pts_ns) + ",\"planes\":[";
    for (std::uint32_t i = 0; i < video.plane_count; i++) {
      const auto &plane = video.planes[i];
      line += (i > 0 ? ",[" : "[") + std::to_string(plane.offset_bytes) + "," + std::to_string(plane.stride_bytes) + "," + std::to_string(plane.row_bytes) + "," + std::to_string(plane.rows) + "]";
    }
    return "{" + line + "],\"sha\":" + quoted(peer_sha(video.data, video.data_bytes).text) + "}";
  }
  return encoding == "bytes" ? "null" : message.json();
}

static std::string report(const ipcnet::Message &message) {
  static const char *const qualities[] = {"good", "stale", "bad"};
  const auto &raw = message.raw();
  char entry[80];
  std::string line = "\"sequence\":" + std::to_string(message.sequence()) + ",\"lost\":" + std::to_string(message.lost_before()) + ",\"origin\":" + quoted(message.origin()) + ",\"quality\":" + quoted(qualities[raw.quality]);
  line += ",\"ttlMs\":" + std::to_string(raw.ttl_ms) + ",\"keyFrame\":" + ((raw.flags & IPCNET_MESSAGE_KEY_FRAME) != 0 ? "true" : "false") + ",\"bytes\":" + std::to_string(message.payload().size());
  line += ",\"sha\":" + quoted(peer_sha(message.payload().data(), message.payload().size()).text) + ",\"ageMs\":" + std::to_string(static_cast<double>(peer_clock_ns(CLOCK_MONOTONIC) - static_cast<std::int64_t>(raw.time_ns)) / 1e6);
  line += ",\"wallAgeMs\":" + std::to_string(static_cast<double>(peer_clock_ns(CLOCK_REALTIME) - raw.wall_time_ns) / 1e6) + ",\"lineage\":[";
  for (int i = 0; i < raw.lineage_count; i++) {
    std::snprintf(entry, sizeof entry, "%s[\"%016" PRIx64 "\",\"%016" PRIx64 "\",%" PRIu64 "]", i > 0 ? "," : "", raw.lineage[i].origin, raw.lineage[i].topic, raw.lineage[i].sequence);
    line += entry;
  }
  return line + "],\"value\":" + media(message);
}

struct Receiver {
  std::string name;
  std::int64_t total;
  bool is_burst;
  std::vector<std::uint64_t> sequences;
  std::uint64_t lost = 0;
  Payload all;
  bool done = false;

  void take(const ipcnet::Message &message) {
    lost += message.lost_before();
    done = static_cast<std::int64_t>(message.sequence()) >= total;
    if (!is_burst) return say("\"case\":" + quoted(name) + "," + report(message));
    sequences.push_back(message.sequence());
    all.insert(all.end(), message.payload().begin(), message.payload().end());
    if (!done) return;
    std::string list;
    for (const auto sequence : sequences) list += (list.empty() ? "" : ",") + std::to_string(sequence);
    say("\"case\":" + quoted(name) + ",\"sequences\":[" + list + "],\"lost\":" + std::to_string(lost) + ",\"sha\":" + quoted(peer_sha(all.data(), all.size()).text));
  }
};

template <typename Ask>
static void answered(const std::string &call, Ask &&ask) {
  try {
    say("\"call\":" + quoted(call) + ",\"status\":100,\"body\":" + ask());
  } catch (const ipcnet::Error &error) {
    say("\"call\":" + quoted(call) + ",\"status\":" + std::to_string(error.status()) + ",\"text\":" + quoted(error.what()));
  }
}

// Items up to `items_max`, then it is left; 0: to the end.
static std::string stream(Peer &peer, const std::string &service, std::uint32_t credit, std::int64_t items_max) {
  ipcnet::StreamOptions options;
  options.credit = credit;
  auto stream = peer.client.stream(service, {}, options);
  std::string list;
  for (std::int64_t items = 1;; items++) {
    const auto item = stream.next(20000);
    if (!item) break;
    list += (list.empty() ? "" : ",") + item->body().json();
    if (items == items_max) break;
  }
  return "[" + list + "]";
}

static std::string handed(Peer &peer, const std::string &service) {
  ipcnet::StreamOptions options;
  options.credit = static_cast<std::uint32_t>(peer.cases["handed"].items().size());
  auto stream = peer.client.stream(service, {}, options);
  std::string list;
  while (auto item = stream.next(20000)) {
    const auto fd = item->take_fd(0);
    const void *content = nullptr;
    std::size_t length = 0;
    if (ipcnet_sealed_file_map(fd.get(), &content, &length) < 0) throw std::runtime_error("this is no sealed file");
    list += std::string(list.empty() ? "" : ",") + "{\"i\":" + item->body().json() + ",\"sha\":" + quoted(peer_sha(content, length).text) + "}";
    if (length > 0) munmap(const_cast<void *>(content), length);
  }
  return "[" + list + "]";
}

static std::string turned_file(Peer &peer, const std::string &service) {
  const auto wanted = peer.cases["file"];
  const auto content = pattern(integer_of(wanted, "seed"), integer_of(wanted, "length"));
  const ipcnet::Descriptor sealed(ipcnet_sealed_file_make(nullptr, content.data(), content.size()));
  CborWriter body;
  write_file(body, text_of(wanted, "name"), text_of(wanted, "type"), content);
  ipcnet::RequestOptions options;
  options.fds = {sealed.get()};
  auto reply = peer.client.request(service, body.bytes(), options);
  ::ipcnet_media_file file = {};
  const auto got = read_file(reply.body(), reply.take_fd(0), file);
  return "{\"name\":" + quoted(file.name) + ",\"type\":" + quoted(file.type) + ",\"size\":" + std::to_string(got.size()) + ",\"sha\":" + quoted(peer_sha(got.data(), got.size()).text) + "}";
}

static void call_all(Peer &peer, const std::string &writer) {
  const auto ask = [&](const char *service, Bytes body = {}, std::uint32_t timeout_ms = 0) {
    ipcnet::RequestOptions options;
    options.timeout_ms = timeout_ms;
    return peer.client.request(peer.at(writer, service), body, options);
  };
  int index = 0;
  for (const auto &body : peer.cases["echoes"].items()) answered("echo " + std::to_string(index++), [&] { return ask("echo", Bytes(body.raw().bytes, body.raw().length)).body().json(); });
  answered("bytes", [&] {
    CborWriter body;
    const std::uint8_t *back = nullptr;
    std::size_t length = 0;
    body.byte_string(pattern(integer_of(peer.cases["bytes"], "seed"), integer_of(peer.cases["bytes"], "length")));
    const auto reply = ask("echo", body.bytes());
    ipcnet_cbor_view(reply.body().raw(), &back, &length);
    return quoted(peer_sha(back, length).text);
  });
  answered("refuse", [&] { return ask("refuse").body().json(); });
  answered("count", [&] { return stream(peer, peer.at(writer, "count"), static_cast<std::uint32_t>(integer_of(peer.cases["stream"], "credit")), 0); });
  std::vector<std::string> groups = {"nobody"};
  for (const auto &group : peer.cases["groups"].items()) groups.push_back(group.text());
  for (const auto &group : groups) {
    answered("which " + group, [&] {
      ipcnet::RequestOptions options;
      options.group = group;
      return peer.client.request(peer.at(writer, "which"), {}, options).body().json();
    });
  }
  answered("handed", [&] { return handed(peer, peer.at(writer, "handed")); });
  answered("endless", [&] { return stream(peer, peer.at(writer, "endless"), 4, integer_of(peer.cases, "cancelAfter")); });
  answered("never", [&] { return ask("never", {}, static_cast<std::uint32_t>(integer_of(peer.cases, "deadlineMs"))).body().json(); });
  peer.until([&] { return ask("cancelled").body().integer() == 2; }, 5);
  say("\"call\":\"cancelled\",\"status\":100,\"body\":true");
  answered("file", [&] { return turned_file(peer, peer.at(writer, "file")); });
}

static void try_to_advertise(Peer &peer, const std::string &writer, const Cbor &topic, const std::string &key, const std::string &name) {
  int status = IPCNET_OK;
  try {
    const auto mine = peer.advertise(peer.at(writer, name), topic);
  } catch (const ipcnet::Error &error) {
    status = error.status();
  }
  say(quoted(key) + ":" + quoted(name) + ",\"advertised\":" + std::to_string(status));
}

static void read(Peer &peer, const std::string &writer) {
  std::list<Receiver> receivers;
  std::vector<ipcnet::Subscription> subscriptions;
  const auto topics = peer.cases["topics"].items();
  for (const auto &topic : topics) {
    receivers.push_back({text_of(topic, "name"), peer_messages(topic.raw()), static_cast<bool>(topic["burst"]), {}, 0, {}, false});
    ipcnet::SubscribeOptions options;
    options.policy = text_of(topic, "policy") == "lossless" ? IPCNET_LOSSLESS : IPCNET_QUEUE;
    options.queue = 4096;
    subscriptions.push_back(peer.client.subscribe(peer.at(writer, receivers.back().name), [&receiver = receivers.back()](const ipcnet::Message &message) { receiver.take(message); }, options));
  }
  say("\"subscribed\":true");
  for (const auto &receiver : receivers) peer.until([&] { return receiver.done; });
  for (const auto &topic : topics) try_to_advertise(peer, writer, topic, "case", text_of(topic, "name"));
  for (const auto &mismatch : peer.cases["mismatches"].items()) try_to_advertise(peer, writer, mismatch, "mismatch", text_of(mismatch, "topic"));
  call_all(peer, writer);
  say("\"end\":true");
}

static void plain(Peer &peer) {
  const auto writer = peer.client.advertise(peer.at("plain", peer.name));
  say("\"advertised\":1");
  peer.until([] { return false; });
}

static void guest(Peer &peer) {
  peer.client.on_leaving([&](std::uint32_t deadline_ms, std::string_view) {
    say("\"told\":" + std::to_string(deadline_ms) + ",\"given\":" + std::to_string(peer.client.more_time(deadline_ms + 2000)));
    peer.client.ready();
    say("\"ready\":true");
  });
  CborWriter component;
  peer.client.announce(component.map(1).text("version").text("1.2").bytes());
  char notes[64];
  const auto fd = peer.client.grant("notes", "read");
  const auto length = ::read(fd.get(), notes, sizeof notes);
  const auto found = peer.client.find("components");
  for (const auto &entry : found.body().items()) {
    if (text_of(entry, "name") == peer.name + "-guest") say("\"guest\":true,\"granted\":" + quoted({notes, static_cast<std::size_t>(length)}) + ",\"announced\":" + entry["announced"].json());
  }
  while (peer.client.poll(0) >= 0) peer_wait(peer.client.get(), -1);
}

int main(int count, char **words) try {
  if (count != 6) throw std::runtime_error("usage: peer_cpp write|read|plain|guest SOCKET CASES NAME READERS|WRITER|-");
  ipcnet::ConnectOptions options;
  options.socket_path = words[2];
  options.name = std::string(words[4]) + "-" + words[1];
  options.timeout_ms = 20000;
  Peer peer{Cbor(peer_cases(words[3])), words[4], ipcnet::Client(options)};
  if (std::string(words[1]) == "plain") plain(peer);
  else if (std::string(words[1]) == "guest") guest(peer);
  else if (std::string(words[1]) == "write") write(peer, static_cast<std::uint32_t>(std::stoul(words[5])));
  else read(peer, words[5]);
  return 0;
} catch (const std::exception &error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
