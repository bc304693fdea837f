/// The socket loop around a Target: epoll, one thread, one recv and one gathered send per turn of a
/// connection. Timers: the target's own; two seconds for a closed connection to drain.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "stress/target/target.h"

namespace holdfast::target {

/// The monotonic clock.
[[nodiscard]] Instant now();

class Server {
public:
    explicit Server(Target& target) : target_(target) {}

    [[nodiscard]] OrErrno<void> start();
    /// `address`: host:port or [host]:port, numeric. Returns the same with the real port.
    [[nodiscard]] OrErrno<std::string> listen(const std::string& address);
    /// Lines that arrive on a Unix socket at `path` go to `on_line`; its answer goes back.
    using OnLine = std::function<std::string(std::string_view line)>;
    [[nodiscard]] OrErrno<void> control(const std::string& path, OnLine on_line);
    /// The same for standard input; the answers go to standard output.
    [[nodiscard]] OrErrno<void> control_stdin(OnLine on_line);
    /// Calls `on_signal` from the loop.
    [[nodiscard]] OrErrno<void> signals(std::vector<int> numbers,
                                        std::function<void(int number)> on_signal);
    /// Called with each line that the target noted.
    void on_note(std::function<void(const std::string& line)> sink) { note_ = std::move(sink); }
    void run();
    void stop() { running_ = false; }

private:
    enum class Role : std::uint8_t { Listener, Connection, ControlListener, Control, Signals };
    struct Peer {
        UniqueFd fd;
        Role role = Role::Connection;
        LinkId link = 0;
        bool draining = false;
        Instant drained_by = Instant::never();
        std::uint32_t interest = 0;
        std::string line{};
        /// Where answers go: the descriptor itself, or standard output.
        int answers_to = -1;
    };

    void add(Peer peer, std::uint32_t interest);
    void remove(int fd);
    void serve(int fd, std::uint32_t events);
    void accept_all(int listener);
    void accept_control(int listener);
    void receive(Peer& peer);
    void flush(Peer& peer);
    [[nodiscard]] bool send_some(Peer& peer);
    void carry_out_wish(Peer& peer);
    void update_interest(Peer& peer);
    void drain(Peer& peer);
    void read_lines(Peer& peer);
    void read_signals(Peer& peer);
    void serve_touched();
    void end_drained();

    Target& target_;
    UniqueFd epoll_;
    std::unordered_map<int, Peer> peers_;
    std::unordered_map<LinkId, int> fd_of_link_;
    std::size_t draining_ = 0;
    OnLine on_line_;
    std::function<void(int)> on_signal_;
    std::function<void(const std::string&)> note_;
    bool running_ = true;
};

}  // namespace holdfast::target
