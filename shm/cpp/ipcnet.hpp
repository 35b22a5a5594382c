/*
 * ipcnet for C++17: libipcnet with owners, views and exceptions. Everything is in this header; ipcnet.h is the manual of what lies below.
 *
 *   ipcnet::Client client;
 *   auto hello = client.advertise("talk/hello", {.encoding = "cbor"});        // C++20; in C++17 set the fields of an AdvertiseOptions
 *   auto listener = client.subscribe("talk/#", [](const ipcnet::Message &message) { std::puts(message.json().c_str()); });
 *   while (client.poll() >= 0) {}
 *
 * Errors are thrown as ipcnet::Error (status and sentence); only what happens all the time is a result: publish says false when a lossless reader is behind.
 * Callbacks run in Client::poll. What they throw does not pass through C: poll catches it there and throws it to its own caller, when the C library has returned.
 * Owners (Client, Subscription, Writer, Offer, Call, Stream, Reply, Descriptor) can be moved and not copied; all of a client must be gone before it (they hold a share of it, so that
 * the order of destruction does not matter). One thread at a time per client, as in C; only Client::wakeup may be called from any thread.
 */
#ifndef IPCNET_HPP
#define IPCNET_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <unistd.h>

#include "ipcnet.h"

namespace ipcnet {

/* A view of bytes (std::span needs C++20). */
class Bytes {
 public:
  constexpr Bytes() = default;
  constexpr Bytes(const void *data, std::size_t size) : data_(static_cast<const std::uint8_t *>(data)), size_(size) {}
  Bytes(std::string_view text) : Bytes(text.data(), text.size()) {}
  Bytes(const char *text) : Bytes(std::string_view(text)) {}
  template <typename Container, typename = decltype(std::declval<const Container &>().data()), typename = decltype(std::declval<const Container &>().size())>
  Bytes(const Container &container) : Bytes(container.data(), container.size() * sizeof(*container.data())) {}

  constexpr const std::uint8_t *data() const { return data_; }
  constexpr std::size_t size() const { return size_; }
  constexpr const std::uint8_t *begin() const { return data_; }
  constexpr const std::uint8_t *end() const { return data_ + size_; }
  constexpr bool empty() const { return size_ == 0; }
  std::string_view text() const { return {reinterpret_cast<const char *>(data_), size_}; }
  /* The bytes as one value of a trivially copyable type, such as a struct that was generated from a record; nullptr when they are too few. */
  template <typename T>
  const T *as() const { return size_ < sizeof(T) ? nullptr : reinterpret_cast<const T *>(data_); }

 private:
  const std::uint8_t *data_ = nullptr;
  std::size_t size_ = 0;
};

class Error : public std::runtime_error {
 public:
  Error(int status, const std::string &text) : std::runtime_error(std::to_string(status) + " " + ipcnet_status_text(status) + ": " + text), status_(status) {}
  /* An IPCNet status, positive: IPCNET_NOT_FOUND … */
  int status() const noexcept { return status_; }

 private:
  int status_;
};

/* Owns a file descriptor. */
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
  Descriptor(Descriptor &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor &operator=(Descriptor &&other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

/* A text that C allocated. */
inline std::string take_text(char *text) {
  if (text == nullptr) return "null";
  std::string copy(text);
  ipcnet_free(text);
  return copy;
}

/* A topic's description; lives as long as its client. */
class Topic {
 public:
  explicit Topic(const ::ipcnet_topic *topic) : topic_(topic) {}
  std::string_view name() const { return ipcnet_topic_name(topic_); }
  std::string_view encoding() const { return ipcnet_topic_encoding_name(topic_); }
  std::uint64_t schema_hash() const { return ipcnet_topic_schema_hash(topic_); }
  bool writable() const { return ipcnet_topic_writable(topic_) != 0; }
  std::size_t record_bytes() const { return ipcnet_record_bytes(topic_); }
  /* Where a field of its record stands. Throws 203. */
  ::ipcnet_field field(const char *name) const {
    ::ipcnet_field field;
    if (ipcnet_field_find(topic_, name, &field) < 0) throw Error(IPCNET_NOT_FOUND, std::string(this->name()) + " has no field " + name);
    return field;
  }
  std::vector<::ipcnet_field> fields() const {
    std::vector<::ipcnet_field> all(ipcnet_field_count(topic_));
    for (std::uint32_t i = 0; i < all.size(); i++) ipcnet_field_at(topic_, i, &all[i]);
    return all;
  }
  const ::ipcnet_topic *get() const { return topic_; }

 private:
  const ::ipcnet_topic *topic_;
};

/* A received message: a view, valid as long as what it came from (the callback, the lease, the buffer of a drain). */
class Message {
 public:
  explicit Message(const ::ipcnet_message &message) : message_(message) {}
  Topic topic() const { return Topic(message_.topic); }
  Bytes payload() const { return {message_.payload, message_.payload_bytes}; }
  std::string json() const { return take_text(ipcnet_message_json(&message_)); }
  std::uint64_t sequence() const { return message_.sequence; }
  std::uint64_t lost_before() const { return message_.lost_before; }
  std::string_view origin() const { return message_.origin; }
  /* A field of a record; NaN when it is absent. */
  double number(const ::ipcnet_field &field) const {
    double value = 0;
    return ipcnet_field_double(&field, message_.payload, message_.payload_bytes, &value) == 1 ? value : std::numeric_limits<double>::quiet_NaN();
  }
  double number(const char *field) const { return number(topic().field(field)); }
  /* For the lineage of what is made from it. */
  ::ipcnet_lineage lineage() const {
    ::ipcnet_lineage lineage;
    ipcnet_lineage_of(&message_, &lineage);
    return lineage;
  }
  /* All there is: times, quality, flags … */
  const ::ipcnet_message &raw() const { return message_; }

 private:
  ::ipcnet_message message_;
};

/* A CBOR value in bytes that belong to somebody else. */
class Cbor {
 public:
  Cbor() : value_{nullptr, 0} {}
  explicit Cbor(::ipcnet_cbor value) : value_(value) {}
  /* Throws 200 when the bytes are not one value. Empty bytes are no value. */
  explicit Cbor(Bytes bytes) : Cbor() {
    if (!bytes.empty() && ipcnet_cbor_open(bytes.data(), bytes.size(), &value_) < 0) throw Error(IPCNET_BAD_REQUEST, "the bytes are not one CBOR value");
  }
  int type() const { return ipcnet_cbor_type(value_); }
  explicit operator bool() const { return value_.length > 0; }
  /* The value at a key, or none. */
  Cbor operator[](const char *key) const {
    ::ipcnet_cbor found;
    ipcnet_cbor_get(value_, key, &found);
    return Cbor(found);
  }
  std::vector<Cbor> items() const {
    std::vector<Cbor> all;
    ::ipcnet_cbor item;
    for (std::size_t position = 0; ipcnet_cbor_next(value_, &position, nullptr, &item);) all.emplace_back(item);
    return all;
  }
  /* These throw 209 when the value is of another type. */
  double number() const {
    double value = 0;
    return expect(ipcnet_cbor_to_double(value_, &value), "number"), value;
  }
  std::int64_t integer() const {
    std::int64_t value = 0;
    return expect(ipcnet_cbor_to_integer(value_, &value), "integer"), value;
  }
  bool boolean() const {
    int value = 0;
    return expect(ipcnet_cbor_to_boolean(value_, &value), "boolean"), value != 0;
  }
  std::string text() const {
    const std::int64_t length = ipcnet_cbor_to_text(value_, nullptr, 0);
    expect(length >= 0, "text");
    std::string text(static_cast<std::size_t>(length) + 1, '\0');
    ipcnet_cbor_to_text(value_, text.data(), text.size());
    text.pop_back();
    return text;
  }
  std::string json() const { return take_text(ipcnet_cbor_to_json(value_)); }
  ::ipcnet_cbor raw() const { return value_; }

 private:
  static void expect(bool good, const char *what) {
    if (!good) throw Error(IPCNET_UNPROCESSABLE_CONTENT, std::string("the CBOR value is no ") + what);
  }
  ::ipcnet_cbor value_;
};

/* Writes CBOR: CborWriter().map(2).text("a").number(2).text("b").number(3).bytes(). Mistakes are thrown by bytes(). */
class CborWriter {
 public:
  CborWriter() { ipcnet_cbor_begin(&writer_, nullptr, 0); }
  CborWriter(const CborWriter &) = delete;
  CborWriter &operator=(const CborWriter &) = delete;
  ~CborWriter() { ipcnet_cbor_end(&writer_); }
  CborWriter &map(std::uint64_t count) { return ipcnet_cbor_map(&writer_, count), *this; }
  CborWriter &array(std::uint64_t count) { return ipcnet_cbor_array(&writer_, count), *this; }
  CborWriter &text(std::string_view text) { return ipcnet_cbor_text_of(&writer_, text.data(), text.size()), *this; }
  CborWriter &byte_string(Bytes bytes) { return ipcnet_cbor_bytes(&writer_, bytes.data(), bytes.size()), *this; }
  CborWriter &number(double value) { return ipcnet_cbor_number(&writer_, value), *this; }
  CborWriter &integer(std::int64_t value) { return ipcnet_cbor_integer(&writer_, value), *this; }
  CborWriter &boolean(bool value) { return ipcnet_cbor_boolean(&writer_, value), *this; }
  CborWriter &null() { return ipcnet_cbor_null(&writer_), *this; }
  CborWriter &json(std::string_view json) {
    if (ipcnet_cbor_from_json(&writer_, json.data(), json.size()) < 0) throw Error(IPCNET_UNPROCESSABLE_CONTENT, "this is not JSON");
    return *this;
  }
  /* What was written; lives as long as the writer. */
  Bytes bytes() {
    const int length = ipcnet_cbor_finish(&writer_);
    if (length < 0) throw Error(-length, "what was written is not one CBOR value, or too large");
    return {writer_.bytes, static_cast<std::size_t>(length)};
  }

 private:
  ::ipcnet_cbor_writer writer_;
};

/* The answer to a request. */
class Reply {
 public:
  Reply() : reply_{} {}
  explicit Reply(const ::ipcnet_reply &reply) : reply_(reply) {}
  Reply(Reply &&other) noexcept : reply_(std::exchange(other.reply_, ::ipcnet_reply{})) {}
  Reply &operator=(Reply &&other) noexcept {
    std::swap(reply_, other.reply_);
    return *this;
  }
  ~Reply() { ipcnet_reply_free(&reply_); }
  int status() const { return reply_.status; }
  std::string_view text() const { return reply_.text == nullptr ? "" : reply_.text; }
  Cbor body() const { return Cbor(Bytes(reply_.body, reply_.body_bytes)); }
  Descriptor take_fd(std::uint32_t index) {
    if (index >= reply_.fd_count) return Descriptor();
    return Descriptor(std::exchange(reply_.fds[index], -1));
  }

 private:
  ::ipcnet_reply reply_;
};

struct ConnectOptions {
  std::string socket_path{}; /* "": the default */
  std::string name{};
  std::uint32_t timeout_ms = 0;
  bool reconnect = false;
  bool undumpable = false;
  int fd = -1; /* a connected socket, such as one inherited from the gateway; the client takes it */
};


struct AdvertiseOptions {
  std::string encoding{}; /* "": record with fields, else cbor */
  std::vector<::ipcnet_field_definition> fields{};
  std::string json_schema{};
  std::uint32_t policy = IPCNET_QUEUE;
  std::uint32_t queue = 0;
  std::uint64_t payload_bytes_max = 0;
  std::uint32_t deadline_ms = 0;
  std::uint64_t schema_hash = 0; /* 0: computed from the fields or the JSON schema */
  std::function<void()> on_space{};                 /* a lossless reader that kept this program waiting has read on */
  std::function<void(std::uint32_t)> on_readers{};  /* so many now */
  std::function<void(const Error &)> on_lost{};     /* the gateway took the topic back */
};

struct SubscribeOptions {
  std::uint32_t policy = IPCNET_LATEST;
  std::uint32_t queue = 0;
  double rate_hz_max = 0;
  bool last_value = false;
  bool lanes = true;
};

struct RequestOptions {
  std::uint32_t timeout_ms = 0;
  std::vector<int> fds{}; /* stay the caller's */
  bool idempotent = true;
  std::string group{}; /* "": providers of any */
};

struct StreamOptions : RequestOptions {
  std::uint32_t credit = 16; /* items that may come before they are taken, at most 4096 */
};

struct OfferOptions {
  std::string group{};
  std::string description{};
  std::uint32_t capacity = 1;
  std::optional<std::vector<std::string>> allow{}; /* principals that may call: narrows what the policy allows */
  std::vector<std::string> deny{};
  double rate_hz_max = 0;      /* per caller; 0 = any */
  std::uint32_t calls_max = 0; /* per caller, outstanding; 0 = any */
};

namespace detail {

/* A call that is to be answered, and who wants to know what becomes of it. */
struct CallState {
  ::ipcnet_call *handle;
  std::function<void(int, std::string_view)> on_cancel;
  std::function<void(std::uint32_t)> on_credit;
};

/* The client and what its callbacks threw; shared by all owners, so that it goes last. */
struct Core {
  ::ipcnet_client *client = nullptr;
  std::exception_ptr thrown;
  std::unordered_map<::ipcnet_call *, std::weak_ptr<CallState>> calls;
  std::function<void(int, std::string_view, std::uint64_t)> on_notice;
  std::function<void(std::string_view)> on_end;
  std::function<void()> on_return;
  std::function<void(std::uint32_t, std::string_view)> on_leaving;

  ~Core() { ipcnet_close(client); }
  /* Runs a callback of the program; nothing passes through C. */
  template <typename Function>
  void guard(Function &&function) noexcept {
    try {
      function();
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
  }
  int check(int status) const {
    if (status < 0) throw Error(-status, ipcnet_last_error_text(client));
    return status;
  }
};

using Shared = std::shared_ptr<Core>;

}  // namespace detail

/* Ends with its owner. */
class Subscription {
 public:
  using Handler = std::function<void(const Message &)>;
  Subscription() = default;
  Subscription(Subscription &&) noexcept = default;
  Subscription &operator=(Subscription &&other) noexcept {
    close();
    state_ = std::move(other.state_);
    return *this;
  }
  ~Subscription() { close(); }
  void close() {
    if (state_) ipcnet_unsubscribe(std::exchange(state_->handle, nullptr));
    state_.reset();
  }
  /* Calls `each` for up to 64 messages that are there or come within timeout_ms (-1: without end); returns how many. For subscriptions without a handler. */
  template <typename Each>
  int drain(Each &&each, int timeout_ms = 0) {
    ::ipcnet_message messages[64];
    if (state_->buffer.empty()) state_->buffer.resize(32768);
    for (;;) {
      const int count = ipcnet_subscription_drain(state_->handle, messages, 64, state_->buffer.data(), state_->buffer.size() * sizeof(std::uint64_t), timeout_ms);
      if (count == -IPCNET_PAYLOAD_TOO_LARGE) {
        state_->buffer.resize(messages[0].payload_bytes / sizeof(std::uint64_t) + 1);
        continue;
      }
      state_->core->check(count);
      for (int i = 0; i < count; i++) each(Message(messages[i]));
      return count;
    }
  }
  /* Calls `use` with the next message where it lies, if there is one (true). `use`'s result counts only if this does not throw 211: the message was overwritten meanwhile. */
  template <typename Use>
  bool lease(Use &&use) {
    ::ipcnet_message message;
    if (ipcnet_subscription_lease(state_->handle, &message) == 0) return false;
    use(Message(message));
    state_->core->check(ipcnet_subscription_release(state_->handle));
    return true;
  }
  struct ::ipcnet_subscription_stats stats() const {
    struct ::ipcnet_subscription_stats stats;
    ipcnet_subscription_stats(state_->handle, &stats);
    return stats;
  }

 private:
  friend class Client;
  struct State : std::enable_shared_from_this<State> {
    detail::Shared core;
    ::ipcnet_subscription *handle = nullptr;
    Handler handler;
    std::vector<std::uint64_t> buffer;
  };
  static void on_message(void *context, const ::ipcnet_message *message) {
    /* A share, because the handler may end its own subscription. */
    const auto state = static_cast<State *>(context)->shared_from_this();
    state->core->guard([&] { state->handler(Message(*message)); });
  }
  std::shared_ptr<State> state_;
};

/* A topic that this program writes. Ends with its owner. */
class Writer {
 public:
  Writer() = default;
  Writer(Writer &&) noexcept = default;
  Writer &operator=(Writer &&other) noexcept {
    close();
    state_ = std::move(other.state_);
    return *this;
  }
  ~Writer() { close(); }
  void close() {
    if (state_) ipcnet_writer_close(std::exchange(state_->handle, nullptr));
    state_.reset();
  }
  /* false: a lossless reader is behind; try again later, or after wait(). */
  bool publish(Bytes payload, const ::ipcnet_meta *meta = nullptr) { return taken(ipcnet_writer_publish(state_->handle, payload.data(), payload.size(), meta)); }
  bool publish_json(const std::string &json, const ::ipcnet_meta *meta = nullptr) { return taken(ipcnet_writer_publish_json(state_->handle, json.c_str(), meta)); }
  /* Fills `bytes` of room in the lane in place: fill(std::uint8_t *room) returns how many of them it used. If it throws, nothing is published. */
  template <typename Fill>
  bool loan(std::size_t bytes, Fill &&fill, const ::ipcnet_meta *meta = nullptr) {
    void *room = nullptr;
    if (!taken(ipcnet_writer_loan(state_->handle, bytes, meta == nullptr ? 0 : meta->lineage_count, &room))) return false;
    std::size_t used = 0;
    try {
      used = fill(static_cast<std::uint8_t *>(room));
    } catch (...) {
      ipcnet_writer_give_up(state_->handle);
      throw;
    }
    const int status = ipcnet_writer_commit(state_->handle, used, meta);
    if (status < 0) ipcnet_writer_give_up(state_->handle);
    return taken(status);
  }
  bool wait(int timeout_ms) { return ipcnet_writer_wait(state_->handle, timeout_ms) == 1; }
  std::uint32_t readers() const { return ipcnet_writer_readers(state_->handle); }
  /* Wakes readers after messages with `more`. */
  void flush() { ipcnet_writer_flush(state_->handle); }
  struct ::ipcnet_writer_stats stats() const {
    struct ::ipcnet_writer_stats stats;
    ipcnet_writer_stats(state_->handle, &stats);
    return stats;
  }
  Topic topic() const { return Topic(ipcnet_writer_topic(state_->handle)); }
  ::ipcnet_writer *get() const { return state_->handle; }

 private:
  friend class Client;
  struct State : std::enable_shared_from_this<State> {
    detail::Shared core;
    ::ipcnet_writer *handle = nullptr;
    std::function<void()> on_space;
    std::function<void(std::uint32_t)> on_readers;
    std::function<void(const Error &)> on_lost;
  };
  static void on_space(void *context, ::ipcnet_writer *) {
    const auto state = static_cast<State *>(context)->shared_from_this();
    state->core->guard([&] { state->on_space(); });
  }
  static void on_readers(void *context, ::ipcnet_writer *, std::uint32_t readers) {
    const auto state = static_cast<State *>(context)->shared_from_this();
    state->core->guard([&] { state->on_readers(readers); });
  }
  static void on_lost(void *context, ::ipcnet_writer *, int status, const char *text) {
    const auto state = static_cast<State *>(context)->shared_from_this();
    state->core->guard([&] { state->on_lost(Error(status, text)); });
  }
  bool taken(int status) {
    if (status == -IPCNET_TOO_MANY_REQUESTS) return false;
    state_->core->check(status);
    return true;
  }
  std::shared_ptr<State> state_;
};

/* A call to be answered; one that is dropped unanswered is answered with 300. */
class Call {
 public:
  Call(detail::Shared core, ::ipcnet_call *call) : core_(std::move(core)), state_(std::make_shared<detail::CallState>()) {
    state_->handle = call;
    core_->calls[call] = state_;
  }
  Call(Call &&other) noexcept = default;
  Call &operator=(Call &&other) noexcept {
    std::swap(core_, other.core_);
    std::swap(state_, other.state_);
    return *this;
  }
  ~Call() {
    if (*this) ipcnet_call_answer(done(), IPCNET_INTERNAL_ERROR, "the provider gave no answer", nullptr, 0, nullptr, 0);
  }
  /* Whether it is still to be answered here. */
  explicit operator bool() const noexcept { return state_ != nullptr && state_->handle != nullptr; }
  struct ::ipcnet_call_info info() const {
    struct ::ipcnet_call_info info;
    ipcnet_call_info(state_->handle, &info);
    return info;
  }
  Cbor body() const {
    const auto i = info();
    return Cbor(Bytes(i.body, i.body_bytes));
  }
  /* Nobody waits for the answer any more: listener(status, text), in poll, while its offer is open. It is still to be answered. */
  void on_cancel(std::function<void(int, std::string_view)> listener) { state_->on_cancel = std::move(listener); }
  /* The caller of a stream takes so many more items: listener(items), in poll, while its offer is open. */
  void on_credit(std::function<void(std::uint32_t)> listener) { state_->on_credit = std::move(listener); }
  Descriptor take_fd(std::uint32_t index) { return Descriptor(core_->check(ipcnet_call_take_fd(state_->handle, index))); }
  /* false: the caller has no credit left for it. */
  bool item(Bytes body, const std::vector<int> &fds = {}) {
    const int status = ipcnet_call_item(state_->handle, body.data(), body.size(), fds.data(), static_cast<std::uint32_t>(fds.size()));
    if (status == -IPCNET_TOO_MANY_REQUESTS) return false;
    core_->check(status);
    return true;
  }
  void answer(Bytes body = {}, int status = IPCNET_OK, const std::vector<int> &fds = {}) {
    core_->check(ipcnet_call_answer(done(), status, nullptr, body.data(), body.size(), fds.data(), static_cast<std::uint32_t>(fds.size())));
  }
  void answer_json(const std::string &json) {
    core_->check(ipcnet_call_answer_json(state_->handle, json.c_str()));
    done();
  }
  void refuse(int status, const std::string &text) { core_->check(ipcnet_call_answer(done(), status, text.c_str(), nullptr, 0, nullptr, 0)); }

 private:
  ::ipcnet_call *done() {
    core_->calls.erase(state_->handle);
    return std::exchange(state_->handle, nullptr);
  }
  detail::Shared core_;
  std::shared_ptr<detail::CallState> state_;
};

/* A call that is answered with items. Dropped before its end, it is cancelled. Wants no poll: next() reads what comes, also in a callback. */
class Stream {
 public:
  Stream(detail::Shared core, std::uint32_t request, std::uint32_t credit) : core_(std::move(core)), request_(request), credit_(credit) {}
  Stream(Stream &&other) noexcept : core_(std::move(other.core_)), request_(std::exchange(other.request_, 0)), credit_(other.credit_), taken_(other.taken_) {}
  Stream &operator=(Stream &&other) noexcept {
    std::swap(core_, other.core_);
    std::swap(request_, other.request_);
    std::swap(credit_, other.credit_);
    std::swap(taken_, other.taken_);
    return *this;
  }
  ~Stream() { cancel(); }
  /* The next item, or none when the stream has ended well. Throws what it was refused with; 204 when nothing came within timeout_ms (-1: within the call's own time). */
  std::optional<Reply> next(int timeout_ms = -1) {
    if (request_ == 0) return std::nullopt;
    /* Half of it at a time: one message for many items. What has ended needs none. */
    if (taken_ * 2 >= credit_ && ipcnet_request_credit(core_->client, request_, taken_) == 0) taken_ = 0;
    ::ipcnet_reply raw;
    int status = 0;
    const int more = ipcnet_request_next(core_->client, request_, &raw, &status, timeout_ms);
    Reply reply(raw);
    if (more == 1) {
      taken_++;
      return reply;
    }
    if (more == 0) request_ = 0;
    core_->check(more < 0 ? more : status);
    /* Whoever answers at once, without a stream, gives one item. */
    if (reply.body()) return reply;
    return std::nullopt;
  }
  /* Nothing more comes, and nobody need wait for it. */
  void cancel() {
    if (request_ != 0) ipcnet_request_drop(core_->client, std::exchange(request_, 0u));
  }

 private:
  detail::Shared core_;
  std::uint32_t request_, credit_, taken_ = 0;
};

/* Ends with its owner. */
class Offer {
 public:
  /* Answers now, or moves the call away and answers later. An Error that it throws is its answer; what else it throws is answered with 300 and thrown by poll. */
  using Handler = std::function<void(Call &)>;
  Offer() = default;
  Offer(Offer &&) noexcept = default;
  Offer &operator=(Offer &&other) noexcept {
    close();
    state_ = std::move(other.state_);
    return *this;
  }
  ~Offer() { close(); }
  void close() {
    if (state_) ipcnet_offer_close(std::exchange(state_->handle, nullptr));
    state_.reset();
  }

 private:
  friend class Client;
  struct State : std::enable_shared_from_this<State> {
    detail::Shared core;
    struct ::ipcnet_offer *handle = nullptr;
    Handler handler;
  };
  static void on_call(void *context, ::ipcnet_call *call) {
    const auto state = static_cast<State *>(context)->shared_from_this();
    state->core->guard([&] {
      Call owned(state->core, call);
      try {
        state->handler(owned);
      } catch (const Error &error) {
        /* Its answer, unless there was one already or the handler has moved the call elsewhere. */
        if (!owned) throw;
        owned.refuse(error.status(), error.what());
      }
    });
  }
  /* A share, because a listener may answer the call, and with it end itself. */
  static std::shared_ptr<detail::CallState> call_of(detail::Core &core, ::ipcnet_call *call) {
    const auto found = core.calls.find(call);
    return found == core.calls.end() ? nullptr : found->second.lock();
  }
  static void on_cancel(void *context, ::ipcnet_call *call, int status, const char *text) {
    const auto core = static_cast<State *>(context)->core;
    const auto known = call_of(*core, call);
    if (known == nullptr || !known->on_cancel) return;
    const auto listener = known->on_cancel;
    core->guard([&] { listener(status, text); });
  }
  static void on_credit(void *context, ::ipcnet_call *call, std::uint32_t items) {
    const auto core = static_cast<State *>(context)->core;
    const auto known = call_of(*core, call);
    if (known == nullptr || !known->on_credit) return;
    const auto listener = known->on_credit;
    core->guard([&] { listener(items); });
  }
  std::shared_ptr<State> state_;
};

class Client {
 public:
  /* Connects and shakes hands. Throws an Error when it cannot. */
  explicit Client(const ConnectOptions &options = {}) : core_(std::make_shared<detail::Core>()) {
    ::ipcnet_connect_options wanted = {};
    wanted.socket_path = options.socket_path.empty() ? nullptr : options.socket_path.c_str();
    wanted.name = options.name.empty() ? nullptr : options.name.c_str();
    wanted.flags = (options.reconnect ? std::uint32_t{IPCNET_RECONNECT} : 0u) | (options.undumpable ? std::uint32_t{IPCNET_UNDUMPABLE} : 0u);
    wanted.timeout_ms = options.timeout_ms;
    if (options.fd >= 0) {
      wanted.flags |= std::uint32_t{IPCNET_USE_FD};
      wanted.fd = options.fd;
    }
    core_->check(ipcnet_connect(&core_->client, &wanted));
    set_handlers();
  }

  /* What answers no call: listener(status, text, how often since the last one of its kind). One listener each; they run in poll. */
  void on_notice(std::function<void(int, std::string_view, std::uint64_t)> listener) { core_->on_notice = std::move(listener); }
  /* The connection has ended: listener(why); without reconnect for good. */
  void on_end(std::function<void(std::string_view)> listener) { core_->on_end = std::move(listener); }
  /* With reconnect: there is a new connection, and everything has been renewed. */
  void on_return(std::function<void()> listener) { core_->on_return = std::move(listener); }
  /* The gateway or the robot goes down: listener(deadline_ms, text); then ready(), or more_time(). Without it the client is ready at once. */
  void on_leaving(std::function<void(std::uint32_t, std::string_view)> listener) {
    core_->on_leaving = std::move(listener);
    set_handlers();
  }

  /* As ipcnet_poll, but that it throws what a callback threw. -303 when nothing can come any more. */
  int poll(int timeout_ms = -1) {
    const int count = ipcnet_poll(core_->client, timeout_ms);
    if (core_->thrown) std::rethrow_exception(std::exchange(core_->thrown, nullptr));
    return count;
  }
  int fd() const { return ipcnet_fd(core_->client); }
  void wakeup() { ipcnet_wakeup(core_->client); }
  bool is_connected() const { return ipcnet_is_connected(core_->client) != 0; }
  std::string gateway(const char *what) const { return ipcnet_gateway(core_->client, what); }
  std::string last_error() const { return ipcnet_last_error_text(core_->client); }
  void ping() { core_->check(ipcnet_ping(core_->client)); }

  std::vector<Topic> topics(const char *pattern = nullptr) {
    const ::ipcnet_topic **list = nullptr;
    const int count = core_->check(ipcnet_topics(core_->client, pattern, &list));
    const std::unique_ptr<const ::ipcnet_topic *, void (*)(const ::ipcnet_topic **)> owner(list, [](const ::ipcnet_topic **memory) { ipcnet_free(memory); });
    std::vector<Topic> topics;
    for (int i = 0; i < count; i++) topics.emplace_back(list[i]);
    return topics;
  }

  /* Without a handler: to be drained. */
  [[nodiscard]] Subscription subscribe(const std::string &pattern, Subscription::Handler handler = {}, const SubscribeOptions &options = {}) {
    auto state = std::make_shared<Subscription::State>();
    ::ipcnet_subscribe_options wanted = {};
    state->core = core_;
    state->handler = std::move(handler);
    wanted.context = state.get();
    wanted.on_message = state->handler ? Subscription::on_message : nullptr;
    wanted.policy = options.policy;
    wanted.queue = options.queue;
    wanted.rate_hz_max = options.rate_hz_max;
    wanted.flags = (options.last_value ? std::uint32_t{IPCNET_LAST_VALUE} : 0u) | (options.lanes ? 0u : std::uint32_t{IPCNET_NO_LANES});
    core_->check(ipcnet_subscribe(core_->client, pattern.c_str(), &wanted, &state->handle));
    Subscription subscription;
    subscription.state_ = std::move(state);
    return subscription;
  }

  [[nodiscard]] Writer advertise(const std::string &topic, const AdvertiseOptions &options = {}) {
    auto state = std::make_shared<Writer::State>();
    ::ipcnet_advertise_options wanted = {};
    state->core = core_;
    state->on_space = options.on_space;
    state->on_readers = options.on_readers;
    state->on_lost = options.on_lost;
    wanted.context = state.get();
    wanted.on_space = state->on_space ? Writer::on_space : nullptr;
    wanted.on_readers = state->on_readers ? Writer::on_readers : nullptr;
    wanted.on_lost = state->on_lost ? Writer::on_lost : nullptr;
    wanted.schema_hash = options.schema_hash;
    wanted.encoding = options.encoding.empty() ? nullptr : options.encoding.c_str();
    wanted.fields = options.fields.data();
    wanted.field_count = static_cast<std::uint32_t>(options.fields.size());
    wanted.json_schema = options.json_schema.empty() ? nullptr : options.json_schema.c_str();
    wanted.policy = options.policy;
    wanted.queue = options.queue;
    wanted.payload_bytes_max = options.payload_bytes_max;
    wanted.deadline_ms = options.deadline_ms;
    core_->check(ipcnet_advertise(core_->client, topic.c_str(), &wanted, &state->handle));
    Writer writer;
    writer.state_ = std::move(state);
    return writer;
  }

  /* Through the gateway, which checks everything (commands). Without `acknowledge` refusals come to on_notice. */
  void publish(const std::string &topic, Bytes payload, std::uint32_t ttl_ms = 0, bool acknowledge = true) {
    const auto options = publishing(ttl_ms, acknowledge);
    core_->check(ipcnet_publish(core_->client, topic.c_str(), payload.data(), payload.size(), &options));
  }
  void publish_json(const std::string &topic, const std::string &json, std::uint32_t ttl_ms = 0, bool acknowledge = true) {
    const auto options = publishing(ttl_ms, acknowledge);
    core_->check(ipcnet_publish_json(core_->client, topic.c_str(), json.c_str(), &options));
  }

  /* Calls `each` for the last messages of a topic, oldest first; returns how many. */
  template <typename Each>
  int query(const std::string &topic, Each &&each, std::uint32_t last = 1) {
    ::ipcnet_message *messages = nullptr;
    const int count = core_->check(ipcnet_query(core_->client, topic.c_str(), last, &messages));
    const std::unique_ptr<::ipcnet_message, void (*)(::ipcnet_message *)> owner(messages, [](::ipcnet_message *memory) { ipcnet_free(memory); });
    for (int i = 0; i < count; i++) each(Message(messages[i]));
    return count;
  }

  Reply request(const std::string &service, Bytes body = {}, const RequestOptions &options = {}) {
    const auto wanted = requesting(options);
    ::ipcnet_reply reply = {};
    const int status = ipcnet_request(core_->client, service.c_str(), body.empty() ? nullptr : body.data(), body.size(), &wanted, &reply);
    Reply owner(reply);
    core_->check(status);
    return owner;
  }
  std::string request_json(const std::string &service, const std::string &json = "null", std::uint32_t timeout_ms = 0) {
    char *answer = nullptr;
    const int status = ipcnet_request_json(core_->client, service.c_str(), json.c_str(), timeout_ms, &answer);
    const std::string text = take_text(answer);
    core_->check(status);
    return text;
  }

  /* Calls a service that answers with items: while (auto item = stream.next()) use(item->body()); */
  [[nodiscard]] Stream stream(const std::string &service, Bytes body = {}, const StreamOptions &options = {}) {
    auto wanted = requesting(options);
    wanted.credit = options.credit == 0 ? 1 : options.credit;
    const int request = core_->check(ipcnet_request_start(core_->client, service.c_str(), body.empty() ? nullptr : body.data(), body.size(), &wanted, nullptr, nullptr, nullptr));
    return Stream(core_, static_cast<std::uint32_t>(request), wanted.credit);
  }

  [[nodiscard]] Offer offer(const std::string &service, Offer::Handler handler, const OfferOptions &options = {}) {
    auto state = std::make_shared<Offer::State>();
    ::ipcnet_offer_options wanted = {};
    state->core = core_;
    state->handler = std::move(handler);
    wanted.context = state.get();
    wanted.on_call = Offer::on_call;
    wanted.on_cancel = Offer::on_cancel;
    wanted.on_credit = Offer::on_credit;
    std::vector<const char *> allow, deny;
    static const char *const nobody = nullptr;
    if (options.allow)
      for (const auto &one : *options.allow) allow.push_back(one.c_str());
    for (const auto &one : options.deny) deny.push_back(one.c_str());
    wanted.allow = !options.allow ? nullptr : allow.empty() ? &nobody : allow.data();
    wanted.allow_count = static_cast<std::uint32_t>(allow.size());
    wanted.deny = deny.data();
    wanted.deny_count = static_cast<std::uint32_t>(deny.size());
    wanted.rate_hz_max = options.rate_hz_max;
    wanted.calls_max = options.calls_max;
    wanted.group = options.group.empty() ? nullptr : options.group.c_str();
    wanted.description = options.description.empty() ? nullptr : options.description.c_str();
    wanted.capacity = options.capacity;
    core_->check(ipcnet_offer(core_->client, service.c_str(), &wanted, &state->handle));
    Offer offer;
    offer.state_ = std::move(state);
    return offer;
  }

  Descriptor grant(const std::string &resource, const char *mode = nullptr) { return Descriptor(core_->check(ipcnet_grant(core_->client, resource.c_str(), mode))); }

  /* A CBOR map about this program, such as {version, description}. */
  void announce(Bytes component) { core_->check(ipcnet_announce(core_->client, component.data(), component.size())); }
  /* "components", "topics", "services" or "resources" under `pattern`, as a CBOR array. */
  Reply find(const char *what, const char *pattern = nullptr) {
    ::ipcnet_reply reply = {};
    const int status = ipcnet_find(core_->client, what, pattern, &reply);
    Reply owner(reply);
    core_->check(status);
    return owner;
  }
  /* This program goes in deadline_ms: no new calls come, running ones may finish. */
  void leaving(std::uint32_t deadline_ms, const std::string &text = "") { core_->check(ipcnet_leaving(core_->client, deadline_ms, text.c_str())); }
  /* Answers on_leaving: prepared. */
  void ready() { core_->check(ipcnet_ready(core_->client)); }
  /* Asks for so many ms from now on; returns the deadline that holds then, ms from now. */
  std::uint32_t more_time(std::uint32_t for_ms) { return static_cast<std::uint32_t>(core_->check(ipcnet_more_time(core_->client, for_ms))); }
  /* For the calls that wait and have no timeout of their own; at first 5000. */
  void set_timeout(std::uint32_t timeout_ms) { ipcnet_set_timeout(core_->client, timeout_ms); }

  /* For everything that is not here. */
  ::ipcnet_client *get() const { return core_->client; }

 private:
  void set_handlers() {
    ::ipcnet_handlers handlers = {};
    handlers.context = core_.get();
    handlers.on_notice = [](void *context, int status, const char *text, std::uint64_t count) {
      auto &core = *static_cast<detail::Core *>(context);
      if (core.on_notice) core.guard([&, listener = core.on_notice] { listener(status, text, count); });
    };
    handlers.on_end = [](void *context, const char *why) {
      auto &core = *static_cast<detail::Core *>(context);
      if (core.on_end) core.guard([&, listener = core.on_end] { listener(why); });
    };
    handlers.on_return = [](void *context) {
      auto &core = *static_cast<detail::Core *>(context);
      if (core.on_return) core.guard([listener = core.on_return] { listener(); });
    };
    /* Without a handler the C client answers the gateway's notice by itself. */
    if (core_->on_leaving) handlers.on_leaving = [](void *context, std::uint32_t deadline_ms, const char *text) {
      auto &core = *static_cast<detail::Core *>(context);
      core.guard([&, listener = core.on_leaving] { listener(deadline_ms, text); });
    };
    ipcnet_set_handlers(core_->client, &handlers);
  }
  static ::ipcnet_publish_options publishing(std::uint32_t ttl_ms, bool acknowledge) {
    ::ipcnet_publish_options options = {};
    options.flags = acknowledge ? std::uint32_t{IPCNET_ACKNOWLEDGE} : 0u;
    options.ttl_ms = ttl_ms;
    return options;
  }
  /* Points into `options`. */
  static ::ipcnet_request_options requesting(const RequestOptions &options) {
    ::ipcnet_request_options wanted = {};
    wanted.fds = options.fds.data();
    wanted.fd_count = static_cast<std::uint32_t>(options.fds.size());
    wanted.timeout_ms = options.timeout_ms;
    wanted.flags = options.idempotent ? 0u : std::uint32_t{IPCNET_NOT_IDEMPOTENT};
    wanted.group = options.group.empty() ? nullptr : options.group.c_str();
    return wanted;
  }
  detail::Shared core_;
};

}  // namespace ipcnet

#endif
