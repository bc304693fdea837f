#include "daemon/control/control_server.h"

#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>

#include "daemon/control/file.h"
#include "daemon/control/security_json.h"
#include "daemon/control/status_json.h"
#include "daemon/control/watch_json.h"

namespace holdfast::daemon {

namespace {

constexpr int kBacklog = 16;
constexpr std::int64_t kWaitSecondsMax = 24 * 3600;
constexpr std::int64_t kWaitSecondsDefault = 30;

/// Path and length for bind and connect; empty when the path is too long.
std::optional<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::span<char> room{address.sun_path};
    if (path.empty() || path.size() >= room.size()) return {};
    std::ranges::copy(path, room.begin());
    return address;
}

const sockaddr* as_sockaddr(const sockaddr_un& address) {
    return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

bool somebody_listens(const sockaddr_un& address) {
    const UniqueFd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    return ::connect(probe.get(), as_sockaddr(address), sizeof(address)) == 0;
}

constexpr uid_t kUserAsItIs = ~uid_t{0};

/// The number of a group; nobody's when there is no name.
OrFailure<gid_t> group_of(const std::string& name) {
    if (name.empty()) return ~gid_t{0};
    const group* const found = ::getgrnam(name.c_str());
    if (found != nullptr) return found->gr_gid;
    return fail(ExitCode::Usage,
                fmt::format("there is no group '{}'; make it (groupadd --system {}), or leave "
                            "socket_group out",
                            name, name));
}

UniqueFd make_signal_fd() {
    sigset_t wanted;
    ::sigemptyset(&wanted);
    ::sigaddset(&wanted, SIGTERM);
    ::sigaddset(&wanted, SIGINT);
    ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
    return UniqueFd{::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK)};
}

/// SIGTERM ends us; SIGINT from a terminal is the supervisor's business, who tells us by closing.
bool is_asked_to_end(int signals) {
    signalfd_siginfo info{};
    return ::read(signals, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info)) &&
           info.ssi_signo == SIGTERM;
}

std::string text_argument(const Request& request, const char* key) {
    const auto found = request.arguments.find(key);
    if (found == request.arguments.end() || !found->is_string()) return {};
    return found->get<std::string>();
}

bool flag_argument(const Request& request, const char* key) {
    const auto found = request.arguments.find(key);
    return found != request.arguments.end() && found->is_boolean() && found->get<bool>();
}

Instant deadline_argument(const Request& request, Instant now) {
    const auto found = request.arguments.find("wait_seconds");
    std::int64_t seconds = kWaitSecondsDefault;
    if (found != request.arguments.end() && found->is_number_integer())
        seconds = std::clamp<std::int64_t>(found->get<std::int64_t>(), 0, kWaitSecondsMax);
    return now + Duration::from_s(seconds);
}

std::unexpected<Failure> nothing_attached(std::string_view name) {
    return fail(ExitCode::NotFound,
                fmt::format("nothing is attached as '{}'; see 'holdfast list'", name));
}

}  // namespace

/// One descriptor to wait for, and whose it is.
struct ControlServer::Source {
    enum class Kind : std::uint8_t { Listening, Signals, Supervisor, Client, Io };
    Kind kind{};
    int fd = -1;
    short events = POLLIN;
    ClientId client = 0;
    AttachmentId attachment{};
};

OrFailure<UniqueFd> listen_on(const std::string& path, const std::string& group) {
    const auto members = group_of(group);
    if (!members) return std::unexpected{members.error()};
    const auto address = unix_address(path);
    if (!address)
        return fail(ExitCode::Usage,
                    fmt::format("the socket path '{}' is too long; give a shorter one", path));
    if (somebody_listens(*address))
        return fail(ExitCode::Exists,
                    fmt::format("another holdfastd serves {} already; stop it first", path));
    const std::size_t slash = path.rfind('/');
    constexpr mode_t kDirectoryMode = 0755;
    const mode_t socket_mode = group.empty() ? 0666 : 0660;
    if (slash != std::string::npos && slash > 0)
        static_cast<void>(make_directories(path.substr(0, slash), kDirectoryMode));
    ::unlink(path.c_str());
    UniqueFd made{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!made || ::bind(made.get(), as_sockaddr(*address), sizeof(*address)) != 0 ||
        (!group.empty() && ::chown(path.c_str(), kUserAsItIs, *members) != 0) ||
        ::chmod(path.c_str(), socket_mode) != 0 || ::listen(made.get(), kBacklog) != 0)
        return fail(ExitCode::NotPermitted,
                    fmt::format("cannot listen on {}: {}; run as root, or give another --socket",
                                path, Errno::last().text()));
    return made;
}

ControlServer::ControlServer(const Config& config, UniqueFd listening, const ServerOptions& options)
    : config_(config),
      listening_(std::move(listening)),
      signals_(make_signal_fd()),
      supervisor_(options.supervisor),
      log_(LogDrain::for_standard_error(config.log_level)),
      table_({.config = &config,
              .supervisor = options.supervisor,
              .link_directory = options.link_directory,
              .loader = options.loader,
              .log = log_}),
      owner_(::geteuid()),
      maker_pid_(options.maker_pid),
      user_note_(options.user_note) {}

bool ControlServer::run() {
    constexpr Duration kAdoption = Duration::from_ms(200);
    const Instant adopted_at = monotonic_now() + kAdoption;
    bool has_attached_configured = false;
    while (!is_stopping_) {
        const Instant now = monotonic_now();
        if (!has_attached_configured && now >= adopted_at) {
            table_.attach_configured(now);  // After the supervisor told us what lives already.
            has_attached_configured = true;
        }
        table_.tick(now);
        send_answers();
        resume_clients(now);
        std::erase_if(clients_, [](const auto& entry) { return entry.second.is_done; });
        const std::vector<Source> all = sources();
        std::vector<pollfd> polled;
        polled.reserve(all.size());
        for (const Source& source : all)
            polled.push_back({.fd = source.fd, .events = source.events, .revents = 0});
        Instant due = earlier(table_.next_tick(now), next_resume());
        if (!has_attached_configured) due = earlier(due, adopted_at);
        const int timeout_ms =
            due.is_never() ? -1 : static_cast<int>(std::max<std::int64_t>((due - now).ms() + 1, 0));
        if (::poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) return false;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (polled[i].revents != 0) serve(all[i], polled[i].revents);
        }
    }
    return true;
}

std::vector<ControlServer::Source> ControlServer::sources() const {
    using enum Source::Kind;
    std::vector<Source> all{{.kind = Signals, .fd = signals_.get()}};
    if (clients_.size() < kClientsMax) all.push_back({.kind = Listening, .fd = listening_.get()});
    if (supervisor_ >= 0) all.push_back({.kind = Supervisor, .fd = supervisor_});
    for (const auto& [id, client] : clients_) {
        // Who does not read, or asks too often, is not heard; but who hangs up is noticed.
        short events = client.unsent.empty() ? POLLIN : POLLOUT;
        if (!client.resumes_at.is_never()) events = POLLRDHUP;
        all.push_back({.kind = Source::Kind::Client,
                       .fd = client.socket.get(),
                       .events = events,
                       .client = id});
    }
    for (const Attachment& attachment : table_.all()) {
        if (attachment.command)
            all.push_back(
                {.kind = Io, .fd = attachment.command.get(), .attachment = attachment.id});
    }
    return all;
}

void ControlServer::serve(const Source& source, short events) {
    switch (source.kind) {
    case Source::Kind::Listening: accept_client(); break;
    case Source::Kind::Signals:
        if (is_asked_to_end(source.fd)) is_stopping_ = true;
        break;
    case Source::Kind::Supervisor: read_supervisor(); break;
    case Source::Kind::Client: {
        Client& client = clients_.at(source.client);
        if ((events & (POLLHUP | POLLERR | POLLRDHUP)) != 0 && (events & POLLIN) == 0)
            client.is_done = true;
        if ((events & POLLOUT) != 0) write_client(client);
        if ((events & POLLOUT) != 0) work_off(source.client);
        if ((events & POLLIN) != 0) read_client(source.client, client);
        break;
    }
    case Source::Kind::Io: read_io(source.attachment); break;
    }
}

void ControlServer::accept_client() {
    UniqueFd socket{::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket) return;
    ucred peer{};
    socklen_t peer_bytes = sizeof(peer);
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) != 0) return;
    Client client;
    client.socket = std::move(socket);
    client.user = peer.uid;
    // Who runs control may change what control runs: root, and in tests the user itself; but never
    // the one whom control has become.
    client.is_root = peer.uid == 0 || peer.uid == owner_;
    const auto count = [&](auto is_it) {
        return static_cast<std::size_t>(std::ranges::count_if(
            clients_, [&](const auto& entry) { return is_it(entry.second); }));
    };
    if (!may_connect(client.is_root, count([&](const Client& c) { return c.user == peer.uid; }),
                     count([](const Client& c) { return !c.is_root; })))
        return;
    clients_.emplace(++last_client_, std::move(client));
}

void ControlServer::read_client(ClientId id, Client& client) {
    std::array<char, 16 * 1024> room{};
    const ssize_t got = ::recv(client.socket.get(), room.data(), room.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        client.is_done = true;
        return;
    }
    client.frames.append({room.data(), static_cast<std::size_t>(got)});
    work_off(id);
}

/// As many of its requests as may be worked on now.
void ControlServer::work_off(ClientId id) {
    Client& client = clients_.at(id);
    while (client.unsent.empty() && !client.is_done) {
        const Instant now = monotonic_now();
        client.resumes_at = Instant::never();
        if (!client.frames.has_whole()) break;
        if (!client.rate.try_take(now)) {
            client.resumes_at = client.rate.next();
            return;
        }
        if (const auto body = client.frames.try_take()) handle(id, client, *body);
    }
    if (client.frames.is_broken()) client.is_done = true;
}

void ControlServer::resume_clients(Instant now) {
    for (auto& [id, client] : clients_)
        if (client.resumes_at <= now) work_off(id);
}

Instant ControlServer::next_resume() const {
    Instant due = Instant::never();
    for (const auto& [id, client] : clients_) due = earlier(due, client.resumes_at);
    return due;
}

void ControlServer::write_client(Client& client) {
    while (!client.unsent.empty()) {
        const ssize_t done =
            ::send(client.socket.get(), client.unsent.data(), client.unsent.size(), MSG_NOSIGNAL);
        if (done < 0) {
            if (errno != EAGAIN) client.is_done = true;
            return;
        }
        client.unsent.erase(0, static_cast<std::size_t>(done));
    }
}

void ControlServer::answer(ClientId id, const OrFailure<Json>& answer) {
    const auto found = clients_.find(id);
    if (found == clients_.end()) return;  // It did not wait.
    found->second.unsent += frame_of(body_of(answer));
    write_client(found->second);
}

void ControlServer::handle(ClientId id, const Client& client, const std::string& body) {
    const auto request = parse_request(body);
    if (!request) return answer(id, std::unexpected{request.error()});
    const bool changes =
        request->verb == "attach" || request->verb == "detach" || request->verb == "upgrade";
    const bool forces = request->verb == "pressure" && !text_argument(*request, "mode").empty();
    const bool is_private = changes || forces || request->verb == "trace";
    if (!is_private) return answer(id, handle_reading(*request));
    if (!client.is_root)
        return answer(id, fail(ExitCode::NotPermitted,
                               fmt::format("only root may {}; use sudo", request->verb)));
    if (forces) return answer(id, pressure(*request));
    if (!changes) return answer(id, trace(*request));
    if (const auto begun = handle_changing(id, *request); !begun)
        answer(id, std::unexpected{begun.error()});
    send_answers();
}

OrFailure<void> ControlServer::handle_changing(ClientId id, const Request& request) {
    if (request.verb == "attach") return handle_attach(id, request);
    if (request.verb == "detach") return handle_detach(id, request);
    return table_.upgrade(text_argument(request, "name"),
                          {.client = id, .deadline = deadline_argument(request, monotonic_now())});
}

OrFailure<void> ControlServer::handle_attach(ClientId id, const Request& request) {
    const std::string name = text_argument(request, "name");
    const auto settings = request.arguments.find("settings");
    OrFailure<AttachSettings> made;
    if (settings != request.arguments.end()) {
        made = settings_from_request(config_, name, nlohmann::json(*settings));
        if (!made) return std::unexpected{made.error()};
    } else {
        const auto known = std::ranges::find(config_.attachments, name, &AttachSettings::name);
        if (known == config_.attachments.end())
            return fail(ExitCode::NotFound,
                        fmt::format("the configuration has no [attachment.{}]; add it and restart "
                                    "holdfastd, or give a URL",
                                    name));
        made = *known;
    }
    const Instant now = monotonic_now();
    return table_.attach(*made,
                         {.client = id,
                          .deadline = deadline_argument(request, now),
                          .keeps_trying = flag_argument(request, "keep_trying")},
                         now);
}

OrFailure<void> ControlServer::handle_detach(ClientId id, const Request& request) {
    const Instant now = monotonic_now();
    return table_.detach(text_argument(request, "name"), flag_argument(request, "force"),
                         {.client = id, .deadline = deadline_argument(request, now)});
}

OrFailure<Json> ControlServer::handle_reading(const Request& request) {
    if (request.verb == "list") return list();
    if (request.verb == "pressure") return pressure(request);
    if (request.verb == "status") return status(request);
    if (request.verb == "udev-info") return udev_info(request);
    if (request.verb == "metrics") {
        Json json;
        json["text"] = metrics();
        return json;
    }
    if (request.verb == "version") {
        Json json;
        json["version"] = HF_VERSION;
        json["wire_version"] = kWireVersion;
        json["pid"] = ::getpid();
        return json;
    }
    return fail(ExitCode::Usage,
                fmt::format("holdfastd does not know the verb '{}'; install client and daemon of "
                            "the same release",
                            request.verb));
}

Json ControlServer::status_of(const Attachment& attachment) const {
    if (const auto facts = attachment.facts()) {
        const StatusReader reader{attachment.shared.area().status};
        Json json = status_json(
            *facts, {.now = monotonic_now(),
                     .state = to_text(attachment.state),
                     .heartbeat = reader.heartbeat(),
                     .log_records_dropped = attachment.log ? attachment.log->dropped() : 0});
        json["watchdog"] = watch_json(attachment.shared.area().watch);
        if (attachment.gate) json["classifier"] = gate_json(*attachment.gate, monotonic_now());
        if (attachment.last_failure) json["last_failure"] = attachment.last_failure->sentence;
        return json;
    }
    Json json;
    json["name"] = attachment.name;
    json["state"] = to_text(attachment.state);
    if (attachment.last_failure) json["last_failure"] = attachment.last_failure->sentence;
    return json;
}

Json ControlServer::list() const {
    Json all = Json::array();
    for (const Attachment& attachment : table_.all()) {
        Json json;
        json["name"] = attachment.name;
        json["state"] = to_text(attachment.state);
        if (const auto facts = attachment.facts()) {
            json["profile"] = to_text(facts->profile);
            json["tier"] = to_text(facts->tier);
            json["path"] = to_text(facts->path.kind);
            json["session"] = status_of(attachment)["session"]["phase"];
            json["device"] = facts->exported.path.view();
            json["size_bytes"] = facts->exported.size_bytes;
            json["target"] = facts->target_name.view();
        }
        all.push_back(std::move(json));
    }
    Json json;
    json["attachments"] = std::move(all);
    return json;
}

OrFailure<Json> ControlServer::status(const Request& request) const {
    const std::string name = text_argument(request, "name");
    Json all = Json::array();
    for (const Attachment& attachment : table_.all()) {
        if (name.empty() || attachment.name == name) all.push_back(status_of(attachment));
    }
    if (all.empty() && !name.empty()) return nothing_attached(name);
    Json json;
    json["attachments"] = std::move(all);
    if (flag_argument(request, "security")) json["security"] = security(name);
    return json;
}

/// Every process of ours; with a name, of the I/O processes only those of that attachment.
Json ControlServer::security(std::string_view name) const {
    Json all = Json::array();
    all.push_back(security_json({.role = "supervisor", .pid = ::getppid()}));
    if (maker_pid_ > 0) all.push_back(security_json({.role = "maker", .pid = maker_pid_}));
    all.push_back(security_json({.role = "control", .pid = ::getpid()}));
    if (!user_note_.empty()) all.back()["note"] = user_note_;
    for (const Attachment& attachment : table_.all()) {
        if (!attachment.facts() || (!name.empty() && attachment.name != name)) continue;
        const watchdog::WatchBlock& watch = attachment.shared.area().watch;
        for (const bool is_active : {true, false}) {
            const std::int32_t pid =
                (is_active ? watch.active_pid : watch.standby_pid).load(std::memory_order_relaxed);
            if (pid > 0)
                all.push_back(security_json({.role = is_active ? "active" : "standby",
                                             .attachment = attachment.name,
                                             .pid = pid}));
        }
    }
    return all;
}

/// Shows what the classifiers say, and forces them first when a mode is given.
OrFailure<Json> ControlServer::pressure(const Request& request) const {
    const std::string mode_text = text_argument(request, "mode");
    const auto mode = pressure_mode_from(mode_text);
    if (!mode && !mode_text.empty()) return fail(ExitCode::Usage, "the mode is auto, on or off");
    const auto gates = table_.gates().all();
    if (gates.empty())
        return fail(ExitCode::NotFound,
                    "no attachment has a classifier; see 'holdfast status' for the reason");
    Json json;
    json["classifiers"] = Json::array();
    for (const auto& gate : gates) {
        if (mode) gate->table.set_pressure_mode(*mode);
        json["classifiers"].push_back(gate_json(*gate, monotonic_now()));
    }
    return json;
}

/// JSON holds no bytes, so the capture goes in hexadecimal.
OrFailure<Json> ControlServer::trace(const Request& request) const {
    const std::string name = text_argument(request, "name");
    const Attachment* const attachment = table_.find(name);
    if (attachment == nullptr) return nothing_attached(name);
    const auto capture = attachment->flight();
    if (!capture) return std::unexpected{capture.error()};
    Json json;
    json["name"] = name;
    json["pcapng"] = hex_of(*capture);
    return json;
}

OrFailure<Json> ControlServer::udev_info(const Request& request) const {
    std::string device = text_argument(request, "device");
    if (!device.starts_with('/')) device = "/dev/" + device;
    for (const Attachment& attachment : table_.all()) {
        const auto facts = attachment.facts();
        if (!facts || facts->exported.path.view() != device) continue;
        Json json;
        json["text"] = udev_properties(*facts);
        return json;
    }
    return fail(ExitCode::NotFound,
                fmt::format("no attachment has the device {}; see 'holdfast list'", device));
}

std::string ControlServer::metrics() const {
    std::vector<StatusFacts> all;
    for (const Attachment& attachment : table_.all()) {
        if (const auto facts = attachment.facts()) all.push_back(*facts);
    }
    return metrics_text(all);
}

void ControlServer::read_supervisor() {
    std::array<std::byte, kMessageBytesMax> room{};
    auto received = receive_message(supervisor_, room);
    if (!received) {
        if (received.error() != Errno{EAGAIN}) is_stopping_ = true;
        return;
    }
    if (received->bytes == 0) {  // The supervisor has gone, and with it our reason to live.
        is_stopping_ = true;
        return;
    }
    const auto message = control_message_from(std::span{room}.first(received->bytes));
    if (!message) {
        log_.line(LogLevel::Warning, "", "holdfastd sent a message of another release; restart it");
        return;
    }
    table_.on_supervisor(*message, received->fds, monotonic_now());
}

void ControlServer::read_io(AttachmentId id) {
    const auto all = table_.all();
    const auto found = std::ranges::find(all, id, &Attachment::id);
    if (found == all.end() || !found->command) return;
    std::array<std::byte, kMessageBytesMax> room{};
    const auto received = receive_message(found->command.get(), room);
    if (!received && received.error() == Errno{EAGAIN}) return;
    if (!received || received->bytes == 0) return table_.on_io_closed(id);
    const auto message = control_message_from(std::span{room}.first(received->bytes));
    if (message) table_.on_io(id, *message, monotonic_now());
}

void ControlServer::send_answers() {
    for (const Answer& due : table_.take_answers()) answer(due.client, due.answer);
}

}  // namespace holdfast::daemon
