/// Plays holdfastd and its I/O processes towards a control server that runs in a thread, and a
/// client towards its socket.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/control/control_server.h"
#include "daemon/shared/shared_area.h"
#include "tests/daemon/control/temp_directory.h"

namespace holdfast::daemon {

inline std::pair<UniqueFd, UniqueFd> seqpacket_pair() {
    std::array<int, 2> raw{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw.data()), 0);
    return {UniqueFd{raw[0]}, UniqueFd{raw[1]}};
}

/// True when there is something to read within `ms`.
inline bool is_readable(int fd, int ms) {
    pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&one, 1, ms) == 1;
}

/// One I/O process: its end of the command socket and its shared area.
struct PlayedIo {
    AttachmentId id{};
    UniqueFd command;
    SharedMapping shared;

    void publish(const StatusFacts& facts) const {
        StatusWriter{shared.area().status}.publish(facts);
    }
    void say(ControlMessage message) const {
        message.header.attachment = id;
        ASSERT_TRUE(send_message(command.get(), bytes_of(message)));
    }
    [[nodiscard]] std::optional<ControlMessage> hear(int ms = 5000) const {
        std::array<std::byte, kMessageBytesMax> room{};
        if (!is_readable(command.get(), ms)) return {};
        const auto received = receive_message(command.get(), room);
        if (!received || received->bytes == 0) return {};
        const auto message = control_message_from(std::span{room}.first(received->bytes));
        if (!message) return {};
        return *message;
    }
};

class PlayedSupervisor {
public:
    explicit PlayedSupervisor(const std::string& config_text = "") {
        const std::string text = "[daemon]\nlog_level = \"error\"\ninitiator_name_file = \"" +
                                 directory_.path("initiatorname") + "\"\n" + config_text;
        auto config = parse_config(text, "test");
        EXPECT_TRUE(config) << config.error().sentence;
        config_ = *std::move(config);
        config_.state_directory = directory_.path("state");
        config_.socket = directory_.path("control.sock");
        auto [ours, theirs] = seqpacket_pair();
        socket_ = std::move(ours);
        control_end_ = std::move(theirs);
    }
    PlayedSupervisor(const PlayedSupervisor&) = delete;
    PlayedSupervisor& operator=(const PlayedSupervisor&) = delete;
    ~PlayedSupervisor() { stop(); }

    /// Starts the control server; what was announced before is waiting in its socket.
    void start() {
        auto listening = listen_on(config_.socket);
        ASSERT_TRUE(listening) << listening.error().sentence;
        server_ = std::make_unique<ControlServer>(
            config_, *std::move(listening),
            ServerOptions{.supervisor = control_end_.get(), .link_directory = link_directory()});
        thread_ = std::thread{[this] { ran_ = server_->run(); }};
    }
    /// Closes the supervisor's end, which ends the server.
    void stop() {
        socket_.reset();
        if (thread_.joinable()) thread_.join();
    }
    [[nodiscard]] bool ran() const { return ran_; }
    [[nodiscard]] std::string link_directory() const { return directory_.path("dev"); }
    [[nodiscard]] const Config& config() const { return config_; }

    /// The next Attach, judged like the real supervisor does.
    [[nodiscard]] std::optional<AttachMessage> hear_attach(int ms = 5000) {
        std::array<std::byte, kMessageBytesMax> room{};
        std::span<const std::byte> bytes;
        do {
            if (!is_readable(socket_.get(), ms)) return {};
            const auto received = receive_message(socket_.get(), room);
            if (!received || received->bytes == 0) return {};
            bytes = std::span{room}.first(received->bytes);
            if (kind_of(bytes) == MessageKind::DeviceReady)
                devices_ready_.push_back(control_message_from(bytes)->header.attachment);
        } while (kind_of(bytes) == MessageKind::DeviceReady);
        const auto parts = attach_bytes_from(bytes);
        if (!parts) return {};
        const auto spec = attach_spec_from(parts->spec);
        if (!spec) return {};
        AttachMessage message;
        message.header = parts->header;
        message.spec = *spec;
        return message;
    }

    /// Whose devices were to be set up, of what came before the last Attach.
    [[nodiscard]] const std::vector<AttachmentId>& devices_ready() const { return devices_ready_; }

    /// Makes an I/O process and announces it.
    [[nodiscard]] PlayedIo make_io(std::uint32_t request_id) {
        PlayedIo io;
        io.id = AttachmentId{++last_id_};
        auto area = make_shared_area({.connections = 1, .records = 16});
        EXPECT_TRUE(area);
        io.shared = SharedMapping::map(area->get()).value();
        auto [control_side, io_side] = seqpacket_pair();
        io.command = std::move(io_side);
        const ControlMessage message{.header = {.kind = MessageKind::Attached,
                                                .attachment = io.id,
                                                .request_id = request_id},
                                     .pid = 4711};
        const std::array<int, 2> fds{area->get(), control_side.get()};
        EXPECT_TRUE(send_message(socket_.get(), bytes_of(message), fds));
        return io;
    }
    void say(const ControlMessage& message) {
        ASSERT_TRUE(send_message(socket_.get(), bytes_of(message)));
    }
    void say_exited(AttachmentId id, std::int32_t status) {
        say({.header = {.kind = MessageKind::Exited, .attachment = id}, .exit_status = status});
    }

    /// A client that has sent its request.
    [[nodiscard]] UniqueFd begin(const std::string& verb, Json arguments = Json::object()) const {
        UniqueFd client{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        EXPECT_EQ(connect_to_server(client), 0);
        const std::string frame =
            frame_of(body_of(Request{.verb = verb, .arguments = std::move(arguments)}));
        EXPECT_EQ(::send(client.get(), frame.data(), frame.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(frame.size()));
        return client;
    }
    /// The same, of one that may be sent away at any time.
    [[nodiscard]] UniqueFd knock() const {
        UniqueFd client{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        static_cast<void>(connect_to_server(client));
        const std::string frame =
            frame_of(body_of(Request{.verb = "version", .arguments = Json::object()}));
        static_cast<void>(::send(client.get(), frame.data(), frame.size(), MSG_NOSIGNAL));
        return client;
    }
    [[nodiscard]] OrFailure<Json> finish(const UniqueFd& client, int ms = 10'000) const {
        FrameReader frames{kAnswerBytesMax};
        std::array<char, 4096> room{};
        while (is_readable(client.get(), ms)) {
            const ssize_t got = ::recv(client.get(), room.data(), room.size(), 0);
            if (got <= 0) break;
            frames.append({room.data(), static_cast<std::size_t>(got)});
            if (const auto body = frames.try_take()) return parse_answer(*body);
        }
        return fail(ExitCode::NoDaemon, "no answer");
    }
    [[nodiscard]] OrFailure<Json> ask(const std::string& verb,
                                      Json arguments = Json::object()) const {
        return finish(begin(verb, std::move(arguments)));
    }

private:
    [[nodiscard]] int connect_to_server(const UniqueFd& client) const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, config_.socket.c_str(), sizeof(address.sun_path) - 1);
        return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address),
                         sizeof(address));
    }

    TempDirectory directory_;
    Config config_;
    UniqueFd socket_;
    UniqueFd control_end_;
    std::unique_ptr<ControlServer> server_;
    std::thread thread_;
    bool ran_ = false;
    std::vector<AttachmentId> devices_ready_;
    std::uint32_t last_id_ = 0;
};

}  // namespace holdfast::daemon
