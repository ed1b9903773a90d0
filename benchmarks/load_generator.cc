// Load for a gRPC server, measured from outside. Prints one line of JSON.
//
//   load_generator KEY=VALUE ...
//
//   target     HOST:PORT
//   bodies     file of RouteRequests without ids, each after its length as uint32, little-endian
//   shape      unary | stream
//   content    echo: send Route, look at no reply | route: Route only; after each slice its contacts are
//              cancelled, which is not measured | cycle: Route, then AcceptOffer, then CompleteAssignment; a
//              contact that found no agent is cancelled
//   tag        beginning of every request and contact id
//   frame      commands per frame (stream)
//   events     1: leave events on (stream)
//   lanes      unary calls, or streams
//   window     calls or frames in flight per lane in a closed loop
//   rate       0: closed loop; else commands per second, Poisson, latency from the time they were due
//   refusals   1: RESOURCE_EXHAUSTED and UNAVAILABLE are counted as shed, not as an error, and has no latency (unary)
//   waiting    calls in flight in an open loop, beyond which those that are due are dropped; 2,000
//   slice_s    how long to measure before contacts are cancelled; one slice before the first is not measured
//   seconds, pid (of the server, for its CPU time), core
//
// One thread waits for completions; in an open loop a second one sends what is due.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using std::string;
using std::string_view;

// ---- clocks ----

int64_t ns_of(clockid_t clock) {
  timespec at;
  clock_gettime(clock, &at);
  return at.tv_sec * 1'000'000'000LL + at.tv_nsec;
}
int64_t now_ns() { return ns_of(CLOCK_MONOTONIC); }
int64_t cpu_ns_of(pid_t pid) {
  clockid_t clock;
  return clock_getcpuclockid(pid, &clock) == 0 ? ns_of(clock) : 0;
}
void sleep_until(int64_t at_ns) {
  timespec at{at_ns / 1'000'000'000LL, at_ns % 1'000'000'000LL};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
}

// ---- protobuf by hand: length-delimited fields out, any field in ----

void put_varint(string& out, uint64_t value) {
  for (; value > 0x7F; value >>= 7) out.push_back(char(value & 0x7F | 0x80));
  out.push_back(char(value));
}
void put(string& out, int field, string_view bytes) {
  put_varint(out, uint64_t(field) << 3 | 2);
  put_varint(out, bytes.size());
  out.append(bytes);
}
void put_number(string& out, int field, uint64_t value) {
  put_varint(out, uint64_t(field) << 3);
  put_varint(out, value);
}
uint64_t take_varint(string_view& in) {
  uint64_t value = 0;
  for (int shift = 0; !in.empty(); shift += 7) {
    uint8_t byte = in[0];
    in.remove_prefix(1);
    value |= uint64_t(byte & 0x7F) << shift;
    if (byte < 0x80) break;
  }
  return value;
}
struct Field {
  int number;
  uint64_t value;
  string_view bytes;
};
bool take_field(string_view& in, Field& field) {
  if (in.empty()) return false;
  uint64_t key = take_varint(in);
  field = {int(key >> 3), 0, {}};
  size_t size = 0;
  switch (key & 7) {
    case 0: field.value = take_varint(in); return true;
    case 1: size = 8; break;
    case 2: size = take_varint(in); break;
    default: size = 4; break;
  }
  field.bytes = in.substr(0, size);
  in.remove_prefix(std::min(size, in.size()));
  return true;
}

// ---- what is sent ----

enum Kind { ROUTE, ACCEPT, COMPLETE, CANCEL };
const char* const PATHS[] = {
    "/headgate.v1.RoutingService/Route", "/headgate.v1.OfferService/AcceptOffer",
    "/headgate.v1.OfferService/CompleteAssignment", "/headgate.v1.RoutingService/CancelContact"};
// Fields of SessionCommand; of SessionReply they are 2 higher.
const int SESSION_FIELDS[] = {1, 5, 7, 4};
const int QUEUED = 1, OFFERED = 2, COMPLETED = 5, WITHDRAWN = 2;

struct Step {
  Kind kind;
  string contact, offer, agent;
};
struct Counts {
  double seconds = 0, server_s = 0, own_s = 0;
  long sent[4] = {0, 0, 0, 0};
  long commands = 0, frames = 0, offered = 0, queued = 0, errors = 0, dropped = 0, shed = 0;
};

std::map<string, string> options;
std::vector<string> bodies;
bool is_echo, is_cycle, is_unary, may_shed;
string tag;
uint64_t serial = 0;
pid_t server;
Counts counts;
bool is_recording = false, is_draining = false;
std::vector<float> latencies_us;
std::mutex guard;
long in_flight = 0;
grpc::CompletionQueue queue;
std::unique_ptr<grpc::GenericStub> stub;
// What is to be cancelled after the slice.
std::deque<Step> leftovers;

string text(const char* name, const char* otherwise = "") {
  auto found = options.find(name);
  return found == options.end() ? otherwise : found->second;
}
double number(const char* name, double otherwise = 0) {
  auto found = options.find(name);
  return found == options.end() ? otherwise : atof(found->second.c_str());
}

string request_of(const Step& step, const string& id) {
  string out;
  if (step.kind == ROUTE) out = bodies[serial % bodies.size()];
  put(out, 2, id);
  if (step.kind == ACCEPT) put(out, 3, step.offer);
  else put(out, 3, step.contact);
  if (step.kind == ACCEPT || step.kind == COMPLETE) put(out, 4, step.agent);
  if (step.kind == CANCEL) put_number(out, 4, WITHDRAWN);
  return out;
}
Step new_contact() { return {ROUTE, tag + "c" + std::to_string(serial), "", ""}; }

// Read a reply and say what is to be sent next, if anything.
bool follow(const Step& step, string_view reply, Step& next) {
  if (is_recording) counts.commands++, counts.sent[step.kind]++;
  int state = 0;
  string_view offer, agent;
  Field field;
  while (take_field(reply, field)) {
    if (field.number == 2) state = int(field.value);
    if (field.number == 1 && step.kind == COMPLETE) state = int(field.value);
    if (field.number == 4 && step.kind == ROUTE) {
      string_view inner = field.bytes;
      Field part;
      while (take_field(inner, part)) {
        if (part.number == 1) offer = part.bytes;
        if (part.number == 3) agent = part.bytes;
      }
    }
  }
  if (step.kind == ROUTE) {
    if (is_recording) (state == OFFERED ? counts.offered : counts.queued)++;
    if (state != OFFERED && state != QUEUED) counts.errors++;
    if (!is_cycle) {
      leftovers.push_back({CANCEL, step.contact, "", ""});
      return false;
    }
    if (state == OFFERED) next = {ACCEPT, step.contact, string(offer), string(agent)};
    else next = {CANCEL, step.contact, "", ""};
    return true;
  }
  if (step.kind == ACCEPT) {
    next = {COMPLETE, step.contact, "", step.agent};
    return true;
  }
  if (step.kind == COMPLETE && state != COMPLETED) counts.errors++;
  return false;
}
void note_latency(int64_t since_ns) {
  if (is_recording) latencies_us.push_back((now_ns() - since_ns) / 1e3f);
}

string flat(grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  buffer.Dump(&slices);
  string out;
  for (auto& slice : slices) out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return out;
}
grpc::ByteBuffer buffer_of(const string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

struct Completion {
  virtual void done(bool ok) = 0;
  virtual ~Completion() {}
};

// ---- unary ----

struct Call : Completion {
  grpc::ClientContext context;
  grpc::ByteBuffer reply;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  Step step;
  int64_t since_ns;
  bool is_closed;

  static void start(Step step, int64_t since_ns, bool is_closed) {
    auto call = new Call;
    call->step = std::move(step);
    call->since_ns = since_ns;
    call->is_closed = is_closed;
    auto request = buffer_of(request_of(call->step, tag + "r" + std::to_string(serial++)));
    call->reader =
        stub->PrepareUnaryCall(&call->context, PATHS[call->step.kind], request, &queue);
    call->reader->StartCall();
    call->reader->Finish(&call->reply, &call->status, call);
    in_flight++;
  }
  void done(bool) override {
    in_flight--;
    auto code = status.error_code();
    bool is_shed = may_shed && (code == grpc::StatusCode::RESOURCE_EXHAUSTED || code == grpc::StatusCode::UNAVAILABLE);
    if (step.kind == ROUTE && !is_shed) note_latency(since_ns);
    Step next;
    bool has_next = false;
    if (is_shed) {
      counts.shed += is_recording;
    } else if (!status.ok()) {
      if (counts.errors++ < 3) fprintf(stderr, "%d %s\n", status.error_code(), status.error_message().c_str());
    } else if (is_echo) {
      if (is_recording) counts.commands++, counts.sent[ROUTE]++;
    } else {
      has_next = follow(step, flat(reply), next);
    }
    if (has_next) start(next, now_ns(), is_closed);
    else if (is_closed && !is_draining) start(new_contact(), now_ns(), true);
    delete this;
  }
};

// ---- stream ----

struct Frame {
  uint64_t first;
  std::vector<Step> steps;
  size_t answered;
  int64_t since_ns;
};

// 2,048 commands: fewer than the server's inbox takes.
const size_t CLEANING_FRAME = 512, CLEANING_WINDOW = 4;

struct Stream {
  struct Part : Completion {
    Stream* stream;
    void (Stream::*then)(bool);
    void done(bool ok) override { (stream->*then)(ok); }
  };
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> wire;
  grpc::ByteBuffer reply;
  Part opened, written, read;
  std::deque<Frame> frames;
  std::deque<Step> followers;
  std::deque<int64_t> due_ns;
  size_t window, size;
  bool is_closed, wants_events, is_open = false, is_writing = false, is_first = true;

  Stream(size_t window, size_t size, bool is_closed, bool wants_events)
      : window(window), size(size), is_closed(is_closed), wants_events(wants_events) {
    opened.stream = written.stream = read.stream = this;
    opened.then = &Stream::on_opened;
    written.then = &Stream::on_written;
    read.then = &Stream::on_read;
    wire = stub->PrepareCall(&context, "/headgate.v1.GatewayService/Connect", &queue);
    wire->StartCall(&opened);
  }
  void on_opened(bool ok) {
    if (!ok) return fail();
    is_open = true;
    wire->Read(&reply, &read);
    send();
  }
  void on_written(bool ok) {
    is_writing = false;
    if (!ok) return fail();
    send();
  }
  void on_read(bool ok) {
    if (!ok) return fail();
    string bytes = flat(reply);
    wire->Read(&reply, &read);
    if (is_echo) {
      if (is_recording) counts.commands += size, counts.sent[ROUTE] += size;
      finish_first();
    } else {
      take_replies(bytes);
    }
    send();
  }
  void fail() { counts.errors++; }
  void take_replies(string_view bytes) {
    Field outer, field;
    while (take_field(bytes, outer)) {
      if (outer.number != 1) continue;
      string_view id, result;
      int kind = 0;
      string_view inner = outer.bytes;
      while (take_field(inner, field)) {
        if (field.number == 1) id = field.bytes;
        else kind = field.number, result = field.bytes;
      }
      take_reply(strtoull(string(id.substr(tag.size() + 1)).c_str(), nullptr, 10), kind, result);
    }
  }
  void take_reply(uint64_t reply_serial, int kind, string_view result) {
    for (auto& frame : frames) {
      if (reply_serial < frame.first || reply_serial >= frame.first + frame.steps.size()) continue;
      const Step& step = frame.steps[reply_serial - frame.first];
      Step next;
      if (kind != SESSION_FIELDS[step.kind] + 2) {
        if (counts.errors++ < 3) fprintf(stderr, "reply of kind %d: %s\n", kind, string(result).c_str());
      } else if (follow(step, result, next)) {
        followers.push_back(next);
      }
      frame.answered++;
      break;
    }
    while (!frames.empty() && frames.front().answered == frames.front().steps.size()) finish_first();
  }
  void finish_first() {
    note_latency(frames.front().since_ns);
    if (is_recording) counts.frames++;
    frames.pop_front();
    in_flight--;
  }
  void send() {
    if (!is_open || is_writing) return;
    int64_t since_ns = now_ns();
    if (is_draining) {
      if (followers.empty() || frames.size() >= CLEANING_WINDOW) return;
    } else if (is_closed) {
      if (frames.size() >= window) return;
    } else {
      if (due_ns.empty()) return;
      since_ns = due_ns.front();
      due_ns.pop_front();
    }
    Frame frame{serial, {}, 0, since_ns};
    string out;
    while (frame.steps.size() < size) {
      Step step;
      if (!followers.empty()) step = followers.front(), followers.pop_front();
      else if (!is_draining) step = new_contact();
      else break;
      string command;
      put(command, SESSION_FIELDS[step.kind], request_of(step, tag + "r" + std::to_string(serial)));
      put(out, 2, command);
      frame.steps.push_back(std::move(step));
      serial++;
    }
    if (is_first && !wants_events) put(out, 3, string("\x28\x01"));  // watch.replies_only
    is_first = false;
    frames.push_back(std::move(frame));
    in_flight++;
    is_writing = true;
    wire->Write(buffer_of(out), &written);
  }
};
std::vector<std::unique_ptr<Stream>> streams;

// ---- the run ----

void read_bodies() {
  std::ifstream in(text("bodies"), std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  string bytes = all.str();
  for (size_t at = 0; at + 4 <= bytes.size();) {
    uint32_t size;
    memcpy(&size, bytes.data() + at, 4);
    bodies.push_back(bytes.substr(at + 4, size));
    at += 4 + size;
  }
}
void connect() {
  grpc::ChannelArguments arguments;
  arguments.SetInt("grpc.enable_retries", 0);
  arguments.SetInt("grpc.minimal_stack", 1);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  auto channel = grpc::CreateCustomChannel(text("target"), grpc::InsecureChannelCredentials(), arguments);
  auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(10);
  if (!channel->WaitForConnected(deadline)) {
    fprintf(stderr, "no connection to %s\n", text("target").c_str());
    exit(1);
  }
  stub = std::make_unique<grpc::GenericStub>(channel);
}
// Send at the times of a Poisson process until the slice ends; what is late counts from when it was due.
void pace(double per_s, uint64_t seed) {
  const long IN_FLIGHT_MAX = long(number("waiting", 2'000));
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap_s(per_s);
  double due_ns = double(now_ns());
  for (size_t turn = 0;; turn++) {
    due_ns += gap_s(random) * 1e9;
    if (due_ns > now_ns()) sleep_until(int64_t(due_ns));
    std::lock_guard<std::mutex> held(guard);
    if (is_draining) return;
    if (is_unary) {
      if (in_flight < IN_FLIGHT_MAX) Call::start(new_contact(), int64_t(due_ns), false);
      else counts.dropped++;
    } else {
      auto& stream = streams[turn % streams.size()];
      stream->due_ns.push_back(int64_t(due_ns));
      stream->send();
    }
  }
}
// Handle completions until a time, or, while draining, until nothing is in flight.
void handle_until(int64_t end_ns) {
  while (now_ns() < end_ns) {
    if (is_draining && in_flight == 0) return;
    void* part;
    bool ok;
    auto wait = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(5, GPR_TIMESPAN));
    if (queue.AsyncNext(&part, &ok, wait) == grpc::CompletionQueue::GOT_EVENT) {
      std::lock_guard<std::mutex> held(guard);
      static_cast<Completion*>(part)->done(ok);
    }
  }
}
// Let what is in flight come back, then cancel what this slice left behind.
void clean(Stream& cleaner) {
  const int64_t PATIENCE_NS = 10'000'000'000LL;
  handle_until(now_ns() + PATIENCE_NS);
  {
    std::lock_guard<std::mutex> held(guard);
    for (auto& stream : streams) stream->due_ns.clear();
    cleaner.followers.swap(leftovers);
    leftovers.clear();
    cleaner.send();
  }
  handle_until(now_ns() + PATIENCE_NS);
}
void run_slice(Stream& cleaner, double slice_s, double per_s, size_t calls, bool is_recorded) {
  std::thread pacer;
  int64_t server_ns = cpu_ns_of(server), own_ns = cpu_ns_of(getpid()), begun_ns = now_ns();
  {
    std::lock_guard<std::mutex> held(guard);
    is_draining = false;
    is_recording = is_recorded;
    if (per_s > 0) pacer = std::thread(pace, per_s, serial + 1);
    else if (is_unary) for (size_t call = 0; call < calls; call++) Call::start(new_contact(), now_ns(), true);
    else for (auto& stream : streams) stream->send();
  }
  handle_until(begun_ns + int64_t(slice_s * 1e9));
  {
    std::lock_guard<std::mutex> held(guard);
    is_recording = false;
    is_draining = true;
    if (is_recorded) {
      counts.seconds += (now_ns() - begun_ns) / 1e9;
      counts.server_s += (cpu_ns_of(server) - server_ns) / 1e9;
      counts.own_s += (cpu_ns_of(getpid()) - own_ns) / 1e9;
    }
    for (auto& stream : streams) stream->send();
  }
  if (pacer.joinable()) pacer.join();
  clean(cleaner);
}
double at_share(double share) {
  if (latencies_us.empty()) return 0;
  return latencies_us[std::min(latencies_us.size() - 1, size_t(share * latencies_us.size()))];
}

int main(int count, char** given) {
  for (int place = 1; place < count; place++) {
    string pair = given[place];
    size_t equals = pair.find('=');
    options[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  if (options.count("core")) {
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET(int(number("core")), &core);
    sched_setaffinity(0, sizeof core, &core);
  }
  is_echo = text("content") == "echo";
  is_cycle = text("content") == "cycle";
  is_unary = text("shape") == "unary";
  may_shed = number("refusals") != 0;
  tag = text("tag");
  server = pid_t(number("pid"));
  double rate = number("rate"), seconds = number("seconds", 2), slice_s = number("slice_s", 0.5);
  size_t lanes = size_t(number("lanes", 1)), window = size_t(number("window", 1)), frame = size_t(number("frame", 1));
  // A cycle is three commands, a frame as many as it holds.
  double per_s = rate / (is_unary ? (is_cycle ? 3 : 1) : frame);
  latencies_us.reserve(4'000'000);
  read_bodies();
  connect();
  is_draining = true;
  for (size_t lane = 0; lane < lanes && !is_unary; lane++)
    streams.push_back(std::make_unique<Stream>(window, frame, rate == 0, number("events") != 0));
  // As in an open loop, for which nothing ever is due: it sends only what is to be cancelled.
  Stream cleaner(CLEANING_WINDOW, CLEANING_FRAME, false, false);
  for (double done_s = -slice_s; done_s < seconds - slice_s / 2; done_s += slice_s)
    run_slice(cleaner, slice_s, per_s, lanes * window, done_s >= 0);
  std::sort(latencies_us.begin(), latencies_us.end());
  printf(
      "{\"generator\": \"C++\", \"seconds\": %.3f, \"commands\": %ld, \"frames\": %ld, \"routes\": %ld, "
      "\"offered\": %ld, \"queued\": %ld, \"errors\": %ld, \"dropped\": %ld, \"shed\": %ld, \"left\": %ld, \"server_cpu_s\": %.6f, "
      "\"own_cpu_s\": %.6f, \"latencies\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}\n",
      counts.seconds, counts.commands, counts.frames, counts.sent[ROUTE], counts.offered, counts.queued,
      counts.errors, counts.dropped, counts.shed, in_flight, counts.server_s, counts.own_s, latencies_us.size(), at_share(0.5),
      at_share(0.99), at_share(0.999));
  fflush(stdout);
  _exit(0);
}
